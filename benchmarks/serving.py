"""`gptwright serve` under load: many clients that stream, some of which vanish, for minutes.

    python benchmarks/serving.py RUN:ppo [--clients 64] [--minutes 10]

Each client asks one question after the other, reads the stream to its end, and one time in ten hangs up in the middle.
Told are errors, the time to the first token and between tokens (50th and 99th percentile, as a client sees them), and
the server's memory: its peak in each tenth of the time, from the second on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from record import write_result

QUESTIONS = (
    "Write a poem about bread and cheese.", "What is the capital of France?", "Name three animals.", "What is 12 + 7?",
    "Write a haiku about rain.", "Which planet is the largest?", "Think of three names like Rex and Bella.",
)  # fmt: skip
HANG_UP = 0.1
TENTHS = 10


@dataclass
class Seen:
    """What the clients saw."""

    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    answers: int = 0
    hung_up: int = 0
    tokens: int = 0


async def one(client: httpx.AsyncClient, model: str, rng: random.Random, seen: Seen) -> None:
    """One question, to its end or to a random piece of its answer."""
    leave = rng.randint(1, 20) if rng.random() < HANG_UP else None
    body: dict[str, Any] = {
        "model": model, "stream": True, "max_tokens": 80, "seed": rng.randrange(10**6), "temperature": 0.7,
        "messages": [{"role": "user", "content": rng.choice(QUESTIONS)}],
    }  # fmt: skip
    last, pieces = time.perf_counter(), 0
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            seen.errors.append(f"{response.status_code}: {(await response.aread())[:200]!r}")
            return
        async for line in response.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                seen.errors.append(str(chunk["error"]))
                return
            if not chunk["choices"][0]["delta"].get("content"):
                continue
            now = time.perf_counter()
            (seen.between if pieces else seen.first).append(now - last)
            last, pieces = now, pieces + 1
            if pieces == leave:
                seen.hung_up += 1
                return
    seen.answers += 1
    seen.tokens += pieces


async def load(address: str, model: str, clients: int, seconds: float, process: int) -> tuple[Seen, list[float]]:
    """All clients, and the server's memory in MB as time goes by."""
    seen, deadline = Seen(), time.perf_counter() + seconds
    memory: list[list[float]] = [[] for _ in range(TENTHS)]

    async def ask(number: int) -> None:
        rng = random.Random(number)
        async with httpx.AsyncClient(base_url=address, timeout=120) as client:
            while time.perf_counter() < deadline:
                try:
                    await one(client, model, rng, seen)
                except httpx.HTTPError as error:
                    seen.errors.append(repr(error))

    async def watch() -> None:
        while (left := deadline - time.perf_counter()) > 0:
            memory[min(TENTHS - 1, int((1 - left / seconds) * TENTHS))].append(resident_mb(process))
            await asyncio.sleep(min(left, 1.0))

    await asyncio.gather(watch(), *(ask(number) for number in range(clients)))
    return seen, [max(part) for part in memory if part]


def resident_mb(process: int) -> float:
    told = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", told)
    return int(found[1]) / 1024 if found else 0.0


def milliseconds(seconds: list[float]) -> dict[str, float]:
    return {f"p{share}": float(np.percentile(seconds, share)) * 1000 for share in (50, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "gptwright", "serve", f"model={arguments.model}", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address = ""
        for line in server.stderr:
            if found := re.match(r"API +(http://\S+)/v1", line):
                address = found[1]
                break
        drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)  # its log of requests
        try:
            wait_until_ready(address)
            seconds = 60 * arguments.minutes
            seen, memory = asyncio.run(load(address, "model", arguments.clients, seconds, server.pid))
            still_running = httpx.get(f"{address}/metrics").text
        finally:
            server.terminate()
            server.wait(60)
            drain.terminate()
    running = re.search(r'gptwright_running_requests\{model="model"\} (\S+)', still_running)
    figures = {
        "clients": arguments.clients, "minutes": arguments.minutes, "answers": seen.answers, "hung_up": seen.hung_up,
        "errors": seen.errors[:10], "error_count": len(seen.errors), "pieces_per_second": seen.tokens / seconds,
        "first_token_ms": milliseconds(seen.first), "between_tokens_ms": milliseconds(seen.between),
        "memory_mb": memory, "memory_growth": memory[-1] / memory[1] - 1,
        "left_running_at_the_end": float(running[1]) if running else None,
    }  # fmt: skip
    print(json.dumps(figures, indent=1))
    told = f"--clients {arguments.clients} --minutes {arguments.minutes:g}"
    write_result("serving", f"python benchmarks/serving.py RUN:ppo {told}", figures)


def wait_until_ready(address: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(f"{address}/ready").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit("the server did not become ready")


if __name__ == "__main__":
    main()
