"""The page of a synthetic run: whole, self-contained, safe, the same every time, honest about what is missing."""

import json
import math
import os
import re
import subprocess
import sys

import pytest
import yaml

from gptwright.errors import InputError
from gptwright.report import render_report, write_report
from gptwright.report.evaluation_sections import diversity_section, panel_section, use_case_section, win_rate_section
from gptwright.report.practice_sections import frontier_curves, practice_sections
from gptwright.report.run_files import last, read_run, series
from gptwright.report.training_sections import pretraining_section, sft_section

SECTIONS = (
    "The four stages",
    "Corpus and tokenizer",
    "Pretraining",
    "Supervised finetuning",
    "Reward model",
    "Reinforcement learning: PPO",
    "Accuracy and gold score",
    "Win rates",
    "Side by side",
    "Diversity and likelihood",
    "How to read this",
)


def change_evaluation(run_dir, change):
    path = run_dir / "evaluation.json"
    evaluation = json.loads(path.read_text(encoding="utf-8"))
    change(evaluation)
    path.write_text(json.dumps(evaluation), encoding="utf-8")


def test_sections_stand_in_the_order_in_which_they_are_read(page):
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert tuple(titles) == SECTIONS


def test_a_whole_run_lacks_nothing(page):
    assert 'class="missing"' not in page


def test_headline_shows_the_gain_of_each_stage(page):
    header = page.partition("</header>")[0]
    tiles = re.findall(r"<li><span>(.*?)</span><strong>(.*?)</strong>", header)
    assert tiles == [
        ("Base accuracy", "6.0%"),
        ("SFT accuracy", "68.1%"),
        ("PPO accuracy", "79.0%"),
        ("PPO vs SFT, win rate", "58.5%"),  # (231 wins + 240 ties / 2) of 600
        ("Reward model accuracy", "74.2%"),
    ]


@pytest.mark.parametrize("other", ["ppo_without_mix", "dpo"])
def test_headline_tells_the_last_policy_over_sft_whatever_else_was_tried(run_dir, other):
    def beside(evaluation):
        place = -1 if other == "dpo" else len(evaluation["models"])
        evaluation["models"].insert(place, other)

    change_evaluation(run_dir, beside)
    header = render_report(run_dir).partition("</header>")[0]
    assert "<span>PPO vs SFT, win rate</span><strong>58.5%</strong>" in header
    assert "231 wins, 240 ties, 129 losses" in header


def test_page_asks_nothing_of_the_network(page):
    assert not re.search(r"(src|href|action|data)\s*=\s*[\"']?\s*(https?:)?//", page)
    assert not re.search(r"@import|url\((?!#)", page)
    assert "<script" not in page and "<link" not in page


def test_references_inside_the_page_lead_somewhere(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert targets <= set(ids)


def test_answers_prompts_and_names_are_escaped(run_dir):
    attack = "<script>alert('x')</script>"

    def change(evaluation):
        evaluation["panel"][0]["answers"]["ppo"]["text"] = attack
        evaluation["panel"][0]["prompt"] = attack
        evaluation["panel"][0]["use_case"] = attack
        evaluation["win_rates"][0]["a"] = attack
        evaluation["accuracy"]["sft"][attack] = evaluation["accuracy"]["sft"]["all"]

    change_evaluation(run_dir, change)
    page = render_report(run_dir)
    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;alert(") >= 6


def test_whitespace_of_an_answer_is_kept(page):
    assert "It is Tamsel.\n  It has 3 bridges." in page


def test_every_prompt_of_the_panel_appears_with_each_answer(page):
    assert page.count("<article>") == 12
    for i in range(12):
        assert f"Question {i}: what is the capital" in page
        assert f"It has {i} bridges." in page


def test_same_run_gives_the_same_bytes_in_another_process(whole_run, page):
    code = "import sys; from pathlib import Path; from gptwright.report import render_report; "
    code += "sys.stdout.reconfigure(newline='', encoding='utf-8'); sys.stdout.write(render_report(Path(sys.argv[1])))"
    environment = os.environ | {"PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}
    done = subprocess.run([sys.executable, "-c", code, whole_run], capture_output=True, env=environment, check=True)
    assert done.stdout == page.encode()


@pytest.mark.parametrize(
    ("section", "file"),
    [
        ("pretraining", "base/metrics.jsonl"),
        ("pretraining", "base/samples.jsonl"),
        ("sft", "sft/metrics.jsonl"),
        ("reward", "reward/metrics.jsonl"),
        ("reward", "reward/figures.json"),
        ("ppo", "ppo/metrics.jsonl"),
        ("corpus", "tokenizer/stats.json"),
        ("corpus", "corpus/manifest.json"),
        ("panel", "evaluation.json"),
    ],
)
def test_a_missing_file_is_named_in_its_section_with_the_command_that_makes_it(tmp_path, section, file):
    page = render_report(tmp_path)
    text = page.partition(f'<section id="{section}">')[2].partition("</section>")[0]
    assert re.search(rf'class="missing">[^<]*{file}[^<]*gptwright run RECIPE --dir {tmp_path}', text)


def test_sections_that_the_recipe_leaves_out_are_left_out(tmp_path):
    left_out = {"sft": None, "reward": None, "ppo": None, "evaluate": None}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "text", "pretrain": {}, **left_out}))
    page = render_report(tmp_path)
    assert re.findall(r'<section id="(.*?)">', page) == ["corpus", "pretraining", "definitions"]
    assert f"gptwright run RECIPE --dir {tmp_path} makes it" in page and "evaluation.json" not in page


