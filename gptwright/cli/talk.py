"""`complete` and `chat`: one model in the terminal, text appearing as it is generated."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gptwright.cli.device import device_of
from gptwright.cli.kinds import kind_of
from gptwright.engine.constraint import Grammar
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.prefix import PrefixCache
from gptwright.engine.protocol import Part, PartStream, whole_text
from gptwright.engine.request import Request
from gptwright.errors import InputError
from gptwright.model.folder import load_language_model
from gptwright.model.transformer import LanguageModel
from gptwright.pipeline.start import find_model
from gptwright.records import Conversation, Message, to_json
from gptwright.tokenizer.chat import fitted_prompt, render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer

PREFIX_BYTES = 2**27
"""Keys and values of the talk so far, so that a turn reads only what is new."""
CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
"""Letters that a terminal obeys: in an answer they could rename its window or fill the clipboard."""


def load(name: str, device: str) -> tuple[LanguageModel, Tokenizer]:
    """A language model on that device (see `device_of`) with its tokenizer."""
    placed, folder = device_of(device), find_model(name)
    return load_language_model(folder).to(placed), Tokenizer.load(folder)


def load_assistant(name: str, device: str) -> tuple[LanguageModel, Tokenizer]:
    """`load`, for models that answer. Raises InputError for a base model."""
    model, tokenizer = load(name, device)
    if kind_of(find_model(name), tokenizer) == "base":
        raise InputError(
            f"{name} is a base model: it continues text and is no assistant; ask it with gptwright complete, or give "
            "a finetuned model"
        )
    return model, tokenizer


def grammar_of(
    *, regex: str | None, choice: list[str] | None, schema: Path | None, template: str | None
) -> Grammar | None:
    """What was asked of the continuation. Raises InputError for more than one, and for a schema that cannot be read."""
    asked = {"--regex": regex, "--choice": choice, "--schema": schema, "--template": template}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} exclude each other: give one")
    if schema is not None:
        return Grammar.json_schema(_read_schema(schema))
    try:
        if choice is not None:
            return Grammar.choice(choice)
        if template is not None:
            return Grammar.template(template)
    except ValueError as error:
        raise InputError(f"{given[0]} cannot be taken: {error}") from None
    return None if regex is None else Grammar.regex(regex)


def _read_schema(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} line {error.lineno}: not JSON ({error.msg}); --schema wants one JSON schema"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"cannot read {path} ({reason}): --schema wants a file with one JSON schema") from None


def complete(name: str, text: str, *, device: str, as_json: bool, **sampling: Any) -> None:
    """Continue `text`; streams it to stdout, or prints one JSON object. `sampling` are fields of SamplingParams.

    Raises InputError for values that none of them can have.
    """
    params = _params(sampling)
    model, tokenizer = load(name, device)
    request = Request([tokenizer.opening, *tokenizer.encode(text)], params)
    # A base model ends a document, an assistant its turn; either ends the text.
    engine = Engine(model, stop_ids={tokenizer.document_end, tokenizer.end_of_turn}, tokenizer=tokenizer, frozen=True)
    if not as_json:
        _stream(text, engine, request, tokenizer)
        return
    completion = engine.generate([request])[0]
    result = {
        "text": whole_text(completion.ids, tokenizer, params.stop),
        "tokens": completion.ids,
        "finish_reason": completion.finish_reason,
        **({"blanks": completion.blanks} if completion.blanks else {}),
    }
    sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")


def _params(sampling: dict[str, Any]) -> SamplingParams:
    try:
        return SamplingParams(**sampling)
    except ValueError as error:
        raise InputError(str(error)) from error


def chat(name: str, *, device: str, system: str | None, **sampling: Any) -> None:
    """A conversation until an empty line or the end of input; `sampling` are fields of SamplingParams.

    Raises InputError for values that none of them can have, and for a base model.
    """
    params = _params(sampling)
    model, tokenizer = load_assistant(name, device)
    engine = Engine(model, stop_ids={tokenizer.end_of_turn, tokenizer.document_end}, tokenizer=tokenizer, frozen=True)
    talk = Talk(engine, tokenizer, params, system or "")
    sys.stderr.write("Ask something; /help tells what else there is, an empty line ends the talk.\n")
    while True:
        try:
            text = input("> " if sys.stdin.isatty() else "")
        except (EOFError, KeyboardInterrupt):
            return
        except UnicodeDecodeError:
            raise InputError("what was typed or piped in is not UTF-8 text: save it as UTF-8") from None
        if not text.strip():
            return
        try:
            talk.hear(text)
        except (InputError, ValueError, OSError) as error:
            sys.stderr.write(f"{error}\n")


HELP = """\
/again           answer the last question once more
/edit TEXT       ask this instead of the last question
/new             begin anew
/system TEXT     begin anew with this system message, or with none
/set NAME=VALUE  temperature, top_k, top_p, min_p, max_new_tokens, seed, repetition_penalty, presence_penalty,
                 frequency_penalty, or stop, a text that ends an answer (none: /set stop=)
