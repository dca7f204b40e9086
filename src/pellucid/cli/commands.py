"""The command line: one subcommand a verb; each imports its stage inside the command.

`pellucid --help` therefore imports neither torch nor pandas. Results go to standard output,
progress and messages to standard error; with `--json` standard output is one JSON document.
Exit code 0 is success, 1 a check that did not hold, 2 wrong use or bad input, 130 an interruption.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli.data_options import Positive, read_data, takes_data
from pellucid.errors import CheckFailed, PellucidError, UsageError
from pellucid.progress import Progress

if TYPE_CHECKING:
    from pellucid.data.index import Dataset

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


@app.command()
def demo(
    case: Annotated[str, typer.Argument(help="chest, breast or oct.")] = "oct",
    out: Annotated[
        Path | None, typer.Option(help="Where to put images and run (default: demo/CASE).")
    ] = None,
    budget: Annotated[str, typer.Option(help="Wall time for training.")] = "150s",
    overwrite: Annotated[bool, typer.Option(help="Replace the run of an earlier demo.")] = False,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted demo.")] = False,
    as_json: AsJson = False,
) -> None:
    """Synthetic patients → audit → train → evaluate → report, in a few minutes."""
    from pellucid import pipeline

    with _resumable():
        run = pipeline.demo(
            case,
            out or Path("demo") / case,
            budget=budget,
            overwrite=overwrite,
            resume=resume,
            command=_command(),
            progress=Progress(quiet=as_json),
        )
    _finish(run, as_json)


@app.command()
@takes_data
def audit(
    chosen: dict[str, Any],
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for audit.html, audit.json and index.csv, or a .json file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What is wrong with the data; exit code 1 when a finding is a FAIL."""
    from pellucid import pipeline

    dataset = read_data(chosen, as_json)
    only_json = out is not None and out.suffix == ".json"
    found = pipeline.audit(
        dataset, out=None if only_json else out, progress=Progress(quiet=as_json)
    )
    if out is not None and only_json:
        found.save(out)
    if as_json:
        _print_json(found.to_json())
    else:
        typer.echo(dataset.describe())
        typer.echo(found.describe())
        if out is not None:
            typer.echo(out if only_json else out / "audit.html")
    if found.failed:
        raise CheckFailed("The audit has findings of level FAIL")


@app.command()
@takes_data
def split(
    chosen: dict[str, Any],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The manifest (.csv) to write.")],
    folds: Annotated[int | None, typer.Option(min=2, help="That many folds by patient.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Deal the folds so often.")] = 1,
    leave_out: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="One split a value, such as a site.")
    ] = None,
    stratify_by: StratifyBy = None,
    seed: Seed = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file.")] = False,
) -> None:
    """Write a manifest with splits by patient, for `train FILE --split-column split_1`."""
    _refuse_existing(out, overwrite)
    from pellucid import pipeline

    notes = pipeline.split(
        read_data(chosen),
        out,
        folds=folds,
        repeats=repeats,
        leave_out=leave_out,
        stratify_by=tuple(stratify_by or ()),
        seed=seed or 0,
    )
    for note in notes:
        typer.echo(note)
    typer.echo(out)


