"""The sections that compare finished models: headline, stages, use cases, win rates, answers side by side, variety."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gptwright.evaluate.generative import ALL
from gptwright.evaluate.intervals import Figure, figure_from_json
from gptwright.report import definitions, plots, wording
from gptwright.report.blocks import (
    Answer,
    Block,
    Card,
    Cards,
    Cell,
    Definitions,
    Plot,
    Plots,
    Section,
    Table,
    Tile,
    Tiles,
)
from gptwright.report.run_files import Row, RunFiles, required

_FEW_SHOT = "_few_shot"
_GREEDY = ", the likeliest token at every step"
_FIGURES = {
    "bits per byte of text": lambda evaluation, model: wording.decimal(evaluation.get("bits_per_byte", {}).get(model)),
    "entropy, nats per token": lambda evaluation, model: wording.decimal(evaluation.get("entropy", {}).get(model)),
    "distinct-1": lambda evaluation, model: wording.decimal(evaluation.get("distinct", {}).get(model, {}).get("1")),
    "distinct-2": lambda evaluation, model: wording.decimal(evaluation.get("distinct", {}).get(model, {}).get("2")),
    "self-BLEU": lambda evaluation, model: wording.decimal(evaluation.get("self_bleu", {}).get(model)),
    "same opening": lambda evaluation, model: wording.percent(evaluation.get("same_opening", {}).get(model)),
    "KL to SFT, nats per answer (k1)": lambda evaluation, model: _divergence(evaluation, model),
    "k3": lambda evaluation, model: wording.decimal(evaluation.get("kl", {}).get(model, {}).get("k3"), 2),
}
"""The columns of the table of variety."""
_HELD_OUT = {
    "held_out_facts": "facts that only the pretraining text tells",
    "held_out_phrasings": "prompts in phrasings that no text and no prompt of training has",
}
_BEHAVIOURS = {
    "continues_tasks": "Asked for something, continues the document instead of doing it",
    "writes_poem": 'Told "Here is a poem about ...:", writes it',
}


def headline_section(run: RunFiles) -> Section:
    evaluation = run.evaluation or {}
    tiles = []
    models = [model for model in evaluation.get("models", []) if not model.endswith(_FEW_SHOT)]
    for model in models:
        if ALL in evaluation.get("accuracy", {}).get(model, {}):
            figure = figure_from_json(evaluation["accuracy"][model][ALL], f"accuracy of {model}")
            tiles.append(
                Tile(f"{wording.spoken(model)} accuracy", wording.percent(figure.value), wording.percent_range(figure))
            )
    for row in _headline_wins(evaluation.get("win_rates", []), models):
        figure = figure_from_json(row, "win_rates")
        name = f"{wording.spoken(row['a'])} vs {wording.spoken(row['b'])}, win rate"
        counts = ", ".join(f"{row[key]:,} {key}" for key in ("wins", "ties", "losses") if key in row)
        note = f"{wording.percent_range(figure)}; {counts}" if counts else wording.percent_range(figure)
        tiles.append(Tile(name, wording.percent(figure.value), note))
    reward = run.reward_model or {}
    if "accuracy" in reward:
        ceiling = f"ceiling {wording.percent(reward['ceiling']['value'])}" if "ceiling" in reward else ""
        tiles.append(Tile("Reward model accuracy", wording.percent(reward["accuracy"]["value"]), ceiling))
    if "evaluate" in run.unasked and not tiles:
        return Section("headline", run.name, "What was read, and what was learned from it.", ())
    missing = run.not_evaluated("accuracy")
    intro = f"What each stage gained on the same held-out prompts{_GREEDY}. Small print: 95% intervals."
    return Section("headline", run.name, intro, (Tiles(tuple(tiles)),) if tiles else (), missing)


def stages_section(run: RunFiles) -> Section:
    intro = (
        "Four stages in a row, each with its data, algorithm and model; the last row is its part of all the compute."
    )
    missing = run.not_evaluated("stages")
    if missing:
        return Section("stages", "The four stages", intro, (), missing)
    stages: list[Row] = (run.evaluation or {})["stages"]
    rows: list[tuple[Cell, ...]] = []
    for key in ("data", "algorithm", "model"):
        rows.append((key.capitalize(), *(str(stage.get(key, wording.NOTHING)) for stage in stages)))
    rows.append(("Tokens", *(wording.count(stage.get("tokens")) for stage in stages)))
    rows.append(("Time", *(wording.duration(stage.get("seconds")) for stage in stages)))
    rows.append(("Operations", *(wording.scientific(stage.get("flops")) for stage in stages)))
    rows.append(("Share of compute", *(wording.percent(stage.get("share")) for stage in stages)))
    head = ("", *(wording.spoken(str(required(stage, "stage", "evaluation.json, stages"))) for stage in stages))
    blocks: list[Block] = [Table("How this run was made.", head, tuple(rows), prose=True)]
    shares = {str(label): stage["share"] for label, stage in zip(head[1:], stages, strict=True) if stage.get("share")}
    if shares:
        blocks.append(Plots((_amounts("compute", "Share of all compute.", shares, wording.percent),)))
    return Section("stages", "The four stages", intro, tuple(blocks))


def use_case_section(run: RunFiles) -> Section:
    intro = f"The same held-out prompts for every model{_GREEDY}."
    evaluation = run.evaluation or {}
    blocks: list[Block] = []
    drawn = []
    kinds = (
        ("accuracy", "Accuracy by use case: the share of right answers."),
        ("gold", "Gold score by use case, from 0 to 1."),
    )
    for key, caption in kinds:
        figures = _figures_by_model(evaluation.get(key, {}), evaluation.get("models", []), key)
        if figures:
            cases = _use_cases(figures)
            blocks.append(_use_case_table(caption, cases, figures, percent=key == "accuracy"))
            drawn.append(_use_case_plot(key, caption, cases, figures))
    if drawn:
        blocks.insert(0, Plots(tuple(drawn)))
    blocks += [*_sampled_table(evaluation.get("sampled", {})), *_base_blocks(evaluation)]
    return Section("use-cases", "Accuracy and gold score", intro, tuple(blocks), run.not_evaluated("accuracy", "gold"))


def win_rate_section(run: RunFiles) -> Section:
    intro = f"Both models answer the same prompt{_GREEDY}; the higher gold score wins, a tie counts half."
    missing = run.not_evaluated("win_rates")
    if missing:
        return Section("win-rates", "Win rates", intro, (), missing)
    wins: list[Row] = (run.evaluation or {})["win_rates"]
    figures = [figure_from_json(row, "win_rates") for row in wins]
    sides = [[wording.spoken(required(row, side, "evaluation.json, win_rates")) for side in "ab"] for row in wins]
    labels = [f"{first} vs {second}" for first, second in sides]
    rows = []
    for label, row, figure in zip(labels, wins, figures, strict=True):
        counts = (f"{row[key]:,}" if key in row else wording.NOTHING for key in ("wins", "ties", "losses"))
        rows.append((label, wording.measured_percent(figure), *counts))
    alt = "Win rates with 95% intervals: " + "; ".join(
        f"{label} {wording.percent(figure.value)} ({wording.percent_range(figure)})"
        for label, figure in zip(labels, figures, strict=True)
    )
    svg = plots.interval_plot("win-rates", labels, figures, alt=alt, centre=0.5)
    plot = Plots((Plot(svg, "Win rate of the first-named model; at the dashed line both are equally good."),))
    table = Table("Win rates and what they were counted from.", ("", "win rate", "wins", "ties", "losses"), tuple(rows))
    blocks: tuple[Block, ...] = (plot, table) if wins else ()
    rated = (run.evaluation or {}).get("ratings", {})
    if rated:
        blocks += (_ratings_table(rated),)
    return Section("win-rates", "Win rates", intro, blocks)


def _ratings_table(rated: Row) -> Table:
    """The best first."""
    figures = {name: figure_from_json(value, f"ratings {name}") for name, value in rated.items()}
    order = sorted(figures, key=lambda name: -figures[name].value)
    rows = tuple(
        (wording.spoken(name), f"{figure.value:.0f}", _range(figure))
        for name, figure in ((name, figures[name]) for name in order)
    )
    caption = "Ratings from all of these games at once (Bradley-Terry on Elo's scale, SFT is 1000): 100 points are 64%."
    return Table(caption, ("", "rating", "95% interval"), rows)


def _range(figure: Figure) -> str:
    return "fixed" if figure.low == figure.high else f"{figure.low:.0f} to {figure.high:.0f}"


def panel_section(run: RunFiles) -> Section:
    intro = f"The same prompts, answered by the model of each stage{_GREEDY}; each answer with its gold score."
    missing = run.not_evaluated("panel")
    if missing:
        return Section("panel", "Side by side", intro, (), missing)
    evaluation = run.evaluation or {}
    cards = tuple(_card(row, evaluation.get("models", [])) for row in evaluation["panel"])
    return Section("panel", "Side by side", intro, (Cards(cards),))


def diversity_section(run: RunFiles) -> Section:
    intro = "What finetuning and reinforcement learning may cost: likelihood of plain text, and variety of answers."
    evaluation = run.evaluation or {}
    names = ("bits_per_byte", "entropy", "distinct", "self_bleu")
    present = [name for name in names if name in evaluation]
    models = [model for model in evaluation.get("models", []) if any(model in evaluation[name] for name in present)]
    columns = {name: [cell(evaluation, model) for model in models] for name, cell in _FIGURES.items()}
    columns = {name: cells for name, cells in columns.items() if any(cell != wording.NOTHING for cell in cells)}
    rows = tuple((wording.spoken(model), *cells) for model, *cells in zip(models, *columns.values(), strict=True))
    caption = (
        "Likelihood of held-out text, and variety of answers sampled at temperature 1; a dash stands where a model's "
        "answers were not looked at."
    )
    table = Table(caption, ("", *columns), rows)
    blocks: tuple[Block, ...] = (table, *_drawn_figures(evaluation, models)) if rows else ()
    return Section("diversity", "Diversity and likelihood", intro, blocks, run.not_evaluated(*names))


def _drawn_figures(evaluation: Row, models: Sequence[str]) -> list[Block]:
    """Likelihood of text, entropy, variety and KL of the models that have them, a small plot each."""
    distinct = {model: figures.get("2") for model, figures in evaluation.get("distinct", {}).items()}
    divergence = {model: figures.get("k1", {}).get("value") for model, figures in evaluation.get("kl", {}).items()}
    found = []
    for name, caption, by_model in (
        ("bits", "Bits per byte of held-out text.", evaluation.get("bits_per_byte", {})),
        ("entropy", "Entropy, nats per token.", evaluation.get("entropy", {})),
        ("distinct", "Distinct-2: the share of word pairs that are different ones.", distinct),
        ("kl", "KL to SFT, nats per answer.", divergence),
    ):
        values = {wording.spoken(model): by_model[model] for model in models if by_model.get(model) is not None}
        if values:
            found.append(_amounts(f"models-{name}", caption, values, wording.decimal))
    return [Plots(tuple(found), small=True)] if found else []


def _amounts(name: str, caption: str, values: Mapping[str, float], word: Callable[[float], str]) -> Plot:
    told = [word(value) for value in values.values()]
    spoken = ", ".join(f"{label} {figure}" for label, figure in zip(values, told, strict=True))
    svg = plots.amount_plot(name, list(values), list(values.values()), told, alt=f"{caption} {spoken}.")
    return Plot(svg, caption)


def definitions_section() -> Section:
    return Section(
        "definitions", "How to read this", "What each figure means.", (Definitions(definitions.DEFINITIONS),)
    )


def _headline_wins(wins: Sequence[Row], models: Sequence[str]) -> list[Row]:
    """The last policy over the SFT model, what the whole second half of the recipe was for; without one, SFT over the
    base model after examples.
    """
    before = ("base", "base_few_shot", "sft")
    policies = [model for model in models if model not in (*before, "ppo_without_mix")]
    pair = (policies[-1], "sft") if policies else ("sft", "base_few_shot")
    return [row for row in wins if (row.get("a"), row.get("b")) == pair]


def _figures_by_model(values: Mapping[str, Any], models: Sequence[str], name: str) -> dict[str, dict[str, Figure]]:
    return {
        model: {case: figure_from_json(value, f"{name} of {model}, {case}") for case, value in values[model].items()}
        for model in models
        if model in values
    }


def _use_cases(figures: Mapping[str, Mapping[str, Figure]]) -> list[str]:
    cases = {case for by_case in figures.values() for case in by_case}
    return [*([ALL] if ALL in cases else []), *sorted(cases - {ALL})]


def _use_case_table(
    caption: str, cases: Sequence[str], figures: Mapping[str, Mapping[str, Figure]], *, percent: bool
) -> Table:
    cell = wording.measured_percent if percent else wording.measured
    rows = tuple((wording.spoken(case), *(cell(by_case.get(case)) for by_case in figures.values())) for case in cases)
    return Table(caption, ("", *(wording.spoken(model) for model in figures)), rows)


def _use_case_plot(key: str, caption: str, cases: Sequence[str], figures: Mapping[str, Mapping[str, Figure]]) -> Plot:
    bars = {wording.spoken(model): [by_case.get(case) for case in cases] for model, by_case in figures.items()}
    overall = [f"{label} {values[0].value:.3f}" for label, values in bars.items() if values[0]]
    alt = f"{caption} Over all: {', '.join(overall)}. The table below has every number."
    groups = [wording.spoken(case) for case in cases]
    svg = plots.bar_plot(f"use-cases-{key}", groups, bars, alt=alt, percent=key == "accuracy")
    return Plot(svg, f"{caption} Lines: 95% intervals.")


def _sampled_table(sampled: Row) -> list[Block]:
    """Accuracy, gold score and win rates of answers drawn at temperature 1, over all use cases."""
    models = [model for model, by_case in sampled.get("gold", {}).items() if ALL in by_case]

    def cell(key: str, model: str) -> Cell:
        value = sampled.get(key, {}).get(model, {}).get(ALL)
        figure = figure_from_json(value, f"sampled {key} of {model}") if value else None
        return wording.measured_percent(figure) if key == "accuracy" else wording.measured(figure)

    rows: list[tuple[Cell, ...]] = [
        (wording.spoken(model), cell("accuracy", model), cell("gold", model), wording.NOTHING) for model in models
    ]
    for row in sampled.get("win_rates", []):
        figure = figure_from_json(row, "sampled win_rates")
        name = f"{wording.spoken(row['a'])} vs {wording.spoken(row['b'])}"
        rows.append((name, wording.NOTHING, wording.NOTHING, wording.measured_percent(figure)))
    caption = "The same at temperature 1, as answers are sampled in training: every token drawn by its probability."
    return [Table(caption, ("", "accuracy", "gold score", "win rate"), tuple(rows))] if rows else []


def _base_blocks(evaluation: Row) -> list[Block]:
    blocks: list[Block] = []
    models = evaluation.get("models", [])
    shown = [model for model in models if any(model in evaluation.get(key, {}) for key in _HELD_OUT)]
    if shown:

        def cell(key: str, model: str) -> Cell:
            value = evaluation.get(key, {}).get(model)
            return wording.measured_percent(figure_from_json(value, f"{key} of {model}")) if value else wording.NOTHING

        rows = tuple((asked, *(cell(key, model) for model in shown)) for key, asked in _HELD_OUT.items())
        head = ("", *(wording.spoken(model) for model in shown))
        blocks.append(Table("Right answers to what no stage after pretraining had seen.", head, rows))
    behaviour = evaluation.get("base_behaviour", {})
    rows = tuple(
        (_BEHAVIOURS.get(key, wording.spoken(key)), wording.measured_percent(figure_from_json(value, key)))
        for key, value in behaviour.items()
    )
    if rows:
        blocks.append(Table("A base model is no assistant: it completes documents.", ("", "share of prompts"), rows))
    return blocks


def _card(row: Row, models: Sequence[str]) -> Card:
    place = "evaluation.json, panel"
    answers = required(row, "answers", place)
    shown = [model for model in models if model in answers] + sorted(set(answers) - set(models))
    verdicts = {True: "right", False: "wrong"}
    return Card(
        wording.spoken(str(row.get("use_case", "other"))),
        str(required(row, "prompt", place)),
        tuple(
            Answer(
                wording.spoken(model),
                str(required(answers[model], "text", place)),
                f"score {wording.decimal(answers[model].get('score'), 2)}",
                verdicts.get(answers[model].get("correct"), ""),
            )
            for model in shown
        ),
    )


def _divergence(evaluation: Row, model: str) -> Cell:
    divergence = evaluation.get("kl", {}).get(model, {})
    if "k1" not in divergence:
        return wording.NOTHING
    return wording.measured(figure_from_json(divergence["k1"], f"kl of {model}"), 2)
