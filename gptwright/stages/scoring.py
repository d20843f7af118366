"""Reading a reward model: a prompt and an answer in, one number out.

    score = w . hidden(reward token) + bias + likelihood * log p(answer | prompt) + repetition * count_repeated(answer)

The last two terms are there when the model was made with them; the likelihood is read off the model's own next-token
predictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from gptwright.losses.language import token_logprobs
from gptwright.model.transformer import ScalarModel
from gptwright.records import Comparison, Message
from gptwright.stages.packing import Tree, branches_at_once, groups_of_trees, pack_trees, picked
from gptwright.stages.repetition import count_repeated
from gptwright.tokenizer.chat import render_prompt, response_ids
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath, tree_trunk
from gptwright.train.progress import say

Places = Sequence[Sequence[int]]
"""For each row, where its tokens stand among all tokens of the batch."""


class ScoredRow(NamedTuple):
    """A prompt, an answer from `start` on, and the reward token; `repeated` is what `count_repeated` found in it."""

    ids: list[int]
    start: int
    repeated: int = 0


def tree_of(rows: Sequence[ScoredRow]) -> Tree:
    """The prompt that these rows share, and what follows it in each."""
    start = rows[0].start
    return rows[0].ids[:start], [row.ids[start:] for row in rows]


def scored_row(messages: Sequence[Message], answer: str, tokenizer: Tokenizer) -> ScoredRow:
    """A prompt and a finished answer as the reward model reads them."""
    prompt = render_prompt(messages, tokenizer)
    ids = [*prompt, *response_ids(answer, tokenizer), tokenizer.reward]
    return ScoredRow(ids, len(prompt), count_repeated(answer))


def comparison_rows(comparison: Comparison, tokenizer: Tokenizer) -> list[ScoredRow]:
    """A row per answer, in order."""
    return [scored_row(comparison.prompt.messages, answer, tokenizer) for answer in comparison.answers]


def that_fit_whole(comparisons: Sequence[Comparison], tokenizer: Tokenizer, context: int) -> list[Comparison]:
    """The comparisons of which each answer can be read whole, and says how many can't; what several labellers ranked is
    looked at once.
    """
    shown = {(c.prompt, c.answers): c for c in comparisons}
    fits = {key: all(len(row.ids) <= context for row in comparison_rows(c, tokenizer)) for key, c in shown.items()}
    kept = [c for c in comparisons if fits[c.prompt, c.answers]]
    if len(kept) < len(comparisons):
        say(
            f"  left out {len(comparisons) - len(kept)} of {len(comparisons)} comparisons: prompt and answers do not "
            f"fit into model.context ({context} tokens)"
        )
    return kept


def answer_loglikelihood(output_VD: Tensor, hidden_ND: Tensor, rows: Sequence[ScoredRow], places: Places) -> Tensor:
    """log p(answer | prompt) in nats, end mark included and reward token not, by the trunk's predictions -> (B,).

    `hidden_ND` are the final hidden states of N tokens; row b's token t stands at `places[b][t]`; `output_VD` predicts.
    """
    spans = [range(row.start, len(row.ids) - 1) for row in rows]
    before = [place[t - 1] for place, span in zip(places, spans, strict=True) for t in span]
    target = [row.ids[t] for row, span in zip(rows, spans, strict=True) for t in span]
    before_A = torch.tensor(before, device=hidden_ND.device)  # A answer tokens, row after row
    logits_AV = functional.linear(picked(hidden_ND, before_A), output_VD)
    logprob_A = token_logprobs(logits_AV, torch.tensor(target, device=hidden_ND.device))
    return torch.stack([part.sum() for part in logprob_A.split([len(span) for span in spans])])


def score_hidden(
    model: ScalarModel,
    hidden_ND: Tensor,
    rows: Sequence[ScoredRow],
    places: Places,
    loglikelihood_B: Tensor | None = None,
) -> Tensor:
    """Scores from final hidden states -> (B,) float32; log-likelihoods that count and are not given are computed."""
    ends = [place[len(row.ids) - 1] for place, row in zip(places, rows, strict=True)]
    score_B = model.read(picked(hidden_ND, torch.tensor(ends, device=hidden_ND.device)))
    if model.repetition is not None:
        repeated_B = torch.tensor([float(row.repeated) for row in rows], device=score_B.device)
        score_B = score_B + model.repetition * repeated_B
    if model.likelihood is None:
        return score_B
    if loglikelihood_B is None:
        loglikelihood_B = answer_loglikelihood(model.output_matrix, hidden_ND, rows, places)
    return score_B + model.likelihood * loglikelihood_B


def score_all(model: ScalarModel, rows: Sequence[ScoredRow], pad: int, path: FastPath) -> list[float]:
    """Scores of many rows, in order; rows that follow each other with one prompt read it once."""
    return [score for part in score_parts(model, rows, pad, path) for score in part]


def score_parts(model: ScalarModel, rows: Sequence[ScoredRow], pad: int, path: FastPath) -> Iterator[list[float]]:
    """What `score_all` gives, as one pass through the model after the other comes to it."""
    hidden_of, context = tree_trunk(model.model, path), model.config.context
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.ids[: row.start])]
    same = [[group[b] for b in held] for group in groups for held in branches_at_once(tree_of(group), context)]
    trees = [tree_of(group) for group in same]
    for group in groups_of_trees(trees):
        packed = pack_trees([trees[i] for i in group], context, pad).to(path.device)
        # A program compiled for training is read as it is: compiling one without gradients takes longer than it saves.
        with torch.set_grad_enabled(path.compiled):
            hidden_RTD = hidden_of(packed.ids_RT, packed.segment_RT, packed.parent_RT, packed.position_RT)
        with torch.no_grad(), path.autocast():
            read, places = [row for i in group for row in same[i]], [place for tree in packed.places for place in tree]
            scores = score_hidden(model, hidden_RTD.detach().flatten(0, 1), read, places).tolist()
        yield scores


def score_comparisons(
    model: ScalarModel, comparisons: Sequence[Comparison], tokenizer: Tokenizer, path: FastPath
) -> list[list[float]]:
    """A score for every answer of every comparison; answers that several labellers ranked are read once."""
    rows = {(c.prompt, c.answers): comparison_rows(c, tokenizer) for c in comparisons}
    flat = iter(score_all(model, [row for answers in rows.values() for row in answers], tokenizer.pad, path))
    scores = {key: [next(flat) for _ in answers] for key, answers in rows.items()}
    return [scores[c.prompt, c.answers] for c in comparisons]
