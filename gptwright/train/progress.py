"""Progress on stderr with time left: a live line on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import threading
import time

from gptwright import launch

PLAIN_SECONDS = 15.0
LIVE_SECONDS = 0.2


def clock(seconds: float) -> str:
    """95 -> '1:35'; 3723 -> '1:02:03'."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class Progress:
    """Counts steps of one piece of work. The rate is that of this process and of what follows its first step, which may
    compile for a minute, so that nothing is told of the time left before the second one.
    """

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self.name, self.total = name, total
        self.started = time.monotonic()
        self.shown = 0.0
        self.warm: tuple[float, int] | None = None
        """When the first update came, and what was done then."""
        self.done = done
        self.live = sys.stderr.isatty()
        self.lock = threading.Lock()

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` of `total` is done; prints at most every `PLAIN_SECONDS` (live: `LIVE_SECONDS`), and at the
        end.
        """
        self.done = done
        now = time.monotonic()
        if self.warm is None:
            self.warm = (now, done)
        if launch.rank() or (done < self.total and now - self.shown < (LIVE_SECONDS if self.live else PLAIN_SECONDS)):
            return
        self.shown = now
        timing = f"took {clock(now - self.started)}" if done >= self.total else self._left(now)
        counted = f"{self.name:<12} {done:>6}/{self.total} {100 * done / max(1, self.total):3.0f}%"
        _show("  ".join(part for part in (counted, timing, note) if part), self.live, ended=done >= self.total)

    def _left(self, now: float) -> str:
        assert self.warm is not None
        started, first = self.warm
        if self.done == first:
            return ""
        return f"{clock((now - started) / (self.done - first) * (self.total - self.done))} left"

    def advance(self, note: str = "") -> None:
        """One more is done; several threads may say so."""
        with self.lock:
            self.update(self.done + 1, note)


class Tally:
    """Counts work whose end nobody has counted, such as a stream's: how much, how fast, and the time left where it can
    be told what part is behind.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = self.shown = time.monotonic()
        self.warm: tuple[float, float] | None = None
        """When a part was told first, and which: a resumed stream begins in its middle."""
        self.live = sys.stderr.isatty()

    def update(self, done: float, unit: str, note: str, *, share: float | None = None, ended: bool = False) -> None:
        """Say that `done` units are done, or of all `share`; prints as often as `Progress` does, at the end only what
        took that long.
        """
        now = time.monotonic()
        if share is not None and self.warm is None:
            self.warm = (now, share)
        due = now - self.shown >= (LIVE_SECONDS if self.live else PLAIN_SECONDS)
        if not due and not (ended and self.shown > self.started):
            return
        self.shown = now
        rate = done / max(1e-9, now - self.started)
        told = (f"{self.name:<12} {done:>10,.1f} {unit}, {rate:,.1f} a second", self._left(now, share), note)
        _show("  ".join(part for part in told if part), self.live, ended=ended)

    def _left(self, now: float, share: float | None) -> str:
        if share is None or self.warm is None or not self.warm[1] < share < 1:
            return ""
        started, first = self.warm
        return f"{clock((now - started) / (share - first) * (1 - share))} left"


def _show(line: str, live: bool, *, ended: bool) -> None:
    if live:
        sys.stderr.write("\r\033[2K" + line + ("\n" if ended else ""))
    else:
        sys.stderr.write(line + "\n")
    sys.stderr.flush()


def say(message: str) -> None:
    """One line for the person watching; of several ranks the first one's."""
    if launch.rank():
        return
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
