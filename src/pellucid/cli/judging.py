"""Commands about what a model says: `predict`, `evaluate` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.app import AsJson, Seed, app, print_json, refuse_existing
from pellucid.cli.data_options import Positive
from pellucid.errors import CheckFailed
from pellucid.progress import Progress


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
        print_json(document)
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
    refuse_existing(out, overwrite)
    from pellucid.evaluation.predictions import save_predictions
    from pellucid.prediction import predict as predict_images

    progress = Progress(quiet=as_json)
    table, failures = predict_images(model, images, progress.counter("Predicting"))
    save_predictions(table, out)
    reasons = [str(failure) for failure in failures]
    if as_json:
        n_images = int(table["image_id"].nunique())
        print_json({"out": str(out), "n_images": n_images, "unreadable": reasons})
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
    print_json({"report": str(path)}) if as_json else typer.echo(path)
