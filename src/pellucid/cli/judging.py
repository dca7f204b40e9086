"""Commands about what a model says: `predict`, `evaluate`, `compare` and `report`."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.cli.app import (
    MODEL,
    AsJson,
    Engine,
    Precision,
    Seed,
    app,
    print_json,
    refuse_existing,
    resumable,
)
from pellucid.cli.data_options import Positive
from pellucid.errors import CheckFailed, UsageError
from pellucid.progress import Progress

if TYPE_CHECKING:
    from pellucid.evaluation.block import Asked

Resamples = Annotated[int, typer.Option(min=100, max=100_000, help="Bootstrap resamples.")]
SOURCE = "A run, or a .csv or .parquet table."


@app.command()
def evaluate(
    source: Annotated[Path, typer.Argument(metavar="RUN|PREDICTIONS", help=SOURCE)],
    positive: Positive = None,
    sensitivity: Annotated[
        float | None, typer.Option(help="Operating point: the least sensitivity wanted (0.95).")
    ] = None,
    specificity: Annotated[
        float | None, typer.Option(help="Operating point: the least specificity wanted (0.95).")
    ] = None,
    cost_ratio: Annotated[
        float | None,
        typer.Option(help="Operating point: what a missed positive costs, in false alarms."),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(help="Share of positives where it will be used, for PPV and NPV."),
    ] = None,
    ordered: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Classes from least to most, for weighted kappa."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="For a table: the bundle or run that made it, to check its patients."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="For a table: the folder for evaluation and report.")
    ] = None,
    resamples: Resamples = 1000,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Judge predictions, also those of a model that Pellucid did not train."""
    _on_one_thread()
    from pellucid import judging
    from pellucid.evaluation.document import describe_evaluation

    asked = _asked((sensitivity, specificity, cost_ratio, prevalence), ordered, (resamples, seed))
    document = judging.evaluate(source, out=out, model=model, positive=positive, asked=asked)
    if as_json:
        print_json(document)
        return
    typer.echo(describe_evaluation(document))
    place = source if source.is_dir() else out
    if place:
        typer.echo(place / "report.html")


@app.command()
def compare(
    sources: Annotated[list[Path], typer.Argument(metavar="RUN|PREDICTIONS…", help=SOURCE)],
    names: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="What to call them; one name for runs of other seeds."),
    ] = None,
    split: Annotated[str, typer.Option(help="The split that is compared.")] = "test",
    positive: Positive = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for comparison.json and comparison.html.")
    ] = None,
    resamples: Resamples = 2000,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Compare models on the same patients, by paired tests; says when it is within chance."""
    _on_one_thread()
    from pellucid import judging
    from pellucid.evaluation.comparing.comparison import describe_comparison

    called = [name.strip() for name in names.split(",")] if names else None
    if called and len(called) != len(sources):
        raise UsageError("Each of those compared has a name", f"{len(called)} for {len(sources)}")
    document = judging.compare(
        sources,
        names=called,
        split=split,
        out=out,
        positive=positive,
        asked=_asked((None,) * 4, None, (resamples, seed)),
    )
    if as_json:
        print_json(document)
        return
    typer.echo(describe_comparison(document))
    if out is not None:
        typer.echo(out / "comparison.html")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES…", help="Image files, folders, a manifest, or - for paths on stdin."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .csv or .parquet file to write.")],
    engine: Engine = "auto",
    precision: Precision = "float32",
    prevalence: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE|[TARGET:]CLASS=SHARE,…",
            help="Share of positives where the images come from; the probabilities are shifted.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with a stopped prediction.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Probabilities for new images; exit code 1 when some could not be read."""
    refuse_existing(out, overwrite)
    from pellucid.prediction.engines import open_engine
    from pellucid.prediction.files import describe_computing
    from pellucid.prediction.listing import list_images, read_paths
    from pellucid.prediction.streaming import predict_to_file
    from pellucid.prediction.tables import find_shifts

    progress = Progress(quiet=as_json)
    opened = open_engine(model, engine, precision)
    shifts = find_shifts(_shares(prevalence), opened.task, opened.card)
    from_stream = images == [Path("-")]
    named = [] if from_stream else list_images(images, out=out)
    if from_stream and isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a path is bytes, in any locale
    listed, total = (read_paths(sys.stdin) if from_stream else named), len(named)
    count = progress.counter("Predicting")

    def show(done: int) -> None:
        if total:
            count(done, total)
        else:
            progress.now(f"Predicting: {done:,} images")

    with resumable():
        done = predict_to_file(
            opened,
            listed,
            out,
            shifts=shifts,
            resume=resume,
            overwrite=overwrite,
            progress=show,
        )
    about = describe_computing(opened, shifts)
    progress.say(f"Computed by {opened.name} in {opened.precision}.")
    for target, (_, shares) in shifts.items():
        classes = next(t.classes for t in opened.task.targets if t.name == target)
        said = ", ".join(f"{name} {s:.3g}" for name, s in zip(classes, shares, strict=True))
        progress.say(f"Probabilities of {target} are for the prevalence {said}; logits are not.")
    if as_json:
        counts = {"n_images": done.n_images - done.n_unreadable, "n_unreadable": done.n_unreadable}
        print_json({"out": str(out), **counts, "unreadable": done.reasons, **about})
    else:
        typer.echo(out)
    for reason in done.reasons:
        progress.say(reason)
    if done.n_unreadable:
        rule = f"{done.n_unreadable} of the images could not be read"
        raise CheckFailed(rule, remedy=f"Their names and reasons: {out}.unreadable.csv")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    external: Annotated[
        Path | None,
        typer.Option(metavar="PREDICTIONS", help="A table of other patients: the external test."),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN|PREDICTIONS", help="Compare with this one; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run again from its files."""
    from pellucid import judging

    path = judging.report(run, external=external, others=tuple(compare or ()))
    print_json({"report": str(path)}) if as_json else typer.echo(path)


def _on_one_thread() -> None:
    """Judging multiplies thin matrices, for which threads wait longer than they work.

    To be said before NumPy loads; whoever has set a number keeps it.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _shares(text: str | None) -> float | dict[str, float] | None:
    """A prevalence as one share or as classes with theirs."""
    if text is None:
        return None
    pair = r"\s*(.+?)\s*=\s*([\d.]+(?:[eE]-?\d+)?)\s*(?:,|$)"  # a class's name may hold a comma
    try:
        if "=" not in text:
            return float(text)
        if not re.sub(pair, "", text):
            return {name: float(share) for name, share in re.findall(pair, text)}
    except ValueError:
        pass
    remedy = "Examples: 0.05, or CNV=0.1,DME=0.2."
    raise UsageError("A prevalence is a share, or classes with theirs", repr(text), remedy)


def _asked(
    wishes: tuple[float | None, float | None, float | None, float | None],
    ordered: str | None,
    draw: tuple[int, int | None],
) -> Asked:
    """What is asked of a judgement, from the options that were given."""
    from pellucid.evaluation.block import Asked
    from pellucid.evaluation.decisions.operating_point import Wishes

    names = ("sensitivity", "specificity", "cost_ratio", "prevalence")
    given = {name: wish for name, wish in zip(names, wishes, strict=True) if wish is not None}
    return Asked(
        wishes=Wishes(**given),
        ordered=tuple(name.strip() for name in ordered.split(",")) if ordered else (),
        n_resamples=draw[0],
        seed=draw[1] or 0,
    )
