"""What clients send: the part of OpenAI's API that is followed, with top_k, min_p, repetition_penalty and guided_*
besides.

A parameter that is not followed is refused by name: an answer that ignores what was asked for is worse than none.
"""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

from gptwright.engine.constraint import Grammar, nested_too_deeply
from gptwright.engine.params import SamplingParams
from gptwright.engine.protocol import tool_grammar
from gptwright.errors import InputError
from gptwright.records import Message, call_text
from gptwright.serve.errors import ApiError
from gptwright.tokenizer.tokenizer import Tokenizer

MAX_PATTERN = 10_000
"""Characters. llguidance follows one rule into the next by recursion: some 3000 in a row would end the server."""
MAX_STOPS = 4
MAX_CHOICES = 16
MAX_PROMPTS = 64
"""And answers to them, of one request."""
Some = Annotated[str, Field(min_length=1)]
Ids = Annotated[list[Annotated[StrictInt, Field(ge=0)]], Field(min_length=1)]
Stops = Some | Annotated[list[Some], Field(max_length=MAX_STOPS)] | None


class Strict(BaseModel):
    """Refuses fields that it does not know."""

    model_config = ConfigDict(extra="forbid")


class StreamOptions(Strict):
    include_usage: bool = False


class Sampling(Strict, ABC):
    """What chat and text completions have in common."""

    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=2**31)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    stop: Stops = None
    seed: int | None = None
    guided_regex: Annotated[str, Field(max_length=MAX_PATTERN)] | None = None
    guided_choice: Annotated[list[Some], Field(min_length=1)] | None = None
    guided_grammar: Annotated[str, Field(max_length=MAX_PATTERN)] | None = None
    """In llguidance's Lark."""
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    """Taken, and not used."""

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_the_default(cls, value: Any, info: Any) -> Any:
        field = cls.model_fields[info.field_name]
        return field.get_default(call_default_factory=True) if value is None and not field.is_required() else value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if len(forms := self.forms()) > 1:
            raise ValueError(f"{' and '.join(forms)} exclude each other: leave out all but one")
        return self

    def forms(self) -> list[str]:
        """The parameters that say what the answer must be like."""
        names = ("guided_regex", "guided_choice", "guided_grammar")
        return [name for name in names if getattr(self, name) is not None]

    @property
    @abstractmethod
    def told_logprobs(self) -> int | None:
        """How many likeliest tokens are told with each token; None tells nothing, 0 the token's own alone."""

    @property
    def limit(self) -> int | None:
        """The most tokens of an answer; None is what the context leaves."""
        return self.max_tokens

    @property
    def grammar(self) -> Grammar | None:
        """What the answer must be."""
        if self.guided_regex is not None:
            return Grammar.regex(self.guided_regex)
        if self.guided_choice is not None:
            return Grammar.choice(self.guided_choice)
        return None if self.guided_grammar is None else Grammar.lark(self.guided_grammar)

    def tool_grammar(self, tokenizer: Tokenizer) -> Grammar | None:
        """What tools ask of the answer."""
        return None

    def params(self, room: int, tokenizer: Tokenizer) -> list[SamplingParams]:
        """Of each of the n answers; `room` is what the context leaves for one."""
        grammar = self.tool_grammar(tokenizer) or self.grammar
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        seed = secrets.randbits(62) if self.seed is None else self.seed % 2**62
        return [
            SamplingParams(
                max_new_tokens=min(self.limit or room, room),
                temperature=self.temperature,
                top_k=self.top_k,
                top_p=self.top_p,
                seed=(seed + number) % 2**62,
                min_p=self.min_p,
                repetition_penalty=self.repetition_penalty,
                presence_penalty=self.presence_penalty,
                frequency_penalty=self.frequency_penalty,
                logit_bias=self.logit_bias or {},
                stop=stop,
                top_logprobs=self.told_logprobs or 0,
                grammar=grammar,
            )
            for number in range(self.n)
        ]


class TextPart(Strict):
    type: Literal["text"]
    text: str


def _flat(value: Any) -> Any:
    if nested_too_deeply(value):
        raise ValueError("it is nested too deeply")
    return value


class CalledFunction(Strict):
    name: str
    arguments: str
    """A JSON object."""


