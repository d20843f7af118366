"""Answers that are valid by construction: at each step only tokens with which the answer can still become one.

    grammar = Grammar.json_schema({"type": "object", "properties": {"age": {"type": "integer"}}})
    Request(prompt_ids, SamplingParams(grammar=grammar))

llguidance (extra `constrain`) knows which tokens those are; this module speaks with it. Shapes: V vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from gptwright.errors import InputError, pip_install
from gptwright.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

KEPT_GRAMMARS = 64
"""Compiled grammars kept for the next request that has the same one."""
MAX_NESTING = 120
"""Levels of a JSON schema; llguidance reads no more than 127."""
MAX_FOLLOWED = 1000
"""Levels of a JSON schema times the places that it refers to. llguidance follows references by recursion, and a stack
of 8 MB holds about 2500 such levels: then the whole process ends.
"""
_BLANK = re.compile(r"\{\{\s*(\w+)\s*(?::(.*?))?\}\}(?!\})", re.DOTALL)
_ESCAPED = {"\n": "", "\r": r"\r", "\t": r"\t"}
"""Characters that a pattern cannot hold as they are; a line's end stands there already."""
_SLASH = re.compile(r"((?<!\\)(?:\\\\)*)/")
"""One that would end a regular expression in Lark."""
_HALF = re.compile("[\ud800-\udfff]")


def _levels(value: Any) -> list[list[Any]]:
    """What JSON holds at each level of nesting, as far as there may be levels and one more. Not by recursion, which
    would end in an error.
    """
    found = [[value]]
    while found[-1] and len(found) <= MAX_NESTING + 1:
        held = [
            each.values() if isinstance(each, dict) else each for each in found[-1] if isinstance(each, dict | list)
        ]
        found.append([inner for each in held for inner in each])
    return found if found[-1] else found[:-1]


def nested_too_deeply(value: Any) -> bool:
    """Whether this JSON has more than `MAX_NESTING` levels."""
    return len(_levels(value)) > MAX_NESTING + 1


def schema_text(schema: dict[str, Any] | bool) -> str:
    """A JSON schema as llguidance reads it. Raises InputError for one that is nested too deeply, or by its references
    could be.
    """
    levels = _levels(schema)
    if len(levels) > MAX_NESTING + 1:
        raise InputError(f"the json schema has more than {MAX_NESTING} levels: nest it less deeply")
    objects = [each for level in levels for each in level if isinstance(each, dict)]
    targets = {each["$ref"] for each in objects if isinstance(each.get("$ref"), str)}
    if len(targets) * len(levels) > MAX_FOLLOWED:
        raise InputError(
            f"the json schema refers to {len(targets)} places and has {len(levels)} levels, of which the product may "
            f"be {MAX_FOLLOWED}: make it smaller"
        )
    return json.dumps(schema)


@dataclass(frozen=True)
class Grammar:
    """What an answer may be, as text: a JSON schema, a regular expression, or a grammar in llguidance's Lark."""

    kind: Literal["json_schema", "regex", "lark"]
    text: str

    @classmethod
    def json_schema(cls, schema: dict[str, Any] | bool) -> Grammar:
        """JSON that follows the schema, without spaces: a model that knows nothing would write them for ever. Raises
        InputError for a schema that is nested too deeply.
        """
        return cls("json_schema", schema_text(schema))

    @classmethod
    def json_object(cls) -> Grammar:
        """Any JSON object."""
        return cls.json_schema({"type": "object"})

    @classmethod
    def regex(cls, pattern: str) -> Grammar:
        """Text that the whole of a regular expression matches (Rust's, without look-around and back-references)."""
        return cls("regex", pattern)

    @classmethod
    def choice(cls, options: Sequence[str]) -> Grammar:
        """One of these. Raises ValueError for none, and for an empty one."""
        if not options or not all(options):
            raise ValueError("a choice needs one option or more, none of them empty")
        return cls("lark", "start: " + " | ".join(json.dumps(option, ensure_ascii=False) for option in options))

    @classmethod
    def lark(cls, text: str) -> Grammar:
        """A context-free grammar whose first rule is `start`."""
        return cls("lark", text)

    @classmethod
    def template(cls, text: str) -> Grammar:
        r"""Text with blanks that the model fills: "Name: {{name}}, born {{year:[0-9]{4}}}".

        A blank is a regular expression, or else runs to the character that follows it, or to the end of the line. What
        it was filled with is in the completion's `blanks`. Raises ValueError for a name that comes twice.
        """
        parts, rules, names, end = list[str](), list[str](), set[str](), 0
        for number, blank in enumerate(_BLANK.finditer(text)):
            name, pattern = blank.group(1), blank.group(2)
            if name in names:
                raise ValueError(f"the template has two blanks named {name!r}: give each a name of its own")
            parts += [json.dumps(text[end : blank.start()], ensure_ascii=False)] * (blank.start() > end)
            names.add(name)
            parts.append(f"b{number}")  # a rule's name may have small letters alone
            end = blank.end()
            behind = text[end : end + 1]
            line = rf"[^{_ESCAPED.get(behind, re.escape(behind))}\n]+"
            literal = _SLASH.sub(r"\1\/", pattern or line)
            rules.append(f"b{number}[capture={json.dumps(name)}]: /{literal}/")
        parts += [json.dumps(text[end:], ensure_ascii=False)] * (end < len(text))
        return cls("lark", "\n".join(["start: " + " ".join(parts), *rules]))


