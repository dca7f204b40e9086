"""Commands about data alone: `audit` says what is wrong with it, `split` cuts it by patient."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli.app import AsJson, Seed, StratifyBy, Window, app, print_json, refuse_existing
from pellucid.cli.data_options import read_data, takes_data
from pellucid.errors import CheckFailed
from pellucid.progress import Progress


@app.command()
@takes_data
def audit(
    chosen: dict[str, Any],
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for audit.html, audit.json and index.csv, or a .json file."),
    ] = None,
    window: Window = None,
    as_json: AsJson = False,
) -> None:
    """What is wrong with the data; exit code 1 when a finding is a FAIL."""
    from pellucid import pipeline

    dataset = read_data(chosen, as_json)
    only_json = out is not None and out.suffix == ".json"
    found = pipeline.audit(
        dataset,
        out=None if only_json else out,
        window=window,
        progress=Progress(quiet=as_json),
    )
    if out is not None and only_json:
        found.save(out)
    if as_json:
        print_json(found.to_json())
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
    ignore_copies: Annotated[
        bool, typer.Option(help="Read no picture, so copies may stand in two splits.")
    ] = False,
    seed: Seed = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file.")] = False,
) -> None:
    """Write a manifest with splits by patient, for `train FILE --split-column split_1`."""
    refuse_existing(out, overwrite)
    from pellucid import pipeline

    notes = pipeline.split(
        read_data(chosen),
        out,
        folds=folds,
        repeats=repeats,
        leave_out=leave_out,
        stratify_by=tuple(stratify_by or ()),
        seed=seed or 0,
        keep_copies_together=not ignore_copies,
    )
    for note in notes:
        typer.echo(note)
    typer.echo(out)
