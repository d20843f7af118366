"""Pretraining: bits per byte by hand, a falling loss, samples on the way, and the same gradient in any pieces."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gptwright.data.packing import Finish, PackedCorpus
from gptwright.errors import InputError
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import OptimizerSettings, PretrainSettings
from gptwright.stages.corpus import Corpus
from gptwright.stages.pretrain import VALIDATION_ROWS, evaluate_language, measure_untrained, openings, pretrain, samples
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.parallel import DataParallel

CONTEXT = 16


class Killed(BaseException):
    """Stands for the end of the process."""


class DyingRows(PackedCorpus):
    """Ends the process when the third step's batch is asked for."""

    def batch(self, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        if step == 3:
            raise Killed
        return super().batch(step, batch_size)


def corpus_of(
    tokenizer: Tokenizer,
    texts: dict[str, str],
    shares: dict[str, float],
    rows: Any = PackedCorpus,
    finish: Finish | None = None,
) -> Corpus:
    """Each source is its text over and over, every repetition a document."""
    streams = {
        name: np.array([*tokenizer.encode(text), tokenizer.document_end] * 200, dtype=np.uint16)
        for name, text in texts.items()
    }
    return Corpus(rows(streams, shares, context=CONTEXT, seed=0, finish=finish), streams)


@pytest.fixture
def corpus(tokenizer: Tokenizer) -> Corpus:
    return corpus_of(tokenizer, {"web": "the cat sat on the mat"}, {"web": 1.0})


def read(workspace: Any, name: str) -> list[dict[str, Any]]:
    text = (workspace.checkpoints / "log" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_bits_per_byte_of_a_model_that_knows_nothing(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any]
) -> None:
    model = make_model(context=CONTEXT)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    # 3 of 4 tokens of "abc" are bytes, 1 of 2 of "x": by their shares 0.75 * 3/4 + 0.25 * 1/2 bytes per token.
    corpus = corpus_of(tokenizer, {"web": "abc", "books": "x"}, {"web": 0.75, "books": 0.25})
    nats, bits, _ = evaluate_language(model, tokenizer, corpus, make_workspace(), max_rows=10)
    assert nats == pytest.approx(math.log(tokenizer.vocab_size), rel=1e-5)
    assert bits == pytest.approx(math.log2(tokenizer.vocab_size) / (0.75 * 0.75 + 0.25 * 0.5), rel=1e-5)


def test_loss_is_weighted_by_share_and_not_by_how_much_is_held_out(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any]
) -> None:
    model, spot = make_model(context=CONTEXT), make_workspace()
    both = corpus_of(tokenizer, {"web": "abc", "books": "xyz w"}, {"web": 0.75, "books": 0.25})
    both.held_out["books"] = both.held_out["books"][: 3 * CONTEXT + 1]
    alone = {}
    for name in both.held_out:
        rows = PackedCorpus({name: both.held_out[name]}, {name: 1.0}, context=CONTEXT, seed=0)
        alone[name] = evaluate_language(model, tokenizer, Corpus(rows, both.held_out), spot)[0]
    assert abs(alone["web"] - alone["books"]) > 1e-3
    mixed = evaluate_language(model, tokenizer, both, spot)[0]
    assert mixed == pytest.approx(0.75 * alone["web"] + 0.25 * alone["books"], rel=1e-6)


def test_at_most_the_given_rows_are_measured(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], corpus: Corpus
) -> None:
    model = make_model(context=CONTEXT)
    stream = torch.from_numpy(corpus.held_out["web"][: 2 * CONTEXT + 1].astype(np.int64))
    with torch.no_grad():
        logits = model(stream[:-1].view(2, CONTEXT))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), stream[1:])
    found = evaluate_language(model, tokenizer, corpus, make_workspace(), max_rows=2)[0]
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_isolated_documents_are_trained_and_measured_so(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], corpus: Corpus
) -> None:
    alone = dataclasses.replace(corpus, opening=tokenizer.opening)
    settings, rows = PretrainSettings(tokens=2 * 4 * CONTEXT, batch_rows=4, evaluations=1), []
    for name, each in (("plain", corpus), ("alone", alone)):
        spot = make_workspace(name)
        pretrain(make_model(context=CONTEXT), tokenizer, each, settings, spot)
        rows.append(read(spot, "metrics.jsonl"))
    first, second = ([row["validation_loss"] for row in run if "validation_loss" in row] for run in rows)
    assert first[0] != second[0]  # the same untrained weights, measured otherwise
    losses = [[row["loss"] for row in run if "loss" in row] for run in rows]
    assert losses[0][0] != losses[1][0]


