"""Answers per second of GRPO and PPO against TRL's GRPOTrainer, side by side, and where our time goes.

    pip install trl
    python benchmarks/practice_speed.py [--steps 6]

A Llama of 3 million parameters with random weights, 32 prompts, 4 answers of 48 tokens to each (hardly one ends by
itself), one optimizer step on all of them, beta 0.02, the same reward. TRL has no PPO, so ours is compared with its
GRPO: PPO has two models more. Ours practises as the stage does on this machine: compiled, bfloat16 products over
float32 weights, and sampling by the engine with weights in bfloat16. Each program has a process of its own, one after
the other, round after round.

Of our round are clocked: rollout (prompts in, answers as text and episodes out, without their reward), beside the
engine alone on the same prompts; scoring (the reward, and the reading by policy, reference and value model, of which
a single step keeps the policy's pass); and update (the steps of policy and value model). The rest is between them.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pretraining import SHAPES
from record import write_result

from gptwright.allocator import keep_freed_memory
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise, scalar_from
from gptwright.practice_settings import GrpoSettings, PpoSettings
from gptwright.recipe import MachineSettings
from gptwright.records import Message, Prompt
from gptwright.stages import practice
from gptwright.stages.grpo import Grpo
from gptwright.stages.ppo import Ppo, value_model_from
from gptwright.stages.rewards import Answered, model_reward, weighted
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.bpe import train_bpe
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath
from gptwright.world.documents import mixed_documents

VOCABULARY, CONTEXT = 3800, 256
PROMPTS, ANSWERS, TOKENS, BETA = 32, 4, 48, 0.02
WARM_UP = 2
QUESTION = "Write a short story about a {} that nobody in the village had ever seen before, and say what it did."
THINGS = (
    "bear", "boat", "bridge", "clock", "door", "drum", "fox", "garden", "ghost", "horse", "lamp", "letter", "map",
    "mill", "moon", "owl", "painter", "river", "road", "rose", "sailor", "shadow", "ship", "snake", "song", "star",
    "storm", "sword", "tower", "tree", "wind", "wolf",
)  # fmt: skip


def shape() -> ModelConfig:
    layers, width, heads, hidden = SHAPES["3m"]
    return ModelConfig(
        vocab_size=VOCABULARY, context=CONTEXT, width=width, layers=layers, heads=heads, kv_heads=heads,
        head_dim=width // heads, hidden=hidden, qk_norm=False, tied=True,
    )  # fmt: skip


def letters(texts: Sequence[str]) -> list[float]:
    """The reward: the share of e's. Cheap, and never the same for all."""
    return [text.count("e") / max(1, len(text)) for text in texts]


def vocabulary() -> Tokenizer:
    texts = (document.text for document in itertools.islice(mixed_documents(0), 4_000))
    return train_bpe(texts, VOCABULARY)


def ours(method: str, steps: int, folder: Path) -> dict[str, float]:
    """Median seconds of a round, and of its parts."""
    keep_freed_memory()
    tokenizer, model = vocabulary(), LanguageModel(shape())
    initialise(model, 0)
    prompts = [Prompt(thing, (Message("user", QUESTION.format(thing)),)) for thing in THINGS]
    path = FastPath("cpu", "bfloat16", True, "matmul", 2)
    spot = Workspace(folder, method, 0, MachineSettings(device="cpu"), path)
    common: dict[str, Any] = {
        "steps": 10_000, "episodes": PROMPTS * ANSWERS, "minibatches": 1, "max_new_tokens": TOKENS, "beta": BETA,
        "pretrain_mix": 0.0, "no_end_score": 0.0, "guard": None, "sampling_weights": "bfloat16",
    }  # fmt: skip
    no_rows: Any = lambda index, rows: None  # noqa: E731
    scored: Callable[[Sequence[Answered]], Sequence[float]] = lambda answers: letters([a.text for a in answers])  # noqa: E731
    trainer: Grpo | Ppo
    if method == "grpo":
        settings = GrpoSettings(answers=ANSWERS, **common)
        trainer = Grpo(model, weighted({"e": (scored, 1.0)}), tokenizer, prompts, no_rows, settings, spot)
    else:
        judge = scalar_from(model, 0)
        reward = weighted({"judge": (model_reward(judge, tokenizer, path), 1.0)})
        four = [Prompt(f"{p.id}{i}", p.messages) for p in prompts for i in range(ANSWERS)]
        settings_ppo = PpoSettings(value_warmup=0, **common)
        trainer = Ppo(model, value_model_from(judge), reward, tokenizer, four, no_rows, settings_ppo, spot)
    clocks: dict[str, list[float]] = {name: [] for name in ("sampled", "reward", "read", "update")}
    clock_calls(practice, "sample_episodes", clocks["sampled"])
    clock_calls(trainer.rollouts, "reward", clocks["reward"])
    clock_calls(practice, "evaluate_episodes", clocks["read"])
    clock_calls(trainer.policy, "update", clocks["update"])
    if isinstance(trainer, Ppo):
        clock_calls(trainer, "_update_value", clocks["update"])
    rounds, plain = list[dict[str, float]](), list[float]()
    for step in range(WARM_UP + steps):
        for clock in clocks.values():
            clock.clear()
        started = time.perf_counter()
        trainer.round(step)
        total = time.perf_counter() - started
        rounds.append(parts_of(total, **{name: sum(clock) for name, clock in clocks.items()}))
        plain.append(seconds_alone(model, tokenizer, prompts))
    told = {name: statistics.median(each[name] for each in rounds[WARM_UP:]) for name in rounds[0]}
    rate = PROMPTS * ANSWERS / told["total"]
    return told | {"plain_sampling": statistics.median(plain[WARM_UP:]), "samples_per_second": rate}


