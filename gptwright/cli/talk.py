"""`complete` and `chat`: one model in the terminal, text appearing as it is generated."""

from __future__ import annotations

import codecs
import json
import sys

from gptwright.engine.engine import Engine, Request
from gptwright.engine.sampling import SamplingParams
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


def complete(
    name: str,
    text: str,
    *,
    max_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    as_json: bool,
) -> None:
    """Continue `text`; streams it to stdout, or prints one JSON object."""
    model, tokenizer = load(name)
    params = SamplingParams(max_tokens, temperature, top_k, top_p, seed)
    request = Request([tokenizer.opening, *tokenizer.encode(text)], params)
    # A base model ends a document, an assistant its turn; either ends the text.
    engine = Engine(model, stop_ids={tokenizer.document_end, tokenizer.end_of_turn})
    if not as_json:
        sys.stdout.write(text)
        _stream(engine, request, tokenizer)
        return
    completion = engine.generate([request])[0]
    result = {
        "text": tokenizer.decode(completion.ids, skip_special=True),
        "tokens": completion.ids,
        "finish_reason": completion.finish_reason,
    }
    sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")


def chat(name: str, *, system: str | None, max_tokens: int, temperature: float, seed: int) -> None:
    """A conversation until an empty line or the end of input; the oldest turns go when the context is full."""
    model, tokenizer = load(name)
    engine = Engine(model, stop_ids={tokenizer.end_of_turn, tokenizer.document_end})
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
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pieces: list[str] = []

    def show(_: int, token: int) -> None:
        pieces.append(decoder.decode(tokenizer.decode_bytes([token], skip_special=True)))
        sys.stdout.write(pieces[-1])
        sys.stdout.flush()

    engine.generate([request], on_token=show)
    pieces.append(decoder.decode(b"", final=True))
    sys.stdout.write(pieces[-1] + "\n")
    return "".join(pieces)
