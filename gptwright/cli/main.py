"""The `gptwright` program: one thin function per command.

Everything heavy is imported inside the command that needs it, so that `gptwright --help` answers at once. Exit code 0
is success, 1 a failure, 2 bad input; progress and messages go to stderr, results to stdout.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gptwright import launch
from gptwright.cli.data import AsJson, data_app, tokenizer_app
from gptwright.errors import GptwrightError, InputError

app = typer.Typer(
    help="Build a GPT assistant from raw text: pretrain, finetune, reward model, PPO; then talk to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(tokenizer_app, name="tokenizer")
app.add_typer(data_app, name="data")

RecipeArgument = Annotated[
    str,
    typer.Argument(
        help="A shipped one, such as quickstart, smoke, text or continue (docs/recipes.md), or a path to a .yaml."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", "-o", metavar="KEY=VALUE", help="Replace a setting: pretrain.tokens=2M"),
]
RunFolder = Annotated[Path | None, typer.Option("--dir", help="The run's folder; default runs/RECIPE.")]
ModelArgument = Annotated[str, typer.Argument(help="A model folder, or a run's stage such as runs/quickstart:sft.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")]


@app.command()
def run(recipe: RecipeArgument, override: Overrides = None, dir: RunFolder = None) -> None:
    """All stages of a recipe, resuming what is there.

    Example: gptwright run quickstart -o seed=1 --dir runs/second
    """
    _run_until(recipe, override, dir, None)


@app.command()
def plan(
    recipe: RecipeArgument,
    machine: Annotated[str, typer.Option(help="A kind of device and how many: a100:2048, h100:8, laptop.")] = "laptop",
    mfu: Annotated[
        float | None, typer.Option(min=0.01, max=1.0, help="Share of the peak speed that is reached.")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0.0, help="Dollars per device and hour.")] = None,
    override: Overrides = None,
    json: AsJson = False,
) -> None:
    """Parameters, operations, memory, days and cost of a recipe's stages, before anything is spent.

    Example: gptwright plan llama-65b --machine a100:2048
    """
    from gptwright.recipe import load_recipe  # noqa: PLC0415

    loaded = load_recipe(recipe, override)
    from gptwright.cli.planning import print_plan  # noqa: PLC0415

    print_plan(loaded, machine, mfu, price, as_json=json)


@app.command()
def pretrain(recipe: RecipeArgument, override: Overrides = None, dir: RunFolder = None) -> None:
    """The base model of a recipe: tokenizer, corpus, pretraining.

    Example: gptwright pretrain text -o data.files=books.txt
    Example: gptwright pretrain continue -o pretrain.start=FOLDER -o model.context=4096
    """
    _run_until(recipe, override, dir, "base")


@app.command()
def sweep(
    recipe: RecipeArgument,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V1,V2,...", help="Vary model.width=64,96,128 or pretrain.tokens=1M,2M,4M."),
    ] = None,
    override: Overrides = None,
    dir: Annotated[Path | None, typer.Option(help="The sweep's folder; default runs/RECIPE-sweep.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show the grid with its operations and train nothing.")] = False,
    json: AsJson = False,
) -> None:
    """A scaling study: models of several sizes, each on several token budgets, and the law that their losses follow.

    Example: gptwright sweep scaling
    """
    from gptwright.grid import grid_overrides  # noqa: PLC0415
    from gptwright.recipe import load_recipe  # noqa: PLC0415

    loaded = load_recipe(recipe, [*(override or []), *grid_overrides(grid or [])])
    from gptwright.cli.sweeping import sweep as run_sweep  # noqa: PLC0415

    run_sweep(loaded, dir, plan=plan, as_json=json)


@app.command()
def sft(recipe: RecipeArgument, override: Overrides = None, dir: RunFolder = None) -> None:
    """Supervised finetuning of a recipe, and what it needs.

    Example: gptwright sft quickstart -o sft.data=conversations.jsonl
    """
    _run_until(recipe, override, dir, "sft")


@app.command()
def reward(recipe: RecipeArgument, override: Overrides = None, dir: RunFolder = None) -> None:
    """The reward model of a recipe, and what it needs.

    Example: gptwright reward quickstart -o reward.epochs=2
    """
    _run_until(recipe, override, dir, "reward")


@app.command()
def dpo(recipe: RecipeArgument, override: Overrides = None, dir: RunFolder = None) -> None:
    """A recipe's comparisons learned by the policy itself, without a reward model in between, and what it needs.

    Example: gptwright dpo quickstart -o dpo.beta=0.1
    """
    _run_until(recipe, override, dir, "dpo")


@app.command("best-of-n")
def best_of_n(recipe: RecipeArgument, override: Overrides = None, dir: RunFolder = None) -> None:
    """Rejection sampling: finetuning on the best of many answers by a recipe's reward model, and what it needs.

    Example: gptwright best-of-n quickstart -o rejection.answers=16
    """
    _run_until(recipe, override, dir, "rejection")


@app.command()
def grpo(recipe: RecipeArgument, override: Overrides = None, dir: RunFolder = None) -> None:
    """Reinforcement learning without a value model (GRPO, RLOO, REINFORCE), and what it needs.

    Example: gptwright grpo quickstart -o grpo.baseline=leave_one_out
    """
    _run_until(recipe, override, dir, "grpo")


@app.command()
def ppo(recipe: RecipeArgument, override: Overrides = None, dir: RunFolder = None) -> None:
    """Reinforcement learning against a recipe's reward model, and what it needs.

    Example: gptwright ppo quickstart -o ppo.beta=0.1
    """
    _run_until(recipe, override, dir, "ppo")


@app.command()
def rounds(
    recipe: RecipeArgument,
    count: Annotated[int | None, typer.Option("--rounds", min=2, help="How many in all; default rounds.count.")] = None,
    override: Overrides = None,
    dir: RunFolder = None,
) -> None:
    """Judge and practise again: new answers of the last policy, a new reward model, a new policy, and so on.

    Example: gptwright rounds quickstart --rounds 3
    """
    asked = [f"rounds.count={count}"] if count else []
    _run_until(recipe, [*(override or []), *asked], dir, None, needs="rounds")


@app.command()
def complete(
    model: ModelArgument,
    text: Annotated[str, typer.Argument(help="The beginning of a document.")],
    max_tokens: Annotated[int, typer.Option(min=1)] = 80,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="0 keeps all tokens.")] = 0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 1.0,
    min_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="0 keeps all tokens.")] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="1 is none.")] = 1.0,
    stop: Annotated[list[str] | None, typer.Option(help="End before this string; may be given several times.")] = None,
    regex: Annotated[str | None, typer.Option(help="What follows matches this expression.")] = None,
    choice: Annotated[list[str] | None, typer.Option(help="What follows is one of these.")] = None,
    schema: Annotated[Path | None, typer.Option(help="What follows is JSON, by the schema in this file.")] = None,
    template: Annotated[str | None, typer.Option(help="What follows is this, its {{name:regex}} filled.")] = None,
    seed: int = 0,
    device: Device = "auto",
    json: AsJson = False,
) -> None:
    """Continue a text, as a base model does. A form that the continuation must have needs the extra `constrain`.

    Example: gptwright complete runs/quickstart:base "The capital of France is" --temperature 0
    """
    from gptwright.cli import talk  # noqa: PLC0415

    talk.complete(
        model,
        text,
        device=device,
        as_json=json,
        max_new_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        stop=tuple(stop or ()),
        grammar=talk.grammar_of(regex=regex, choice=choice, schema=schema, template=template),
        seed=seed,
    )


@app.command()
def chat(
    model: ModelArgument,
    system: Annotated[str | None, typer.Option(help="A system message before the first turn.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1)] = 80,
    temperature: Annotated[float, typer.Option(min=0.0)] = 0.7,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Talk to an assistant in the terminal; an empty line or Ctrl-D ends it.

    Example: gptwright chat runs/quickstart:ppo
    """
    from gptwright.cli import talk  # noqa: PLC0415

    talk.chat(model, device=device, system=system, max_new_tokens=max_tokens, temperature=temperature, seed=seed)


