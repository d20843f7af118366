"""Plans: the published figures of GPT-3 and LLaMA, hand-worked numbers, and the command."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from gptwright.cli.main import app
from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel
from gptwright.pipeline.wiring import model_config
from gptwright.plan import MACHINES, Plan, StagePlan, machine_named, make_plan, state_bytes
from gptwright.recipe import OptimizerSettings, TokenizerSettings, load_recipe
from gptwright.tokenizer.bpe import train_characters
from gptwright.train.optimizers import Optimizers


def plan_of(name: str, machine: str, *overrides: str) -> Plan:
    recipe = load_recipe(name, list(overrides))
    return make_plan(recipe, model_config(recipe, recipe.tokenizer.most_tokens), machine)


def test_gpt3_has_its_parameters_and_operations() -> None:
    base = plan_of("gpt3-175b", "v100:10000").stages[0]
    assert base.parameters == pytest.approx(175e9, rel=0.01)
    assert base.flops == pytest.approx(3.14e23, rel=0.02)  # Brown et al., table D.1


def test_llama_65b_takes_its_three_weeks() -> None:
    base = plan_of("llama-65b", "a100:2048").stages[0]
    assert base.hours / 24 == pytest.approx(21, rel=0.15)  # Touvron et al., section 2.4
    # 380 tokens/s on each of 2,048 devices are the MFU that the table states.
    per_second = 380 * base.flops / base.tokens
    assert MACHINES["a100"].mfu == pytest.approx(per_second / MACHINES["a100"].flops, rel=0.05)


def test_time_and_cost_follow_from_speed_and_price() -> None:
    recipe = load_recipe("text")
    config = model_config(recipe, 2048)
    plan = make_plan(recipe, config, "h100:4", mfu=0.5, dollars=2.0)
    (base,) = plan.stages
    assert base.flops == config.flops_per_token(256) * 5_000_000
    assert base.hours == pytest.approx(base.flops / (4 * 989e12 * 0.5) / 3600)
    assert base.cost == pytest.approx(base.hours * 4 * 2.0)
    assert any("50%" in text for text in plan.assumptions) and any("2 dollars" in text for text in plan.assumptions)


@pytest.mark.parametrize("muon", [True, False])
def test_state_is_what_the_optimizer_holds(muon: bool) -> None:
    import torch  # noqa: PLC0415

    config = ModelConfig(
        vocab_size=64, context=16, width=32, layers=2, heads=2, kv_heads=2, head_dim=16, hidden=64, qk_norm=False
    )
    settings = OptimizerSettings(muon=muon)
    model = LanguageModel(config)
    optimizers = Optimizers(model, settings)
    model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    optimizers.step()
    held = sum(tensor.numel() * 4 for tensor in optimizers.tensors().values() if tensor.numel() > 1)
    weights = 2 * 4 * sum(parameter.numel() for parameter in model.parameters())
    # Norms count as matrices in the estimate.
    assert state_bytes(config, settings) == pytest.approx(held + weights, rel=0.01)


def test_every_gradient_stage_is_planned() -> None:
    stages = plan_of("quickstart", "laptop").stages
    assert [stage.stage for stage in stages] == ["base", "sft", "reward", "ppo"]
    assert stages[3].bytes_per_device > 2 * stages[0].bytes_per_device  # two models in training, three frozen
    same = "grpo={steps: 32, minibatches: 2, pretrain_rows: 4}"
    asked = ["dpo.beta=0.1", "rejection.answers=4", same]
    more = {stage.stage: stage for stage in plan_of("quickstart", "laptop", *asked).stages}
    assert list(more) == ["base", "sft", "reward", "dpo", "rejection", "grpo", "ppo"]
    assert more["grpo"].bytes_per_device < more["ppo"].bytes_per_device  # no value model
    assert more["grpo"].flops < more["ppo"].flops
    rounds = {stage.stage: stage for stage in plan_of("quickstart", "laptop", "rounds.count=3").stages}
    assert list(rounds)[-4:] == ["reward_2", "ppo_2", "reward_3", "ppo_3"]
    assert rounds["reward"].flops < rounds["reward_2"].flops < rounds["reward_3"].flops  # of all judgements so far
    assert rounds["ppo_3"].flops == rounds["ppo"].flops


def test_practice_reads_pretraining_text_besides() -> None:
    """InstructGPT's mix is most of what its last stage reads."""
    with_it, without = (
        {stage.stage: stage for stage in plan_of("quickstart", "laptop", *asked).stages}["ppo"]
        for asked in ((), ("ppo.pretrain_mix=0",))
    )
    mixed = (32 - 2) * 2 * 4 * 256  # rounds but the value model's two, minibatches, rows, context
    assert with_it.tokens - without.tokens == mixed
    config = model_config(load_recipe("quickstart"), 2048)
    assert with_it.flops - without.flops == pytest.approx(mixed * config.flops_per_token(256))