def test_a_sample_of_real_text_may_hold_other_signs_that_end_a_line(run_dir):
    row = {"step": 1, "tokens": 1, "prompt": "a", "text": "b\u2028c\x85d"}
    (run_dir / "base" / "samples.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_run(run_dir).samples == [row]
    (run_dir / "base" / "samples.jsonl").write_bytes(b'{"step": "\xff"}\n')
    with pytest.raises(InputError, match=r"samples\.jsonl is damaged \(not UTF-8 at byte 10\)"):
        read_run(run_dir)


def test_an_empty_run_still_has_every_section(tmp_path):
    assert re.findall(r"<h2>(.*?)</h2>", render_report(tmp_path)) == list(SECTIONS)


def test_one_missing_file_does_not_hide_the_rest_of_its_section(run_dir):
    (run_dir / "base" / "samples.jsonl").unlink()
    section = pretraining_section(read_run(run_dir))
    assert [block.kind for block in section.blocks] == ["plots", "table", "table"]
    assert len(section.missing) == 1


def test_a_run_of_an_earlier_version_shows_where_its_curve_ended(run_dir):
    path = run_dir / "base" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    held_out = [row["validation_loss"] for row in rows if "validation_loss" in row][-1]
    rows = [{key: value for key, value in row.items() if not key.startswith("final_")} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (table,) = (b for b in pretraining_section(read_run(run_dir)).blocks if "ended" in getattr(b, "caption", ""))
    assert table.caption == "Where pretraining ended."
    assert f"{held_out:.3f}" in str(table.rows)


def test_a_part_missing_from_the_evaluation_is_named(run_dir):
    change_evaluation(run_dir, lambda evaluation: evaluation.pop("win_rates"))
    assert "win_rates in evaluation.json" in win_rate_section(read_run(run_dir)).missing[0]


def test_every_plot_is_described_in_words(page):
    labels = re.findall(r'<svg role="img"[^>]*aria-label="([^"]+)"', page)
    assert len(labels) == page.count("<svg") == page.count("<figure>") > 15
    assert "PPO vs SFT 58.5% (55.5 to 61.5)" in " ".join(labels)


def test_plots_take_their_colours_from_the_page(page):
    svgs = " ".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--series-2)" in svgs
    assert not re.search(r"(fill|stroke): #", svgs)


@pytest.mark.parametrize("content", ["{broken", "[1]"])
def test_a_broken_file_is_refused_by_line(run_dir, content):
    path = run_dir / "sft" / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n' + content, encoding="utf-8")
    with pytest.raises(InputError, match=r"sft.metrics\.jsonl, line 2"):
        render_report(run_dir)


def test_a_figure_without_interval_is_refused_by_name(run_dir):
    change_evaluation(run_dir, lambda evaluation: evaluation["accuracy"]["sft"]["all"].pop("low"))
    with pytest.raises(InputError, match="accuracy of sft"):
        render_report(run_dir)


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a directory"):
        render_report(tmp_path / "nowhere")


def test_an_undefined_value_leaves_a_gap_in_its_curve(run_dir):
    path = run_dir / "sft" / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2}\n{"step": 2, "loss": null}\n{"step": 3, "loss": NaN}\n', encoding="utf-8")
    rows = read_run(run_dir).metrics["sft"]
    assert last(rows, "loss") == 2.0
    assert [math.isnan(value) for value in series(rows, "loss")[1]] == [False, True, True]
    assert len(sft_section(read_run(run_dir)).blocks) == 1