class DecodingWeights(StrEnum):
    """As `FORMATS` in engine/native/decoder.py, which takes torch to import."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"


@app.command()
def serve(
    models: Annotated[list[str], typer.Argument(metavar="[NAME=]MODEL...", help="Folders or runs' stages.")],
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 is everyone's, :: with IPv6.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    keys: Annotated[
        Path | None, typer.Option(help="A file of lines KEY [user|admin] [NAME]: only they may ask.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Requests a minute that each caller may make.")] = None,
    max_body: Annotated[int, typer.Option(min=1000, help="Bytes that a request may have.")] = 1_000_000,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that an answer may take.")] = 300.0,
    cache: Annotated[
        float | None, typer.Option(min=0.001, help="GiB of keys and values; default a quarter of the memory.")
    ] = None,
    log_content: Annotated[bool, typer.Option(help="Log messages and answers too.")] = False,
    weights: Annotated[DecodingWeights, typer.Option(help="On a CPU: fewer bytes are faster and less exact.")] = (
        DecodingWeights.float32
    ),
    device: Device = "auto",
) -> None:
    """Answer OpenAI's clients over HTTP, and people on a page. Needs the extra `serve`.

    Example: gptwright serve runs/quickstart:ppo runs/quickstart:base
    """
    from gptwright.cli import serving  # noqa: PLC0415

    limits = {"requests_per_minute": rate, "max_body_bytes": max_body, "timeout_seconds": timeout}
    limits["cache_bytes"] = None if cache is None else int(cache * 2**30)
    how = {"weights": weights.value, "device": device}
    serving.serve(models, host, port, keys=keys, how=how, log_content=log_content, **limits)


@app.command()
def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Folders or runs' stages.")],
    prompts: Annotated[
        int | None, typer.Option(min=1, help="How many held-out prompts of the built-in world (default 1000).")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Prompts of your own with details.answer or details.tests, to be checked.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="With --data: accuracy for each value of this one of details.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="With --data: longest answer (default 80).")] = None,
    device: Device = "auto",
    json: AsJson = False,
) -> None:
    """Accuracy and gold score of assistants on the built-in world's held-out prompts, and their win rates.

    Example: gptwright evaluate runs/quickstart:sft runs/quickstart:ppo
    """
    given = {"--by": by, "--max-tokens": max_tokens} if data is None else {"--prompts": prompts}
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name} has no effect {'without' if data is None else 'with'} --data: leave it out")
    if data is not None:
        from gptwright.cli.tasks import evaluate_file  # noqa: PLC0415

        tokens = max_tokens or 80
        evaluate_file(
            models, data, by=by, temperature=temperature, tokens=tokens, seed=seed, device=device, as_json=json
        )
        return
    from gptwright.cli import measure  # noqa: PLC0415

    measure.evaluate(models, prompts=prompts or 1000, temperature=temperature, seed=seed, device=device, as_json=json)


@app.command()
def report(run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]) -> None:
    """Write a run's report.html again.

    Example: gptwright report runs/quickstart
    """
    from gptwright.cli import measure  # noqa: PLC0415

    measure.report(run_folder)


@app.command()
def doctor(json: AsJson = False) -> None:
    """What this machine has, what is missing, what to install.

    Example: gptwright doctor
    """
    from gptwright.cli.doctor import print_doctor  # noqa: PLC0415

    raise typer.Exit(print_doctor(json))


def _run_until(
    recipe: str, overrides: list[str] | None, folder: Path | None, until: str | None, *, needs: str = ""
) -> None:
    from gptwright.recipe import load_recipe  # noqa: PLC0415

    loaded = load_recipe(recipe, overrides, needs=needs)
    # After the recipe, since torch takes seconds to import and a mistake in the recipe is told at once.
    from gptwright.cli.runs import run_recipe  # noqa: PLC0415

    run_recipe(loaded, folder, until)


def main() -> None:
    """Run a command; failures with a message for people end without a traceback."""
    try:
        app()
    except GptwrightError as error:
        _fail(str(error), error.exit_code)
    except (NotADirectoryError, FileExistsError) as error:
        _fail(f"{error.filename} cannot be a folder, a file is in the way: choose another place", 2)
    except PermissionError as error:
        _fail(f"{error.filename} may not be read or written: change its permissions, or give another folder", 1)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"gptwright: {launch.named(message)}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
