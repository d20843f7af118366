"""The groups `gptwright data` and `gptwright tokenizer`: the corpus and its vocabulary before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

tokenizer_app = typer.Typer(help="What a vocabulary does to text.", no_args_is_help=True, rich_markup_mode=None)
data_app = typer.Typer(help="The corpus before training.", no_args_is_help=True, rich_markup_mode=None)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else.")]


@tokenizer_app.command()
def inspect(
    model: Annotated[str, typer.Argument(help="A run, a model folder, or a run's stage.")],
    files: Annotated[
        str | None, typer.Argument(help="A file, folder or glob; left out, what the run read, or the built-in world.")
    ] = None,
    max_bytes: Annotated[int, typer.Option(min=1, help="How much text is read.")] = 4_000_000,
    json: AsJson = False,
) -> None:
    """Bytes and words per token by source and language, tokens never met, round trip, and a text cut into its tokens.

    Example: gptwright tokenizer inspect runs/quickstart 'books/*.txt'
    """
    from gptwright.cli.tokens import inspect_tokenizer  # noqa: PLC0415

    inspect_tokenizer(model, files, max_bytes, as_json=json)


@data_app.command()
def clean(
    out: Annotated[Path, typer.Argument(help="A new folder for the documents and what is told of them.")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=PATH]...",
            help="Sources: files, a folder, a glob, hub:OWNER/NAME, builtin:world or builtin:python.",
        ),
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="A YAML file with sources and settings.")] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--override", "-o", metavar="KEY=VALUE", help="Replace a setting: c4=null leaves a step out."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Remove bad, doubled and contaminated documents, and personal data; say what went and why.

    Example: gptwright data clean clean/ 'web=crawl/*.warc.gz' books=books/ -o 'language.keep=[en,de]'
    """
    from gptwright.cli.corpus import clean_corpus  # noqa: PLC0415

    clean_corpus(out, sources or [], settings, override or [], as_json=json)


@data_app.command()
def addition(
    out: Annotated[Path, typer.Argument(help="The folder for its files.")] = Path("addition"),
    digits: Annotated[int, typer.Option(min=1, max=18, help="Longest numbers to learn; two more are tested.")] = 6,
    demonstrations: Annotated[int, typer.Option(min=2, help="Of each kind: direct answers, and chains.")] = 4_000,
    prompts: Annotated[int, typer.Option(min=2, help="To practise on.")] = 20_000,
    seed: int = 0,
) -> None:
    """Write the files of the recipe `addition`: text, demonstrations without and with thinking, prompts, a test.

    Example: gptwright data addition addition && gptwright run addition
    """
    from gptwright.cli.tasks import write_addition  # noqa: PLC0415

    write_addition(out, digits=digits, demonstrations=demonstrations, prompts=prompts, seed=seed)