def test_held_out_text_is_read_without_all_its_logits(
    tokenizer: Tokenizer,
    make_model: Callable[..., LanguageModel],
    make_workspace: Callable[..., Any],
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model(context=CONTEXT)
    whole = evaluate_language(model, tokenizer, corpus, make_workspace())
    read: list[int] = []
    model.lm_head.register_forward_hook(lambda _, inputs, __: read.append(inputs[0].shape[0]))
    monkeypatch.setattr("gptwright.stages.pretrain.LOGITS_BYTES", 4 * tokenizer.vocab_size * 5)
    again = evaluate_language(model, tokenizer, corpus, make_workspace())
    assert again[:2] == pytest.approx(whole[:2], rel=1e-6)
    assert max(read) == 5


def test_pretraining_learns(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], corpus: Corpus
) -> None:
    model, spot = make_model(context=CONTEXT), make_workspace()
    settings = PretrainSettings(tokens=40 * 4 * CONTEXT + 5, batch_rows=4, evaluations=2)
    before = evaluate_language(model, tokenizer, corpus, spot)[0]
    result = pretrain(model, tokenizer, corpus, settings, spot)
    assert result.tokens == 40 * 4 * CONTEXT
    assert (result.validation_loss, result.bits_per_byte) == evaluate_language(model, tokenizer, corpus, spot)[:2]
    assert result.validation_loss < before - 2
    measured = [row for row in read(spot, "metrics.jsonl") if "validation_loss" in row]
    assert [row["step"] for row in measured] == [0, 20, 40]
    # The curve's last point is on the rows of its others; the figures of the result stand beside it.
    assert [row["step"] for row in measured if "final_validation_loss" in row] == [40]
    few = evaluate_language(model, tokenizer, corpus, spot, VALIDATION_ROWS)
    last, names = measured[-1], ("validation_loss", "bits_per_byte")
    assert tuple(last[name] for name in names) == few[:2]
    assert tuple(last[f"final_{name}"] for name in names) == (result.validation_loss, result.bits_per_byte)


def test_samples_are_taken_from_the_start_to_the_end(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], corpus: Corpus
) -> None:
    spot = make_workspace()
    settings = PretrainSettings(tokens=20 * 2 * CONTEXT, batch_rows=2, evaluations=1, sample_prompts=("the", "on"))
    pretrain(make_model(context=CONTEXT), tokenizer, corpus, settings, spot)
    rows = read(spot, "samples.jsonl")
    # 0, 1, 3, 10, 30 and 100% of 20 steps; 1% rounds to none.
    assert [row["step"] for row in rows] == [step for step in (0, 1, 2, 6, 20) for _ in range(2)]
    assert [row["prompt"] for row in rows] == ["the", "on"] * 5
    assert {row["tokens"] for row in rows if row["step"] == 20} == {20 * 2 * CONTEXT}


def test_without_prompts_held_out_documents_are_continued(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any]
) -> None:
    held_out = {"web": ["the cat sat", "on the mat"], "books": ["a dog", "the end"]}
    ids = {
        name: [i for text in texts for i in (*tokenizer.encode(text), tokenizer.document_end)]
        for name, texts in held_out.items()
    }
    corpus = Corpus(None, {name: np.array(each) for name, each in ids.items()})  # type: ignore[arg-type]
    for context, length in ((256, 8), (8, 2)):
        begun = [tokenizer.decode(tokenizer.encode(text)[:length]) for text in ("the cat sat", "a dog", "on the mat")]
        assert openings(corpus, tokenizer, context) == tuple(text.strip() for text in begun)


