"""The ten use cases: every kind of prompt that the world can make, by name."""

from __future__ import annotations

from gptwright.world.usecases.brainstorming import BRAINSTORMING
from gptwright.world.usecases.chat import CHAT
from gptwright.world.usecases.constraints import CONSTRAINTS
from gptwright.world.usecases.functions import FUNCTIONS
from gptwright.world.usecases.harm import HARM
from gptwright.world.usecases.kind import Kind
from gptwright.world.usecases.open_qa import OPEN_QA
from gptwright.world.usecases.other import OTHER
from gptwright.world.usecases.reading import READING
from gptwright.world.usecases.rewriting import REWRITING
from gptwright.world.usecases.sorting import SORTING
from gptwright.world.usecases.stories import STORIES
from gptwright.world.usecases.verses import VERSES

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *VERSES,
        *STORIES,
        *FUNCTIONS,
        *CONSTRAINTS,
        *OPEN_QA,
        *BRAINSTORMING,
        *CHAT,
        *HARM,
        *REWRITING,
        *READING,
        *SORTING,
        *OTHER,
    )
}