def test_writing_replaces_the_page_and_leaves_nothing_else(run_dir, page):
    (run_dir / "report.html").write_text("old", encoding="utf-8")
    before = set(run_dir.iterdir())
    assert write_report(run_dir) == run_dir / "report.html"
    assert (run_dir / "report.html").read_text(encoding="utf-8") == page
    assert set(run_dir.iterdir()) == before


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_asked_for_by_its_extra(run_dir, monkeypatch, package):
    for module in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=re.escape("pip install 'gptwright[report]'")):
        render_report(run_dir)


def test_a_panel_row_without_answers_is_refused_by_place(run_dir):
    change_evaluation(run_dir, lambda evaluation: evaluation["panel"][3].pop("answers"))
    with pytest.raises(InputError, match="panel has no 'answers'"):
        panel_section(read_run(run_dir))


def test_bits_per_byte_of_each_source_from_first_to_last(run_dir):
    rows = read_run(run_dir).metrics["base"]
    (table,) = [
        b for b in pretraining_section(read_run(run_dir)).blocks if "each source's" in getattr(b, "caption", "")
    ]
    first, final = (next(row for row in order if "bits_per_byte/web" in row) for order in (rows, rows[::-1]))
    assert [row[0] for row in table.rows] == ["web", "books"]
    assert table.rows[0][1:] == tuple(f"{row['bits_per_byte/web']:.3f}" for row in (first, final))


def table_of(section, caption):
    (table,) = [block for block in section.blocks if caption in getattr(block, "caption", "")]
    return table


def test_answers_at_temperature_1_are_told_beside_the_likeliest(whole_run):
    table = table_of(use_case_section(read_run(whole_run)), "at temperature 1")
    assert [row[0] for row in table.rows] == ["SFT", "PPO", "PPO vs SFT"]
    assert table.rows[2][3].value == "54.2%"  # (200 wins + 250 ties / 2) of 600


def test_a_column_without_any_value_is_left_out(run_dir):
    change_evaluation(run_dir, lambda evaluation: evaluation.pop("same_opening"))
    head = table_of(diversity_section(read_run(run_dir)), "variety").head
    assert "self-BLEU" in head
    assert "same opening" not in head


def test_the_page_says_where_the_saved_policy_lies(run_dir):
    assert "lies" not in practice_sections(read_run(run_dir))[0].intro
    (run_dir / "recipe.yaml").write_text("name: quickstart\nppo: {interpolation: 0.5}\n", encoding="utf-8")
    assert "lies 50% of the way to it from SFT" in practice_sections(read_run(run_dir))[0].intro


def test_gold_stands_over_the_kl_of_the_policy_that_it_was_measured_on():
    rows = [{"step": step, "kl/k3": float((step - 1) ** 2), "reward/score": 10.0 + step} for step in (1, 2, 3)]
    rows += [{"step": step, "gold_score": 0.5 + step / 10} for step in (0, 2, 3)]
    reward, gold = frontier_curves(rows)
    assert reward == ([0.0, 1.0, 2.0], [11.0, 12.0, 13.0])
    assert gold == ([0.0, 2.0], [0.5, 0.7])  # of the last policy there are no answers to tell its KL by


def test_every_way_to_go_on_from_sft_has_its_curves(run_dir):
    dpo = [{"step": step, "loss": 0.7, "accuracy": 0.5, "margin": 0.0, "lr": 1e-4} for step in (1, 2)]
    dpo += [{"step": 0, "validation_accuracy": 0.5}, {"step": 2, "gold_score": 0.7, "accuracy": 0.99}]
    rejection = [{"step": step, "epoch": step / 2, "loss": 1.0, "lr": 1e-3} for step in (1, 2)]
    rejection += [{"step": 0, "epoch": 0, "validation_loss": 1.1, "held_out/reward": 0.2, "held_out/right": 0.3}]
    for stage, rows in (("dpo", dpo), ("rejection", rejection), ("ppo_without_mix", read_run(run_dir).metrics["ppo"])):
        (run_dir / stage).mkdir()
        (run_dir / stage / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_run(run_dir)
    assert [section.slug for section in practice_sections(found)] == [
        "dpo",
        "rejection",
        "ppo",
    ]  # a leftover is left out
    (run_dir / "recipe.yaml").write_text("name: quickstart\nevaluate: {without_mix: true}\n", encoding="utf-8")
    sections = practice_sections(read_run(run_dir))
    assert [section.slug for section in sections] == ["dpo", "rejection", "ppo", "ppo_without_mix"]
    captions = [[plot.caption for block in section.blocks for plot in block.plots] for section in sections]
    assert "Share of pairs ordered as labelled." in captions[0] and "0.99" not in str(sections[0].blocks)
    assert captions[1][-2:] == ["On held-out prompts: reward.", "On held-out prompts: right."]
    assert captions[2] == captions[3]
    assert len({section.title for section in sections}) == 4
