"""The command `export`: a model to take elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.app import MODEL, AsJson, app, print_json


@app.command()
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    out: Annotated[
        Path, typer.Option(metavar="PLACE", help="A folder, or a file: .zip, .onnx or .pt2.")
    ],
    form: Annotated[
        str | None,
        typer.Option("--as", metavar="FORM", help="bundle, onnx, torch or triton."),
    ] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(metavar="IMAGES", help="Images that must be answered alike; repeatable."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="The licence of the bundle, for its card.")
    ] = None,
    intended_use: Annotated[
        str | None, typer.Option(help="What the bundle is meant for, for its card.")
    ] = None,
    fingerprints: Annotated[
        bool, typer.Option(help="Keep the fingerprints of the patients it was trained on.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """A model to take elsewhere: a bundle, ONNX, torch.export or a Triton repository."""
    from pellucid.exporting.verb import export as export_model

    done = export_model(
        model,
        out,
        form=form,
        check=check or (),
        licence=licence,
        intended_use=intended_use,
        fingerprints=fingerprints,
        overwrite=overwrite,
    )
    if as_json:
        print_json({**done._asdict(), "out": str(done.out)})
        return
    if done.largest_difference is not None:
        said = f"{done.n_images} of {done.images}, to {done.largest_difference:.1g}"
        typer.echo(f"Answers like torch: {said}.", err=True)
    typer.echo(done.out)
