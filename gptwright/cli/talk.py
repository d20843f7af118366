"""`complete` and `chat`: one model in the terminal, text appearing as it is generated."""

from __future__ import annotations

import json
import sys
from typing import Any

from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.engine.text import TextStream, whole_text
from gptwright.errors import InputError
from gptwright.model.folder import load_language_model
from gptwright.model.transformer import LanguageModel
from gptwright.pipeline.start import find_model
from gptwright.records import Message
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer


def load(name: str) -> tuple[LanguageModel, Tokenizer]:
    """A language model with its tokenizer."""
    folder = find_model(name)
    return load_language_model(folder), Tokenizer.load(folder)


def complete(name: str, text: str, *, as_json: bool, **sampling: Any) -> None:
    """Continue `text`; streams it to stdout, or prints one JSON object. `sampling` are fields of SamplingParams.

    Raises InputError for values that none of them can have.
    """
    try:
        params = SamplingParams(**sampling)
    except ValueError as error:
        raise InputError(str(error)) from error
    model, tokenizer = load(name)
    request = Request([tokenizer.opening, *tokenizer.encode(text)], params)
    # A base model ends a document, an assistant its turn; either ends the text.
    engine = Engine(model, stop_ids={tokenizer.document_end, tokenizer.end_of_turn}, tokenizer=tokenizer, frozen=True)
    if not as_json:
        sys.stdout.write(text)
        _stream(engine, request, tokenizer)
        return
    completion = engine.generate([request])[0]
    result = {
        "text": whole_text(completion.ids, tokenizer, params.stop),
        "tokens": completion.ids,
        "finish_reason": completion.finish_reason,
    }
    sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")


def chat(name: str, *, system: str | None, max_tokens: int, temperature: float, seed: int) -> None:
    """A conversation until an empty line or the end of input; the oldest turns go when the context is full."""
    model, tokenizer = load(name)
    engine = Engine(model, stop_ids={tokenizer.end_of_turn, tokenizer.document_end}, frozen=True)
    messages = [Message("system", system)] if system else []
    kept = len(messages)
    sys.stderr.write("Ask something; an empty line ends the talk.\n")
    for turn in range(10**6):
        try:
            text = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if not text.strip():
            return
        alone = len(render_prompt([*messages[:kept], Message("user", text)], tokenizer))
        if alone >= model.config.context:
            sys.stderr.write(f"That is {alone} tokens, the context holds {model.config.context}: say it shorter.\n")
            continue
        messages.append(Message("user", text))
        prompt_ids = render_prompt(messages, tokenizer)
        while (
            len(prompt_ids) > model.config.context - min(max_tokens, model.config.context // 2)
            and len(messages) > kept + 1
        ):
            del messages[kept : kept + 2]
            prompt_ids = render_prompt(messages, tokenizer)
        request = Request(prompt_ids, SamplingParams(max_tokens, temperature, seed=seed + turn))
        messages.append(Message("assistant", _stream(engine, request, tokenizer)))


def _stream(engine: Engine, request: Request, tokenizer: Tokenizer) -> str:
    """Write text to stdout as its bytes become whole characters; returns all of it."""
    stream, pieces = TextStream(tokenizer, request.params.stop), list[str]()

    def show(text: str) -> None:
        pieces.append(text)
        sys.stdout.write(text)
        sys.stdout.flush()

    engine.generate([request], on_token=lambda _, token: show(stream.feed(token)))
    show(stream.finish())
    sys.stdout.write("\n")
    return "".join(pieces)