@app.command()
@takes_data
def train(
    chosen: dict[str, Any],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to write.")],
    two_logits: Annotated[
        bool, typer.Option(help="Two logits and softmax for a target of two classes.")
    ] = False,
    plan: Annotated[Path | None, typer.Option(help="A plan.yaml to follow.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One hyperparameter; may be repeated."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE|imagenet", help="Pretrained weights.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|CENTER,WIDTH",
            help="Grey window: lung, mediastinum, bone, brain, liver, or two numbers.",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Wall time for training with validation: 90s, 10m, 2h.")
    ] = None,
    external: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="A second dataset, read alike: the external test."),
    ] = None,
    stratify_by: StratifyBy = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier run.")] = False,
    strict: Annotated[bool, typer.Option(help="Stop at the first unreadable image.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Train despite this FAIL of the audit; repeatable."),
    ] = None,
    allow_shared_patients: Annotated[
        bool, typer.Option(help="Train although the given splits share patients.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Everything from labelled images up to the report."""
    from pellucid import pipeline
    from pellucid.training.plan import parse_overrides

    wanted = parse_overrides(settings or [])
    wanted.update({"weights": weights} if weights is not None else {})
    wanted.update({"window": window} if window is not None else {})
    with _resumable():
        dataset = read_data({**chosen, "two_logits": two_logits}, as_json)
        if external is not None:
            dataset = _with_external(dataset, {**chosen, "data": external}, allow_shared_patients)
        run = pipeline.train(
            dataset,
            out,
            plan=plan,
            settings=wanted,
            budget=budget,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            strict=strict,
            allow=tuple(allow or ()),
            allow_shared_patients=allow_shared_patients,
            stratify_by=tuple(stratify_by or ()),
            command=_command(),
            progress=Progress(quiet=as_json),
        )
    _finish(run, as_json)


@app.command()
def evaluate(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|PREDICTIONS", help="A run, or a .csv or .parquet table.")
    ],
    positive: Positive = None,
    model: Annotated[
        Path | None,
        typer.Option(help="For a table: the bundle or run that made it, to check its patients."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="For a table: the folder for evaluation and report.")
    ] = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Judge predictions, also those of a model that Pellucid did not train."""
    from pellucid import pipeline
    from pellucid.evaluation.document import describe_evaluation

    document = pipeline.evaluate(source, out=out, model=model, positive=positive, seed=seed or 0)
    if as_json:
        _print_json(document)
        return
    typer.echo(describe_evaluation(document))
    place = source if source.is_dir() else out
    if place:
        typer.echo(place / "report.html")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A bundle or a run.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .csv or .parquet file to write.")],
    overwrite: Annotated[bool, typer.Option(help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Probabilities for new images; exit code 1 when some could not be read."""
    _refuse_existing(out, overwrite)
    from pellucid.evaluation.predictions import save_predictions
    from pellucid.prediction import predict as predict_images

    progress = Progress(quiet=as_json)
    table, failures = predict_images(model, images, progress.counter("Predicting"))
    save_predictions(table, out)
    reasons = [str(failure) for failure in failures]
    if as_json:
        n_images = int(table["image_id"].nunique())
        _print_json({"out": str(out), "n_images": n_images, "unreadable": reasons})
    else:
        typer.echo(out)
    for reason in reasons:
        progress.say(reason)
    if reasons:
        raise CheckFailed(f"{len(reasons)} of the images could not be read")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: AsJson = False,
) -> None:
    """Write the report of a run again from its files."""
    from pellucid import pipeline

    path = pipeline.report(run)
    _print_json({"report": str(path)}) if as_json else typer.echo(path)


def main() -> None:
    """Run the command line; a `PellucidError` becomes one plain message and its exit code."""
    try:
        app()
    except PellucidError as error:
        if "--json" in sys.argv and not isinstance(error, CheckFailed):
            _print_json({"error": str(error), "kind": type(error).__name__})
        typer.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)


def _with_external(dataset: Dataset, chosen: dict[str, Any], allow_shared: bool) -> Dataset:
    """The dataset with a second one, read with the same options, as its external test."""
    from pellucid.data.external import with_external

    return with_external(dataset, read_data(chosen), allow_shared_patients=allow_shared)


def _refuse_existing(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists", remedy="Choose another --out or add --overwrite.")


@contextmanager
def _resumable() -> Iterator[None]:
    """Turn ctrl-C into exit code 130 and the command that continues."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted. Continue with:\n  {_resume_command()}", err=True)
        raise typer.Exit(130) from None


def _finish(run: Any, as_json: bool) -> None:
    if as_json:
        paths = {"run": str(run.folder), "report": str(run.report_path)}
        _print_json({**paths, "evaluation": run.evaluation})
    else:
        typer.echo(run.report_path)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))


def _command() -> str:
    return shlex.join(["pellucid", *sys.argv[1:]])


def _resume_command() -> str:
    words = [word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")]
    return shlex.join(["pellucid", *words, "--resume"])
