"""Whatever a model that knows nothing would say, an answer under a grammar is valid."""

from __future__ import annotations

import json
import random
import re
import sys
from typing import Any

import pytest
import torch

from gptwright.engine.constraint import Constraints, Grammar
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.protocol import whole_text
from gptwright.engine.request import Completion, Request
from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.tokenizer.bpe import train_bpe
from gptwright.tokenizer.tokenizer import Tokenizer

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema, which the extra dev brings")


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    """Tokens of several characters: what is forced is seldom a whole number of them."""
    text = ['{"name": "Ann", "age": 31, "tags": ["red", "blue"]}', "the capital of France is Paris. true false null "]
    return train_bpe(text * 20, vocab_size=320)


@pytest.fixture(scope="module")
def engine(words: Tokenizer) -> Engine:
    config = ModelConfig(
        vocab_size=words.vocab_size, context=512, width=16, layers=1, heads=2, kv_heads=1, head_dim=8, hidden=24
    )
    model = LanguageModel(config).eval()
    initialise(model, seed=1)
    return Engine(model, stop_ids={words.end_of_turn, words.document_end}, tokenizer=words)


def answers(engine: Engine, grammars: list[Grammar], **wishes: Any) -> list[Completion]:
    wishes = {"max_new_tokens": 500, **wishes}
    requests = [Request([65, 66], SamplingParams(grammar=g, seed=i, **wishes)) for i, g in enumerate(grammars)]
    return engine.generate(requests)


def said(engine: Engine, completion: Completion) -> str:
    assert engine.tokenizer is not None
    return whole_text(completion.ids, engine.tokenizer)


def random_schema(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    """Any kind of schema whose values are short: what is longer than the context could only be cut off."""
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "const", "pattern"]
    kind = rng.choice(kinds + ["object", "array", "anyOf"] * (2 if depth < 2 else 0))
    if kind == "object":
        names = rng.sample(["name", "age", "é", "a b", "tags", "x/y", 'q"'], rng.randint(0, 3))
        properties = {name: random_schema(rng, depth + 1) for name in names}
        required = [name for name in names if rng.random() < 0.6]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if kind == "array":
        least = rng.randint(0, 2)
        return {"type": "array", "items": random_schema(rng, depth + 1), "minItems": least, "maxItems": least + 1}
    if kind == "anyOf":
        return {"anyOf": [random_schema(rng, depth + 1) for _ in range(2)]}
    low = rng.randint(-50, 50)
    simple: dict[str, dict[str, Any]] = {
        "string": {"type": "string", "maxLength": rng.randint(0, 6)},
        "integer": {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 1000)},
        "number": {"type": "number", "minimum": low, "maximum": low + 1, "multipleOf": 0.25},
        "enum": {"enum": [rng.randint(0, 9), "red", None, "deep blue"][: rng.randint(1, 4)]},
        "const": {"const": {"v": rng.randint(0, 99)}},
        "pattern": {"type": "string", "pattern": rng.choice(["^[a-f]{2,4}$", "^(yes|no)$", r"^\\d{4}-\\d\\d$"])},
    }
    return simple.get(kind, {"type": kind})


def test_a_thousand_random_schemas_are_followed(engine: Engine) -> None:
    rng = random.Random(0)
    schemas = [random_schema(rng) for _ in range(1000)]
    completions = answers(engine, [Grammar.json_schema(schema) for schema in schemas], temperature=1.5)
    assert sum(completion.finish_reason == "stop" for completion in completions) >= 980
    for schema, completion in zip(schemas, completions, strict=True):
        if completion.finish_reason == "stop":
            jsonschema.validate(json.loads(said(engine, completion)), schema)


@pytest.mark.parametrize("pattern", ["[0-9]{4}-[0-9]{2}", "(foo|ba[rz])+!", "a?b{3}[^a-y]{2}", "[à-ÿ]{3}"])
def test_regular_expressions_are_matched(engine: Engine, pattern: str) -> None:
    for completion in answers(engine, [Grammar.regex(pattern)] * 8):
        if completion.finish_reason == "stop":
            assert re.fullmatch(pattern, said(engine, completion))


def test_a_choice_is_one_of_its_options(engine: Engine) -> None:
    options = ["yes", 'say "no"', "vielleicht ß", "yesterday"]
    found = {said(engine, completion) for completion in answers(engine, [Grammar.choice(options)] * 40)}
    assert found <= set(options)
    assert len(found) > 1


def test_a_template_is_filled_and_its_blanks_told(engine: Engine) -> None:
    grammar = Grammar.template("Name: {{name:[A-Z][a-z]{2}}}, born {{year:[0-9]{4}}}.")
    (completion,) = answers(engine, [grammar])
    text = said(engine, completion)
    match = re.fullmatch(r"Name: ([A-Z][a-z]{2}), born ([0-9]{4})\.", text)
    assert match
    assert completion.blanks == {"name": match.group(1), "year": match.group(2)}


def test_blanks_have_any_names_and_patterns_any_slashes(engine: Engine) -> None:
    template = r"{{Name:[A-Z]}} {{größe:[0-9]/[0-9]}} {{date:[0-9]\/[0-9]}} {{rest}}/"
    (completion,) = answers(engine, [Grammar.template(template)], max_new_tokens=400)
    assert completion.blanks is not None
    assert list(completion.blanks)[:3] == ["Name", "größe", "date"]
    assert re.fullmatch(r"[0-9]/[0-9]", completion.blanks["größe"])
    assert re.fullmatch(r"[0-9]/[0-9]", completion.blanks["date"])


