"""What a server counts, in the format that Prometheus reads."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
KNOWN_PATHS = (
    "/v1/chat/completions", "/v1/completions", "/v1/score", "/v1/models", "/metrics", "/health", "/ready",
)  # fmt: skip
"""Other paths are counted together: whoever asks for random ones must not fill the memory."""


class Meter:
    """What one model's worker tells."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._waiting, self._running = metrics.waiting.labels(model), metrics.running.labels(model)
        self._first, self._next = metrics.first_token.labels(model), metrics.next_token.labels(model)
        self._prompt, self._completion = (
            metrics.tokens.labels(model, "prompt"),
            metrics.tokens.labels(model, "completion"),
        )
        self._reused = metrics.tokens.labels(model, "prompt_reused")

    def load(self, waiting: int, running: int) -> None:
        """Requests in the queue, and in the batch."""
        self._waiting.set(waiting)
        self._running.set(running)

    def prompt(self, tokens: int, reused: int) -> None:
        """A prompt that was read, and how much of it was known."""
        self._prompt.inc(tokens)
        self._reused.inc(reused)

    def token(self, since: float, *, first: bool) -> float:
        """A token of an answer that has waited for it since then; returns now."""
        now = time.monotonic()
        (self._first if first else self._next).observe(now - since)
        self._completion.inc()
        return now


class Metrics:
    """One server's, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = at = CollectorRegistry()
        self.requests = Counter("gptwright_requests", "Requests answered", ["path", "status"], registry=at)
        self.tokens = Counter("gptwright_tokens", "Tokens read and written", ["model", "kind"], registry=at)
        self.waiting = Gauge("gptwright_waiting_requests", "Answers that wait for a place", ["model"], registry=at)
        self.running = Gauge("gptwright_running_requests", "Answers being written", ["model"], registry=at)
        self.request_seconds = _seconds("request", "From request to the answer's end", "path", at)
        self.first_token = _seconds("first_token", "From request to first token", "model", at)
        self.next_token = _seconds("next_token", "From one token to the next", "model", at)

    def request(self, path: str, status: int, seconds: float) -> None:
        """A request that has ended; status 0 is a client that left."""
        known = path if path in KNOWN_PATHS else "other"
        self.requests.labels(known, str(status)).inc()
        self.request_seconds.labels(known).observe(seconds)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)


def _seconds(name: str, told: str, label: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(f"gptwright_{name}_seconds", told, [label], buckets=SECONDS, registry=registry)