/save FILE       add the conversation to a file that `sft.data` can name
//TEXT           ask something that begins with /
Ctrl-C stops an answer; an empty line or Ctrl-D ends the talk.
"""
SETTABLE: dict[str, Callable[[str], object]] = {
    "temperature": float, "top_k": int, "top_p": float, "min_p": float, "max_new_tokens": int, "seed": int,
    "repetition_penalty": float, "presence_penalty": float, "frequency_penalty": float,
    "stop": lambda text: (text,) if text else (),
}  # fmt: skip


class Talk:
    """One conversation in the terminal, kept whole; where it outgrows the context, the model is given the latest."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, params: SamplingParams, system: str = "") -> None:
        self.engine, self.tokenizer, self.params = engine, tokenizer, params
        self.prefixes, self.answers = PrefixCache(PREFIX_BYTES), 0
        self.begin(system)

    def begin(self, system: str) -> None:
        """Forget what was said."""
        self.messages = [Message("system", system)] if system else []
        self.kept = len(self.messages)

    def hear(self, text: str) -> None:
        """A question or a command. Raises ValueError or InputError for one that cannot be followed."""
        if not text.startswith("/") or text.startswith("//"):
            self._ask(text.removeprefix("/") if text.startswith("//") else text)
            return
        command, _, rest = text[1:].partition(" ")
        commands: dict[str, Callable[[str], object]] = {
            "again": lambda _: self._ask(self._last_question(), instead=True),
            "edit": self._edit,
            "new": lambda _: self.begin(self.messages[0].content if self.kept else ""),
            "system": lambda told: self.begin(told.strip()),
            "set": self._set,
            "save": self._save,
            "help": lambda _: sys.stderr.write(HELP),
        }
        if command not in commands:
            raise ValueError(f"there is no /{command}: /help tells what there is, //{command} asks it as a question")
        commands[command](rest)

    def _edit(self, text: str) -> None:
        if not text.strip():
            raise ValueError("/edit needs the new question behind it")
        self._last_question()
        self._ask(text, instead=True)

    def _last_question(self) -> str:
        if len(self.messages) <= self.kept:
            raise ValueError("nothing was asked yet")
        return self.messages[-2].content

    def _set(self, text: str) -> None:
        name, _, value = (part.strip() for part in text.partition("="))
        if name not in SETTABLE:
            raise ValueError(f"/set NAME=VALUE knows {', '.join(SETTABLE)}")
        try:
            changed: Any = SETTABLE[name](value)
        except ValueError:
            raise ValueError(f"{name} is a number, and {value!r} is none") from None
        self.params = replace(self.params, **{name: changed})

    def _save(self, text: str) -> None:
        if not text.strip():
            raise ValueError("/save needs the name of a file behind it")
        line = to_json(Conversation(tuple(self.messages)))["messages"]
        with Path(text.strip()).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"messages": line}, ensure_ascii=False) + "\n")

    def _check_length(self, text: str) -> None:
        context = self.engine.model.config.context
        alone = len(render_prompt([*self.messages[: self.kept], Message("user", text)], self.tokenizer))
        if alone >= context:
            raise ValueError(f"That is {alone} tokens, the context holds {context}: say it shorter.")

    def _ask(self, text: str, *, instead: bool = False) -> None:
        """Question and answer are kept together, `instead` of the last ones, or where no answer comes not at all."""
        self._check_length(text)
        before, question = self.messages[: -2 if instead else None], Message("user", text)
        context, room = self.engine.model.config.context, self.params.max_new_tokens
        prompt_ids, left_out = fitted_prompt([*before, question], self.tokenizer, context=context, room=room)
        if left_out:
            sys.stderr.write(f"The model is not given the oldest {left_out} messages: its context is full.\n")
        params = replace(self.params, seed=self.params.seed + self.answers)
        self.answers += 1
        self.messages = [*before, question, self._answer(Request(prompt_ids, params))]

    def _answer(self, request: Request) -> Message:
        """Write the answer as it comes; Ctrl-C ends it, and what came is kept."""
        parts = PartStream(self.tokenizer, request.params.stop)
        said: dict[str, str] = {"content": "", "thinking": ""}
        calls = list[str]()

        def show(found: list[Part]) -> None:
            for part in found:
                if part.kind == "tool_call":
                    calls.append(part.text)
                else:
                    said[part.kind] += part.text
                sys.stdout.write(_in_terminal(part))
            sys.stdout.flush()

        with (
            contextlib.suppress(KeyboardInterrupt),
            contextlib.closing(self.engine.stream(request, self.prefixes)) as tokens,
        ):
            for token in tokens:
                if token not in self.engine.stop_ids:
                    show(parts.feed(token))
        show(parts.finish())
        sys.stdout.write("\n")
        return Message("assistant", said["content"], said["thinking"], tuple(calls))


def _in_terminal(part: Part) -> str:
    """What is said as it is, the rest dimmed, or in brackets where nothing can be dimmed."""
    text = _harmless(part.text)
    if part.kind == "content":
        return text
    begin, end = ("\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "")
    return f"{begin}[calls {text}]{end}" if part.kind == "tool_call" else f"{begin}{text}{end}"


def _harmless(text: str) -> str:
    """A terminal gets no control characters but newline and tab; a file or a pipe gets the text as it is."""
    return text.translate(CONTROLS) if sys.stdout.isatty() else text


def _stream(begin: str, engine: Engine, request: Request, tokenizer: Tokenizer) -> None:
    """Write `begin`, once the request is known to be one, and then text as its bytes become whole characters."""
    stream = PartStream(tokenizer, request.params.stop, marked=False)
    for token in engine.stream(request):
        sys.stdout.write(_harmless(begin + "".join(part.text for part in stream.feed(token))))
        sys.stdout.flush()
        begin = ""
    sys.stdout.write(_harmless(begin + "".join(part.text for part in stream.finish())) + "\n")