def test_stages_of_one_process_gain_nothing_from_more_devices() -> None:
    one, eight = (
        {stage.stage: stage for stage in plan_of("quickstart", machine).stages} for machine in ("h100", "h100:8")
    )
    for stage in ("base", "ppo"):
        assert one[stage].hours == pytest.approx(8 * eight[stage].hours)
        assert one[stage].cost == pytest.approx(eight[stage].cost)
    for stage in ("sft", "reward"):
        assert one[stage].hours == pytest.approx(eight[stage].hours)
        assert 8 * one[stage].cost == pytest.approx(eight[stage].cost)  # the others are paid
    assert all(one[stage].bytes_per_device == eight[stage].bytes_per_device for stage in one)  # too small to shard


def test_what_is_trained_is_sharded_as_the_run_would_do_it_and_frozen_models_are_whole() -> None:
    def state(machine: str, *overrides: str) -> dict[str, float]:
        return {stage.stage: stage.bytes_per_device for stage in plan_of("quickstart", machine, *overrides).stages}

    whole, always, model = state("h100:4"), state("h100:4", "machine.shard=always"), plan_of("quickstart", "h100")
    assert always["base"] == pytest.approx(whole["base"] / 4)
    assert always["sft"] == whole["sft"]
    frozen = 3 * 4.0 * model.stages[0].parameters  # reference, reward model, and what the guard keeps
    assert always["ppo"] == pytest.approx((whole["ppo"] - frozen) / 4 + frozen)
    halved = state("h100:4", "machine.frozen_bfloat16=true", "machine.precision=bfloat16", "ppo.interpolation=1.0")
    assert whole["ppo"] - halved["ppo"] == pytest.approx(2 * 2.0 * model.stages[0].parameters)
    large = {shard: plan_of("llama-65b", "a100:8", f"machine.shard={shard}").stages[0] for shard in ("auto", "never")}
    assert large["auto"].bytes_per_device == pytest.approx(large["never"].bytes_per_device / 8)


@pytest.mark.parametrize("stage", ["grpo", "ppo"])
def test_an_average_of_weights_is_one_more_copy_of_them(stage: str) -> None:
    def planned(*overrides: str) -> StagePlan:
        stages = plan_of("quickstart", "h100", "grpo={}", *overrides).stages
        return next(each for each in stages if each.stage == stage)

    averaged = planned(f"{stage}.ema=0.992").bytes_per_device - planned().bytes_per_device
    assert averaged == pytest.approx(4.0 * planned().parameters)


@pytest.mark.parametrize(("machine", "fits"), [("h100:8", True), ("a100:1", False)])
def test_what_does_not_fit_is_said(machine: str, fits: bool) -> None:
    assumed = plan_of("text", machine, "model.size=gpt2-1.5b" if fits else "model.size=llama-33b").assumptions
    assert any(line.startswith("DOES NOT FIT: base needs") for line in assumed) != fits


def test_what_does_not_fit_is_mended_by_what_its_stage_reads() -> None:
    sections = ("sft={}", "reward={}", "ppo={}")
    assumed = plan_of("text", "a100", "model.size=llama-33b", *sections).assumptions
    told = {line.split()[3]: line for line in assumed if line.startswith("DOES NOT FIT")}
    assert "pretrain.micro_rows" in told["base"]
    assert "sft.batch_rows" in told["sft"]
    assert all("pretrain.micro_rows" not in line for stage, line in told.items() if stage != "base")
    whole, again = (plan_of("text", "a100", *sections, f"machine.recompute={on}").stages for on in ("false", "true"))
    assert again[0].working_bytes < whole[0].working_bytes
    assert again[1].working_bytes == whole[1].working_bytes