def test_blanks_may_end_with_the_line_and_with_the_answer(engine: Engine, words: Tokenizer) -> None:
    template = Grammar.template("Name: {{name}}\nAge: {{age}}\r\nBorn: {{born}}\t{{last}}")
    ends = dict.fromkeys((*b"\n\r\t", words.end_of_turn), 6.0)  # or a model that knows nothing never ends
    for completion in answers(engine, [template] * 4, logit_bias=ends):
        assert completion.finish_reason == "stop"
        match = re.fullmatch(r"Name: (.+)\nAge: ([^\r\n]+)\r\nBorn: ([^\t\n]+)\t(.+)", said(engine, completion))
        assert match
        assert list(completion.blanks.values()) == list(match.groups())


def test_a_blank_without_a_pattern_ends_where_the_text_goes_on(engine: Engine) -> None:
    for completion in answers(engine, [Grammar.template("<{{word}}>")] * 4, max_new_tokens=400):
        text = said(engine, completion)
        if completion.finish_reason == "stop":
            assert re.fullmatch(r"<[^>\n]+>", text)


def test_forced_tokens_are_marked_and_certain(engine: Engine, words: Tokenizer) -> None:
    (completion,) = answers(engine, [Grammar.template("The answer is {{digit:[0-9]}}")], top_logprobs=2)
    assert len(completion.forced) == len(completion.ids) == len(completion.logprobs) == len(completion.top_logprobs)
    free = [token for token, forced in zip(completion.ids, completion.forced, strict=True) if not forced]
    assert words.decode(free).strip().isdigit()
    assert all(lp == 0 for lp, forced in zip(completion.logprobs, completion.forced, strict=True) if forced)
    assert sum(completion.forced) >= 3


def test_what_is_allowed_keeps_its_proportions(engine: Engine) -> None:
    (free,) = engine.generate([Request([65, 66], SamplingParams(1, top_logprobs=engine.model.config.vocab_size))])
    (bound,) = answers(engine, [Grammar.regex("[0-9]")], top_logprobs=20, max_new_tokens=1)
    told = bound.top_logprobs[0]
    assert len(told) == 10
    expected = torch.tensor([free.top_logprobs[0][token] for token in told]).log_softmax(0)
    assert torch.tensor(list(told.values())) == pytest.approx(expected, abs=1e-5)


def test_constrained_and_free_requests_share_a_batch(engine: Engine) -> None:
    plain = Request([70, 71, 72], SamplingParams(12, seed=5))
    bound = Request([65, 66], SamplingParams(200, seed=3, grammar=Grammar.json_schema({"enum": ["red", "deep blue"]})))
    alone = [engine.generate([request])[0].ids for request in (plain, bound)]
    assert [completion.ids for completion in engine.generate([plain, bound])] == alone


@pytest.mark.parametrize(
    ("grammar", "named"),
    [
        (Grammar.json_schema({"type": "strin"}), "json schema"),
        (Grammar.json_schema({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (Grammar.json_schema({"const": "a\ud800"}), "the json schema cannot be read"),
        (Grammar.regex("(unclosed"), "regex"),
        (Grammar.lark("start: nothing_here"), "lark"),
        (Grammar.regex("a\ud800"), "half of a surrogate pair"),
    ],
)
def test_a_grammar_that_cannot_be_followed_is_refused_at_once(engine: Engine, grammar: Grammar, named: str) -> None:
    with pytest.raises(InputError, match=named):
        engine.row(Request([65], SamplingParams(grammar=grammar)))


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_a_schema_may_be_nested_but_not_without_end(engine: Engine) -> None:
    engine.row(Request([65], SamplingParams(grammar=Grammar.json_schema(nested(50)))))
    for levels in (100, 900, 5000):
        with pytest.raises(InputError, match="more than 120 levels"):
            Grammar.json_schema(nested(levels))


@pytest.mark.parametrize(
    "link",
    [
        lambda then: then,
        lambda then: {"type": "array", "items": then},
        lambda then: {"anyOf": [{"type": "object", "properties": {"a": then}}, {"type": "null"}]},
    ],
)
def test_references_may_lead_on_but_not_so_far_that_the_process_ends(engine: Engine, link: Any) -> None:
    def chain(length: int) -> dict[str, Any]:
        places = {f"r{i}": link({"$ref": f"#/$defs/r{i + 1}"}) for i in range(length)}
        return {"$ref": "#/$defs/r0", "$defs": places | {f"r{length}": {"type": "integer"}}}

    engine.row(Request([65], SamplingParams(grammar=Grammar.json_schema(chain(100)))))
    with pytest.raises(InputError, match="refers to 3001 places"):
        Grammar.json_schema(chain(3000))


def test_bad_choices_and_templates_are_refused() -> None:
    with pytest.raises(ValueError, match="one option or more"):
        Grammar.choice([])
    with pytest.raises(ValueError, match="two blanks named 'a'"):
        Grammar.template("{{a}} and {{a}}")


def test_without_llguidance_the_way_to_it_is_said(words: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    constraints = Constraints(words, {words.end_of_turn}, words.vocab_size)
    with pytest.raises(InputError, match=r"llguidance is not installed, .*gptwright\[constrain\]"):
        constraints.guide(Grammar.choice(["yes", "no"]))
