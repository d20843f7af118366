"""Text as its tokens come: whole characters, and never the beginning of a string that ends the answer.

stream = TextStream(tokenizer, stop=("\\nUser:",))
shown = "".join(stream.feed(token) for token in ids) + stream.finish()
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from gptwright.tokenizer.tokenizer import Tokenizer


class TextStream:
    """One answer's text. `stopped` is true once a stop string has come; the text ends before it."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self.tokenizer, self.stop = tokenizer, tuple(stop)
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.held, self.stopped = "", False

    def feed(self, token: int) -> str:
        """The text that is certain now that this token has come."""
        return self._take(self.decoder.decode(self.tokenizer.decode_bytes([token], skip_special=True)))

    def finish(self) -> str:
        """The rest, when no token follows; half a character becomes U+FFFD."""
        rest = self._take(self.decoder.decode(b"", final=True)) + self.held
        self.held = ""
        return rest

    def _take(self, text: str) -> str:
        if self.stopped:
            return ""
        self.held += text
        places = [place for place in map(self.held.find, self.stop) if place >= 0]
        if places:
            shown, self.held, self.stopped = self.held[: min(places)], "", True
            return shown
        keep = self._begun()
        shown, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        return shown

    def _begun(self) -> int:
        """How many of the last characters may be the start of a stop string."""
        longest = max((len(string) for string in self.stop), default=0)
        for size in range(min(longest - 1, len(self.held)), 0, -1):
            if any(string.startswith(self.held[-size:]) for string in self.stop):
                return size
        return 0