def test_samples_are_seeded(tokenizer: Tokenizer, make_model: Callable[..., LanguageModel]) -> None:
    model = make_model(context=CONTEXT)
    first, again, other = (samples(model, tokenizer, ("the",), seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_less_than_one_step_of_tokens_is_refused(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], corpus: Corpus
) -> None:
    settings = PretrainSettings(tokens=4 * CONTEXT - 1, batch_rows=4)
    with pytest.raises(InputError, match=r"less than one step of 4 rows of 16 tokens"):
        pretrain(make_model(context=CONTEXT), tokenizer, corpus, settings, make_workspace())


def test_four_micro_batches_of_one_row_equal_one_of_four(
    tokenizer: Tokenizer,
    make_model: Callable[..., LanguageModel],
    make_workspace: Callable[..., Any],
    plain_adam: Callable[..., OptimizerSettings],
    corpus: Corpus,
) -> None:
    weights, logs = [], []
    for micro in (1, 4):
        model, spot = make_model(context=CONTEXT), make_workspace(f"micro-{micro}")
        # A large eps keeps the update in proportion to the gradient, so that rounding stays rounding.
        settings = PretrainSettings(
            tokens=3 * 4 * CONTEXT, batch_rows=4, micro_rows=micro, evaluations=1, optimizer=plain_adam(1e-2, eps=1e-2)
        )
        pretrain(model, tokenizer, corpus, settings, spot)
        weights.append(model.state_dict())
        logs.append([row for row in read(spot, "metrics.jsonl") if "loss" in row])
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], atol=1e-6), name
    for one, four in zip(*logs, strict=True):
        assert one["loss"] == pytest.approx(four["loss"], rel=1e-6)
        assert one["grad_norm"] == pytest.approx(four["grad_norm"], rel=1e-5)


@pytest.mark.parametrize(("given", "expected"), [(None, 1), (2, 2)])
def test_a_run_goes_on_with_its_rows_at_once_where_there_is_more_memory_unless_told_otherwise(
    given: int | None,
    expected: int,
    tokenizer: Tokenizer,
    make_model: Callable[..., LanguageModel],
    make_workspace: Callable[..., Any],
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, spot = (
        PretrainSettings(tokens=6 * 2 * CONTEXT, batch_rows=2, evaluations=1),
        make_workspace("spot", 0, 0.0),
    )
    at_once, loss_of = list[int](), DataParallel.loss_of

    def watched(self: DataParallel, *batch: torch.Tensor) -> Any:
        at_once.append(len(batch[0]))
        return loss_of(self, *batch)

    monkeypatch.setattr(DataParallel, "loss_of", watched)
    dying = corpus_of(tokenizer, {"web": "the cat sat on the mat"}, {"web": 1.0}, rows=DyingRows)
    monkeypatch.setattr("gptwright.stages.pretrain.rows_at_once", lambda *_, **__: 1)
    with pytest.raises(Killed):
        pretrain(make_model(context=CONTEXT), tokenizer, dying, settings, spot)
    before = len(at_once)
    monkeypatch.setattr("gptwright.stages.pretrain.rows_at_once", lambda *_, **__: 2)
    settings = settings.model_copy(update={"micro_rows": given})
    pretrain(make_model(context=CONTEXT), tokenizer, corpus, settings, spot)
    assert 0 < before < len(at_once)
    assert (set(at_once[:before]), set(at_once[before:])) == ({1}, {expected})


def test_a_killed_run_ends_at_the_same_bits(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], corpus: Corpus
) -> None:
    settings = PretrainSettings(tokens=6 * 2 * CONTEXT, batch_rows=2, evaluations=2, sample_prompts=("the",))
    unbroken, whole = make_model(context=CONTEXT), make_workspace("unbroken")
    result = pretrain(unbroken, tokenizer, corpus, settings, whole)
    dying = corpus_of(tokenizer, {"web": "the cat sat on the mat"}, {"web": 1.0}, rows=DyingRows)
    spot = make_workspace("killed", checkpoint_seconds=0.0)
    with pytest.raises(Killed):
        pretrain(make_model(context=CONTEXT), tokenizer, dying, settings, spot)
    resumed = make_model(context=CONTEXT)
    again = pretrain(resumed, tokenizer, corpus, settings, spot)
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    assert (again.tokens, again.validation_loss) == (result.tokens, result.validation_loss)
    for name in ("metrics.jsonl", "samples.jsonl"):
        assert read(whole, name) == read(spot, name)


def test_final_measurement_is_made_though_the_run_was_killed_after_its_last_step(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], corpus: Corpus
) -> None:
    settings = PretrainSettings(tokens=2 * 2 * CONTEXT, batch_rows=2, evaluations=1)
    spot: Any = make_workspace()
    first = pretrain(make_model(context=CONTEXT), tokenizer, corpus, settings, spot)
    assert list(Path(spot.checkpoints).glob("step-*"))
    again = pretrain(make_model(context=CONTEXT), tokenizer, corpus, settings, spot)
    assert again.validation_loss == first.validation_loss


