"""The application that every command joins, the options that many share, and its exit codes.

Exit code 0 is success, 1 a check that did not hold, 2 wrong use or bad input, 130 an interruption.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.errors import CheckFailed, MissingPackage, PellucidError, UsageError

TRAIN_PACKAGES = ("torch", "torchvision", "skimage", "faiss")

app = typer.Typer(
    help="Labelled medical images in, a classifier that one can see through out.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document; no progress is shown.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of every random choice.")]
Window = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|CENTER,WIDTH",
        help="Grey window: lung, mediastinum, bone, brain, liver, or two numbers.",
    ),
]
Engine = Annotated[str, typer.Option(help="Who computes: auto, torch, onnxruntime or openvino.")]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16: faster, and less exact.")]
MODEL = "A bundle, its .zip, or a run."
StratifyBy = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Balance the splits by this column too; repeatable."),
]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from pellucid import __version__

        typer.echo(f"pellucid {__version__}")
        raise typer.Exit


def run(application: typer.Typer) -> None:
    """Run the command line; a `PellucidError` becomes one plain message and its exit code."""
    try:
        try:
            application()
        except ModuleNotFoundError as error:
            raise _missing(error) from error
    except PellucidError as error:
        if "--json" in sys.argv and not isinstance(error, CheckFailed):
            print_json({"error": str(error), "kind": type(error).__name__})
        typer.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


def _missing(error: ModuleNotFoundError) -> PellucidError:
    """The plain error for a package of the extra `train`; any other is a mistake of ours."""
    package = (error.name or "").partition(".")[0]
    if package not in TRAIN_PACKAGES:
        raise error
    remedy = 'Install it: pip install "pellucid[train]"'
    return MissingPackage(f"This command needs the package {package}", remedy=remedy)


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Raise `UsageError` rather than write over a file that the user may want to keep."""
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists", remedy="Choose another --out or add --overwrite.")


@contextmanager
def resumable() -> Iterator[None]:
    """Turn ctrl-C into exit code 130 and the command that continues."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted. Continue with:\n  {_resume_command()}", err=True)
        raise typer.Exit(130) from None


def _resume_command() -> str:
    words = [word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")]
    return shlex.join(["pellucid", *words, "--resume"])


def print_json(document: Any) -> None:
    """The one document that standard output is with `--json`."""
    typer.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))


def command_line() -> str:
    """What the user typed, for the record of a run."""
    return shlex.join(["pellucid", *sys.argv[1:]])