class Guide:
    """One answer on its way through a grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        self.matcher = matcher

    def allowed(self) -> bytes:
        """Which tokens may come next, a bit for each, the lowest first. Raises InputError where the grammar is too much
        for llguidance.
        """
        mask: bytes = self.matcher.compute_bitmask()
        self._check()
        return mask

    def take(self, token: int) -> None:
        """The token that came."""
        self.matcher.consume_token(token)
        self._check()

    def forced(self) -> list[int]:
        """Tokens that must come now: nothing else is allowed."""
        return list(self.matcher.compute_ff_tokens())

    @property
    def ended(self) -> bool:
        """Whether nothing may follow but the end."""
        return bool(self.matcher.is_stopped())

    def blanks(self) -> dict[str, str]:
        """What the blanks of a template were filled with."""
        return {name: data.decode("utf-8", errors="replace") for name, data in self.matcher.get_captures()}

    def _check(self) -> None:
        if self.matcher.is_error():
            raise InputError(f"the grammar cannot be followed: {self.matcher.get_error().splitlines()[0]}")


def check_installed() -> None:
    """Raises InputError where llguidance is not."""
    try:
        import llguidance  # noqa: F401, PLC0415
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed, which constrained answers need: run {pip_install('constrain')}"
        ) from None


class Constraints:
    """Grammars compiled for one vocabulary; an answer may end with any of `stop_ids` where its grammar ends."""

    def __init__(self, tokenizer: Tokenizer, stop_ids: set[int], vocab_size: int) -> None:
        self.tokenizer, self.stop_ids, self.vocab_size = tokenizer, stop_ids, vocab_size
        self.compiled = lru_cache(KEPT_GRAMMARS)(self._compile)

    def guide(self, grammar: Grammar) -> Guide:
        """A new answer's guide. Raises InputError for a grammar that cannot be compiled, with the reason."""
        return Guide(self.compiled(grammar).deep_copy())

    def _compile(self, grammar: Grammar) -> LLMatcher:
        check_installed()
        from llguidance import LLMatcher  # noqa: PLC0415

        if _HALF.search(grammar.text):
            raise InputError(f"the {grammar.kind.replace('_', ' ')} holds half of a surrogate pair: remove it")
        if grammar.kind == "json_schema":
            try:  # flexible white space has no end
                text = LLMatcher.grammar_from_json_schema(grammar.text, overrides={"whitespace_flexible": False})
            except ValueError as error:
                raise InputError(f"the json schema cannot be read: {error}") from None
        elif grammar.kind == "regex":
            text = LLMatcher.grammar_from_regex(grammar.text)
        else:
            text = LLMatcher.grammar_from_lark(grammar.text)
        matcher = LLMatcher(self.vocabulary, text, log_level=0)
        if matcher.is_error():
            reason = " ".join(matcher.get_error().split())
            raise InputError(f"the {grammar.kind.replace('_', ' ')} cannot be followed: {reason}")
        return matcher

    @cached_property
    def vocabulary(self) -> LLTokenizer:
        """The tokenizer as llguidance wants it."""
        from llguidance import LLTokenizer, TokenizerWrapper  # noqa: PLC0415

        stop_ids = sorted(self.stop_ids)
        wrapped = TokenizerWrapper(_Pieces(self.tokenizer, stop_ids[0]))
        return LLTokenizer(wrapped, n_vocab=self.vocab_size, eos_token=stop_ids)


class _Pieces:
    """What `TokenizerWrapper` asks of a tokenizer."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, end: int) -> None:
        self.tokenizer, self.eos_token_id = tokenizer, end
        self.tokens = tokenizer.pieces
        self.special_token_ids = sorted(tokenizer.marks)

    def __call__(self, data: bytes) -> list[int]:
        return self.tokenizer.encode(data.decode("utf-8"))
