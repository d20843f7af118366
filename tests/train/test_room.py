"""How many rows go through at once: all where there is room, an even part of them where there is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptwright.model.config import ModelConfig
from gptwright.recipe import OptimizerSettings
from gptwright.train.fast_path import AttentionKernel, FastPath
from gptwright.train.memory import working_bytes
from gptwright.train.room import BYTES_PER_PARAMETER, FILLED, device_memory, reading_bytes, rows_at_once

SMALL = ModelConfig(
    vocab_size=2048, context=256, width=128, layers=5, heads=2, kv_heads=2, head_dim=64, hidden=344, qk_norm=True
)
MEDIUM = ModelConfig(
    vocab_size=50257, context=1024, width=768, layers=12, heads=12, kv_heads=12, head_dim=64, hidden=2048
)
PATH = FastPath("cuda", "bfloat16")


@pytest.mark.parametrize(
    ("config", "rows", "kernel", "recompute"),
    [(SMALL, 16, "matmul", False), (SMALL, 16, "fused", True), (MEDIUM, 8, "fused", False), (MEDIUM, 8, "fused", True)],
)
def test_the_estimate_is_no_less_than_what_is_counted_and_not_far_above(
    config: ModelConfig, rows: int, kernel: AttentionKernel, recompute: bool
) -> None:
    path = FastPath("cpu", "bfloat16", kernel=kernel)
    counted = working_bytes(config, rows, path, OptimizerSettings(muon=False), recompute=recompute, devices=2)
    assert 1.0 <= reading_bytes(config, rows, path, recompute=recompute) / counted < 2.5


@pytest.mark.parametrize(("rows_of_room", "expected"), [(100, 48), (48, 48), (47, 24), (10, 8), (1, 1), (0, 1)])
def test_rows_are_the_largest_even_part_that_fits(rows_of_room: int, expected: int) -> None:
    room = reading_bytes(MEDIUM, rows_of_room, PATH) * 1.0001
    memory = (room + BYTES_PER_PARAMETER * MEDIUM.parameter_count()) / FILLED
    assert rows_at_once(MEDIUM, 48, memory, PATH) == expected
    # Lanes share the room as well as the rows; in slices a model leaves more of it.
    assert rows_at_once(MEDIUM, 48, memory, PATH, lanes=2) <= min(24, expected)
    assert rows_at_once(MEDIUM, 48, memory, PATH, shards=1000) >= expected


def test_what_lies_beside_the_weights_leaves_less_room() -> None:
    whole = BYTES_PER_PARAMETER * MEDIUM.parameter_count()
    memory = (reading_bytes(MEDIUM, 48, PATH) * 1.0001 + whole) / FILLED
    assert rows_at_once(MEDIUM, 48, memory, PATH) == 48
    assert rows_at_once(MEDIUM, 48, memory, PATH, average=True) == 24
    memory = (reading_bytes(MEDIUM, 48, PATH) * 1.0001 + whole / 8) / FILLED
    assert rows_at_once(MEDIUM, 48, memory, PATH, shards=8) == 48
    assert rows_at_once(MEDIUM, 48, memory, PATH, shards=7) == 24


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for said, expected in (("100000000\n", 1e8), ("max\n", None)):
        limit = tmp_path / "memory.max"
        limit.write_text(said, encoding="ascii")
        monkeypatch.setattr("gptwright.train.room.CONTAINER_LIMIT", limit)
        assert device_memory("cpu") == expected if expected else device_memory("cpu") > 1e8


def test_the_quickstart_reads_its_batch_whole_on_any_machine_that_it_asks_for() -> None:
    assert rows_at_once(SMALL, 16, 4e9, FastPath("cpu", "bfloat16", kernel="matmul"), lanes=2) == 8


def test_a_system_that_does_not_say_has_room_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_memory("cpu") > 1e8
    monkeypatch.delattr("os.sysconf", raising=False)
    assert device_memory("cpu") == float("inf")
