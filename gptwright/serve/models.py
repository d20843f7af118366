"""What is served, by name."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from gptwright.engine.engine import Engine
from gptwright.serve.errors import ApiError
from gptwright.serve.worker import Worker
from gptwright.tokenizer.tokenizer import Tokenizer


@dataclass
class ServedModel:
    """A language model at work. A base model continues text; it is no assistant, and is never asked to be one."""

    name: str
    engine: Engine
    tokenizer: Tokenizer
    assistant: bool
    created: int = field(default_factory=lambda: int(time.time()))
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self.worker = Worker(self.engine)

    @property
    def context(self) -> int:
        return self.engine.model.config.context

    def card(self) -> dict[str, object]:
        """As /v1/models tells it."""
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": "gptwright"}

    def room(self, prompt_ids: list[int]) -> int:
        """Tokens that an answer to this prompt may have. Raises ApiError when there is none."""
        room = self.context - len(prompt_ids)
        if room < 1:
            raise ApiError(
                400,
                f"the prompt has {len(prompt_ids)} tokens, and the context of {self.name} holds {self.context}: "
                "shorten it",
                code="context_length_exceeded",
                param="messages" if self.assistant else "prompt",
            )
        return room
