"""The special tokens of every gptwright vocabulary, in the order of their ids.

They come after the text tokens, so text ids do not move when a reserved one is put to use.
"""

from __future__ import annotations

from enum import StrEnum


class SpecialToken(StrEnum):
    """One string per token; the member's lower-case name is the `Tokenizer` attribute that holds its id."""

    DOCUMENT_END = "<|document_end|>"
    PAD = "<|pad|>"
    END_OF_TURN = "<|end_of_turn|>"
    SYSTEM = "<|system|>"
    USER = "<|user|>"
    ASSISTANT = "<|assistant|>"
    TOOL = "<|tool|>"
    # The reward model reads its scalar at this token, which no answer can contain.
    REWARD = "<|reward|>"
    # Reserved for tool use and reasoning, so that a finished model can learn them without a new vocabulary.
    TOOL_CALL = "<|tool_call|>"
    TOOL_RESULT = "<|tool_result|>"
    THINK = "<|think|>"
    THINK_END = "<|/think|>"