class ToolCall(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction

    @field_validator("function")
    @classmethod
    def _json(cls, function: CalledFunction) -> CalledFunction:
        try:
            _flat(json.loads(function.arguments))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        return function

    def text(self) -> str:
        """As a model writes it."""
        return call_text(self.function.name, json.loads(self.function.arguments))


class ToolFunction(Strict):
    name: Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
    description: str | None = None
    parameters: Annotated[dict[str, Any] | None, AfterValidator(_flat)] = None
    strict: bool | None = None
    """Taken, and not used: schemas are always followed."""

    def told(self) -> dict[str, Any]:
        """What the model is told of it."""
        return self.model_dump(include={"name", "description", "parameters"}, exclude_none=True)


class Tool(Strict):
    type: Literal["function"]
    function: ToolFunction


class NamedFunction(Strict):
    name: str


class NamedTool(Strict):
    type: Literal["function"]
    function: NamedFunction


class ChatMessage(Strict):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    """Taken, and not used, like the id of a call: results stand in the order of the calls."""
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    """Empty, as an answer has them that OpenAI's client gives back."""

    @model_validator(mode="after")
    def _says_something(self) -> ChatMessage:
        if self.content is None and not self.tool_calls:
            raise ValueError("content is missing")
        if self.role != "assistant" and (self.tool_calls or self.reasoning_content):
            raise ValueError("only an assistant has tool_calls and reasoning_content")
        return self

    def message(self) -> Message:
        text = "".join(part.text for part in self.content) if isinstance(self.content, list) else self.content or ""
        calls = tuple(call.text() for call in self.tool_calls or ())
        role = "system" if self.role == "developer" else self.role
        return Message(role, text, self.reasoning_content or "", calls)


Messages = Annotated[list[ChatMessage], Field(min_length=1)]


class JsonSchema(Strict):
    name: str = "answer"
    description: str | None = None
    strict: bool | None = None
    """Taken, and not used: schemas are always followed."""
    shape: Annotated[dict[str, Any] | bool, Field(alias="schema")] = True


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_where_it_belongs(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is given with the type json_schema, and with no other")
        return self

    def grammar(self) -> Grammar | None:
        """What it asks of the answer."""
        if self.type == "json_object":
            return Grammar.json_object()
        return Grammar.json_schema(self.json_schema.shape) if self.json_schema else None


class ChatRequest(Sampling):
    """POST /v1/chat/completions"""

    messages: Messages
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    parallel_tool_calls: bool = True
    """Whether an answer may hold several calls."""
    truncation: Literal["auto", "disabled"] = "disabled"
    """What happens to messages that leave too little room for an answer, as in OpenAI's Responses: `auto` leaves out
    the oldest.
    """

    def functions(self) -> list[dict[str, Any]]:
        """What the model is told that it may call."""
        return [] if self.tool_choice == "none" else [tool.function.told() for tool in self.tools]

    @model_validator(mode="after")
    def _tools_for_a_call(self) -> Self:
        if not self.tools and self.tool_choice not in ("none", "auto"):
            raise ValueError("tool_choice asks for a call, and there are no tools")
        return self

    @model_validator(mode="after")
    def _top_of_what_is_told(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is given without logprobs: set logprobs to true")
        return self

    def forms(self) -> list[str]:
        """Those of all completions, tools and response_format."""
        shaped = self.response_format is not None and self.response_format.type != "text"
        return ["tools"] * bool(self.functions()) + ["response_format"] * shaped + super().forms()

    def tool_grammar(self, tokenizer: Tokenizer) -> Grammar | None:
        """What the tools ask of the answer. Raises ApiError for a tool that is not there."""
        functions = self.functions()
        if not functions:
            return None
        name = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None
        try:
            return tool_grammar(
                functions,
                tokenizer,
                required=self.tool_choice == "required",
                name=name,
                several=self.parallel_tool_calls,
            )
        except InputError as error:  # of a function's parameters
            raise ApiError(400, str(error), param="tools") from None
        except ValueError as error:
            raise ApiError(400, str(error), param="tool_choice") from None

    @property
    def told_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def grammar(self) -> Grammar | None:
        return (self.response_format.grammar() if self.response_format else None) or super().grammar

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(Sampling):
    """POST /v1/completions"""

    prompt: str | Ids | Annotated[list[str] | list[Ids], Field(min_length=1, max_length=MAX_PROMPTS)]
    """Text, or ids of tokens, which are taken as they are. Several prompts are continued each by itself: the first
    one's n choices come first.
    """
    max_tokens: Annotated[int, Field(ge=1)] | None = 16
    """OpenAI's default."""
    echo: Literal[False] = False
    """The prompt is not repeated in front of its continuation."""
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        asked = self.n * len(self.prompts)
        if asked > MAX_PROMPTS:
            raise ValueError(f"n and prompt ask for {asked} answers: {MAX_PROMPTS} is the most")
        return self

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """Each by itself."""
        one = isinstance(self.prompt, str) or isinstance(self.prompt[0], int)
        return cast("Sequence[str | list[int]]", [self.prompt] if one else self.prompt)

    @property
    def told_logprobs(self) -> int | None:
        return self.logprobs


class ScoreRequest(Strict):
    """POST /v1/score: how good a reward model finds each of these answers to the messages."""

    model: str
    messages: Messages
    answers: Annotated[list[str], Field(min_length=1, max_length=256)]