def test_rows_at_once_follow_the_devices_memory() -> None:
    def rows(*overrides: str) -> str:
        assumed = plan_of("text", "h100", "model.size=gpt2-124m", "pretrain.tokens=10B", *overrides).assumptions
        return next(line for line in assumed if "tokens on a device at once" in line).split("step, ")[1].split(" x")[0]

    assert (rows(), rows("pretrain.micro_rows=16"), rows("pretrain.batch_rows=8")) == ("64", "16", "8")


def test_a_reward_model_that_the_guard_watches_is_loaded_too() -> None:
    watching = "ppo.guard={watch: {second: {kind: model, folder: runs/other:reward}, short: {kind: length, over: 9}}}"
    alone, watched = (plan_of("quickstart", "h100", *asked).stages for asked in ((), (watching,)))
    more = {
        stage.stage: stage.bytes_per_device - each.bytes_per_device for stage, each in zip(watched, alone, strict=True)
    }
    assert more.pop("ppo") == pytest.approx(4.0 * alone[0].parameters)
    assert not any(more.values())


def test_a_base_that_is_taken_as_it_is_takes_nothing() -> None:
    recipe = load_recipe("text")
    taken = recipe.model_copy(update={"pretrain": recipe.pretrain.model_copy(update={"tokens": 0})})
    (base,) = make_plan(taken, model_config(recipe, 2048), "laptop").stages
    assert (base.tokens, base.flops, base.bytes_per_device, base.working_bytes, base.hours) == (0, 0, 0, None, 0)


def test_activations_grow_with_rows_and_layers_and_shrink_when_recomputed() -> None:
    def activations(*overrides: str) -> float:
        found = plan_of("text", "laptop", "model.layers=4", "pretrain.batch_rows=8", *overrides).stages[0].working_bytes
        assert found is not None
        return found

    eight, sixteen = activations(), activations("pretrain.batch_rows=16")
    assert sixteen == pytest.approx(2 * eight, rel=0.1)  # copies of the weights in bfloat16 stay
    assert activations("pretrain.batch_rows=16", "pretrain.micro_rows=8") == eight
    four, six = eight, activations("model.layers=6")
    assert activations("model.layers=12") == pytest.approx(four + 4 * (six - four))
    assert activations("machine.recompute=true") < 0.6 * eight


def test_a_plan_says_that_freed_memory_is_kept_where_it_is() -> None:
    def says(machine: str, *overrides: str) -> bool:
        return any(
            "machine.freed_memory" in assumption for assumption in plan_of("text", machine, *overrides).assumptions
        )

    assert says("laptop")
    assert not says("laptop", "machine.freed_memory=return") and not says("h100")


@pytest.mark.parametrize("text", ["tpu", "a100:0", "a100:-1", "a100:x"])
def test_machines_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--machine"):
        machine_named(text)


def test_the_command_prints_one_json_object_or_a_table() -> None:
    result = CliRunner().invoke(app, ["plan", "llama-65b", "--machine", "a100:2048", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert set(found["stages"][0]) == {
        "stage",
        "parameters",
        "tokens",
        "flops",
        "bytes_per_device",
        "working_bytes",
        "hours",
        "cost",
    }
    table = CliRunner().invoke(app, ["plan", "llama-65b", "--machine", "a100:2048"]).stdout
    assert "65.3B parameters" in table and "days" in table and "Assumed:" in table


def test_characters_are_at_most_ascii() -> None:
    result = CliRunner().invoke(app, ["plan", "shakespeare", "--machine", "laptop", "--json"])
    plan = json.loads(result.stdout)
    assert plan["stages"][0]["parameters"] == pytest.approx(0.80e6, rel=0.02)
    assert any("all of ASCII" in line for line in plan["assumptions"])
    ascii_alone = train_characters([bytes(range(128)).decode("ascii")], strict=True)
    assert TokenizerSettings(kind="characters").most_tokens == ascii_alone.vocab_size
