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

DataArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder with one subfolder a class (split folders above them are honoured), "
        "a manifest (.csv, .parquet), a MedMNIST .npz or medmnist:NAME, or "
        "phantom:{chest,breast,oct}.",
    ),
]
ImageColumn = Annotated[str | None, typer.Option(help="Manifest: the column of image paths.")]
LabelColumn = Annotated[
    list[str] | None, typer.Option(help="Manifest: a column of labels; repeat for more targets.")
]
PatientColumn = Annotated[str | None, typer.Option(help="Manifest: the column of patients.")]
PatientPattern = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Regular expression that finds the patient in the file name (its first group, "
        "if it has one).",
    ),
]
SplitColumn = Annotated[
    str | None, typer.Option(help="Manifest: the column with train, validation or test.")
]
Patients = Annotated[
    Path | None,
    typer.Option(help="MedMNIST: a CSV with split, index, patient for each row of the archive."),
]
Merge = Annotated[
    list[str] | None, typer.Option(metavar="NEW=OLD+OLD", help="Merge classes; may be repeated.")
]
Positive = Annotated[
    str | None, typer.Option(metavar="CLASS", help="The class that counts as positive.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document; no progress is shown.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of every random choice.")]


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
def audit(
    data: DataArgument,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    patient_column: PatientColumn = None,
    patient_pattern: PatientPattern = None,
    split_column: SplitColumn = None,
    patients: Patients = None,
    merge: Merge = None,
    positive: Positive = None,
    out: Annotated[Path | None, typer.Option(help="Write the findings to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """What is wrong with the data; exit code 1 when a finding is a FAIL."""
    from pellucid import pipeline

    dataset = _read(locals())
    findings = pipeline.audit(dataset, Progress(quiet=as_json))
    if out:
        findings.save(out)
    if as_json:
        _print_json(findings.to_json())
    else:
        typer.echo(dataset.describe())
        typer.echo(findings.describe())
    if findings.failed:
        raise CheckFailed("The audit has findings of level FAIL")


@app.command()
def train(
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to write.")],
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    patient_column: PatientColumn = None,
    patient_pattern: PatientPattern = None,
    split_column: SplitColumn = None,
    patients: Patients = None,
    merge: Merge = None,
    positive: Positive = None,
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
    budget: Annotated[
        str | None, typer.Option(help="Wall time for training with validation: 90s, 10m, 2h.")
    ] = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier run.")] = False,
    strict: Annotated[bool, typer.Option(help="Stop at the first unreadable image.")] = False,
    allow_shared_patients: Annotated[
        bool, typer.Option(help="Train although the given splits share patients.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Everything from labelled images up to the report."""
    from pellucid import pipeline
    from pellucid.training.plan import parse_overrides

    wanted = parse_overrides(settings or [])
    if weights is not None:
        wanted["weights"] = weights
    with _resumable():
        run = pipeline.train(
            _read(locals()),
            out,
            plan=plan,
            settings=wanted,
            budget=budget,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            strict=strict,
            allow_shared_patients=allow_shared_patients,
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
    out: Annotated[
        Path | None, typer.Option(help="For a table: the folder for evaluation and report.")
    ] = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Judge predictions, also those of a model that Pellucid did not train."""
    from pellucid import pipeline
    from pellucid.evaluation.document import describe_evaluation

    document = pipeline.evaluate(source, out=out, positive=positive, seed=seed or 0)
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
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists", remedy="Choose another --out or add --overwrite.")
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


def _read(options: dict[str, Any]) -> Dataset:
    """The dataset that a command's options describe."""
    from pellucid.data.index import read_dataset
    from pellucid.task import parse_merge

    names = ("image_column", "patient_column", "patient_pattern", "split_column", "patients")
    chosen: dict[str, Any] = {name: options[name] for name in (*names, "positive")}
    return read_dataset(
        options["data"],
        label_columns=options["label_column"],
        merge=parse_merge(options["merge"] or []),
        two_logits=options.get("two_logits", False),
        **chosen,
    )


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