def test_a_run_killed_before_its_finishing_phase_ends_at_the_same_bits(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any]
) -> None:
    texts, main = {"web": "the cat sat on the mat", "books": "a dog"}, {"web": 1.0}
    finish = Finish({"web": 0.5, "books": 0.5}, first_row=4 * 2)
    settings = PretrainSettings(
        tokens=8 * 2 * CONTEXT,
        batch_rows=2,
        evaluations=1,
        optimizer=OptimizerSettings(schedule="stable_decay", decay=0.5),
    )
    unbroken, whole, spot = make_model(context=CONTEXT), make_workspace("whole"), make_workspace("killed", 0, 0.0)
    pretrain(unbroken, tokenizer, corpus_of(tokenizer, texts, main, finish=finish), settings, whole)
    with pytest.raises(Killed):
        dying = corpus_of(tokenizer, texts, main, rows=DyingRows, finish=finish)
        pretrain(make_model(context=CONTEXT), tokenizer, dying, settings, spot)
    resumed = make_model(context=CONTEXT)
    pretrain(resumed, tokenizer, corpus_of(tokenizer, texts, main, finish=finish), settings, spot)
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    # The rate is the peak up to the first step of the finishing phase, and falls over it.
    rates = [row["lr"] for row in read(whole, "metrics.jsonl") if "lr" in row]
    assert rates[:5] == [settings.optimizer.learning_rate] * 5
    assert rates[4] > rates[5] > rates[6] > rates[7]
    # What only the finish reads is measured too, and weighs nothing.
    last = [row for row in read(whole, "metrics.jsonl") if "validation_loss" in row][-1]
    assert last["bits_per_byte"] == pytest.approx(last["bits_per_byte/web"], rel=1e-6)
    assert last["bits_per_byte/books"] > 0


def test_a_model_taken_as_it_is_is_measured_and_not_changed(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], corpus: Corpus
) -> None:
    model, spot = make_model(context=CONTEXT), make_workspace()
    result = measure_untrained(model, tokenizer, corpus, spot)
    assert (result.tokens, result.seconds) == (0, 0.0)
    assert (result.validation_loss, result.bits_per_byte) == evaluate_language(model, tokenizer, corpus, spot)[:2]
    assert [row["step"] for row in read(spot, "metrics.jsonl")] == [0]
    for name, weight in make_model(context=CONTEXT).state_dict().items():
        assert torch.equal(weight, model.state_dict()[name]), name


def test_halves_side_by_side_learn_the_same_in_the_same_bits_each_time(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any], corpus: Corpus
) -> None:
    settings = PretrainSettings(
        tokens=8 * 4 * CONTEXT, batch_rows=4, optimizer=OptimizerSettings(muon=False, learning_rate=1e-3)
    )

    def weights(name: str, lanes: int, batch_rows: int = 4) -> dict[str, torch.Tensor]:
        model, spot = make_model(context=CONTEXT), make_workspace(name)
        chosen = settings.model_copy(update={"batch_rows": batch_rows})
        pretrain(model, tokenizer, corpus, chosen, replace(spot, path=replace(spot.path, lanes=lanes)))
        return dict(model.state_dict())

    whole, halves, again = weights("whole", 1), weights("halves", 2), weights("again", 2)
    for name, value in whole.items():
        assert torch.equal(halves[name], again[name])
        assert torch.allclose(halves[name], value, atol=2e-5)
    # A way of computing that was chosen for another number of rows.
    for rows in (3, 1):
        whole, halves = weights(f"{rows}-1", 1, rows), weights(f"{rows}-2", 2, rows)
        assert all(torch.equal(halves[name], value) for name, value in whole.items())


@pytest.mark.parametrize(("micro_rows", "side_by_side"), [(2, True), (4, False)])
def test_a_part_without_a_neighbour_has_all_threads(
    tokenizer: Tokenizer,
    make_model: Callable[..., LanguageModel],
    make_workspace: Callable[..., Any],
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    micro_rows: int,
    side_by_side: bool,
) -> None:
    threads, loss_of = set[str](), DataParallel.loss_of

    def watched(self: DataParallel, *batch: torch.Tensor) -> Any:
        threads.add(threading.current_thread().name)
        return loss_of(self, *batch)

    monkeypatch.setattr(DataParallel, "loss_of", watched)
    settings = PretrainSettings(tokens=2 * 4 * CONTEXT, batch_rows=4, micro_rows=micro_rows, evaluations=1)
    spot = make_workspace()
    spot = replace(spot, path=replace(spot.path, lanes=2))
    pretrain(make_model(context=CONTEXT), tokenizer, corpus, settings, spot)
    assert all(name.startswith("lane") is side_by_side for name in threads)