def parts_of(total: float, *, sampled: float, reward: float, read: float, update: float) -> dict[str, float]:
    """A round's seconds by what they were for: the reward is asked for while answers are sampled."""
    parts = {"rollout": sampled - reward, "scoring": reward + read, "update": update}
    return parts | {"rest": total - sum(parts.values()), "total": total}


def seconds_alone(model: LanguageModel, tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> float:
    """Of the engine on the round's prompts, with nothing of practice around it."""
    requests = [
        Request(render_prompt(prompt.messages, tokenizer), SamplingParams(TOKENS, 1.0, seed=number * ANSWERS + again))
        for number, prompt in enumerate(prompts)
        for again in range(ANSWERS)
    ]
    started = time.perf_counter()
    Engine(model, stop_ids={tokenizer.end_of_turn}, weights="bfloat16").generate(requests)
    return time.perf_counter() - started


def clock_calls(module: Any, name: str, seconds: list[float]) -> None:
    """From now on every call of the module's function adds its seconds."""
    function = getattr(module, name)

    def clocked(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        result = function(*arguments, **named)
        seconds.append(time.perf_counter() - started)
        return result

    setattr(module, name, clocked)


def theirs(precision: str, steps: int, folder: Path) -> dict[str, float]:
    """Median seconds of TRL's step."""
    from datasets import Dataset  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback  # noqa: PLC0415
    from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415

    vocabulary().save(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    config = shape()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size, hidden_size=config.width, intermediate_size=config.hidden,
            num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.kv_heads,
            max_position_embeddings=config.context, tie_word_embeddings=True,
        )
    )  # fmt: skip
    model.save_pretrained(folder / "model")  # TRL loads its reference from where the model came from
    model = LlamaForCausalLM.from_pretrained(folder / "model")
    model.generation_config.min_new_tokens = TOKENS
    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds.append(time.perf_counter() - self.started)

    settings = GRPOConfig(
        output_dir=str(folder), per_device_train_batch_size=PROMPTS * ANSWERS, num_generations=ANSWERS,
        max_completion_length=TOKENS, max_steps=WARM_UP + steps, beta=BETA, temperature=1.0, top_k=0, use_cpu=True,
        bf16=precision == "bfloat16", gradient_checkpointing=False, logging_steps=1, save_strategy="no",
        report_to=[], disable_tqdm=True, generation_kwargs={"min_new_tokens": TOKENS},
    )  # fmt: skip
    asked = Dataset.from_list([{"prompt": QUESTION.format(thing)} for thing in THINGS * (WARM_UP + steps)])
    reward: Any = lambda completions, **_: letters(completions)  # noqa: E731
    trainer = GRPOTrainer(
        model, reward_funcs=reward, args=settings, train_dataset=asked, processing_class=tokenizer, callbacks=[Clock()]
    )
    trainer.train()
    total = statistics.median(seconds[WARM_UP:])
    return {"total": total, "samples_per_second": PROMPTS * ANSWERS / total}


def in_a_process(work: Callable[[Path], dict[str, float]]) -> dict[str, float]:
    """Run alone, with nothing of the other program loaded."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_send, args=(work, there))
    process.start()
    there.close()
    result: dict[str, float] = here.recv()
    process.join()
    return result


def _send(work: Callable[[Path], dict[str, float]], pipe: Connection) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipe.send(work(Path(folder)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-trl", action="store_true", help="ours alone, which is not written down")
    arguments = parser.parse_args()
    programs: dict[str, Callable[[Path], dict[str, float]]] = {
        name: partial(_ours_in, name, arguments.steps) for name in ("grpo", "ppo")
    }
    if not arguments.without_trl:
        programs |= {f"trl {p}": partial(_theirs_in, p, arguments.steps) for p in ("float32", "bfloat16")}
    told: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for _ in range(arguments.rounds):
        for name, work in programs.items():
            told[name].append(in_a_process(work))
            print(name, {key: round(value, 3) for key, value in told[name][-1].items()}, flush=True)
    figures = {
        name: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for name, rounds in told.items()
    }
    if arguments.without_trl:
        return
    best = max(figures[name]["samples_per_second"] for name in figures if name.startswith("trl"))
    ratios = {name: figures[name]["samples_per_second"] / best for name in ("grpo", "ppo")}
    command = f"python benchmarks/practice_speed.py --steps {arguments.steps} --rounds {arguments.rounds}"
    write_result("practice_speed", command, {"programs": figures, "times_trl": ratios})


def _ours_in(method: str, steps: int, folder: Path) -> dict[str, float]:
    return ours(method, steps, folder)


def _theirs_in(precision: str, steps: int, folder: Path) -> dict[str, float]:
    return theirs(precision, steps, folder)


if __name__ == "__main__":
    main()
