"""The command `anatomy`: a network layer by layer, and how far its units see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli.app import AsJson, app, print_json, refuse_existing
from pellucid.errors import UsageError

if TYPE_CHECKING:
    from pellucid.bundle import Bundle
    from pellucid.explanation.effective_field import EffectiveField
    from pellucid.network.classifier import Classifier


@app.command()
def anatomy(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|NETWORK",
            help="A bundle, a run, or a network by name: plain, vgg16, resnet34, timm:NAME.",
        ),
    ],
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="Of a network by name: the image's side in pixels (224)."),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Of a network by name: 1 is grey, 3 colour (3).")
    ] = None,
    effective: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER", help="Also which pixels this layer's centre unit really listens to."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A folder for anatomy.json and the pictures."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Write into a folder that exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Layer by layer: what it does, its output, what a unit of it sees, parameters, cost.

    "sees" is the side of the receptive field in pixels: the square of the image that one unit of
    the layer can react to.
    """
    if out is not None:
        refuse_existing(out, overwrite)
    from pellucid.explanation.anatomy import anatomy as examine
    from pellucid.explanation.effective_field import effective_receptive_field

    subject = _subject(model, image_size, channels)
    found = examine(subject)
    document = found.to_json()
    field = effective_receptive_field(subject, effective) if effective is not None else None
    if field is not None:
        document["effective"] = field.to_json()
    written = _draw(document, field, out) if out is not None else []
    if as_json:
        print_json({**document, "written": [str(path) for path in written]})
        return
    typer.echo(found.describe())
    if field is not None:
        typer.echo(field.describe())
    for path in written:
        typer.echo(path)


def _subject(model: str, image_size: int | None, channels: int | None) -> Bundle | Classifier:
    """The trained model at that path, or an untrained network of that name."""
    if not Path(model).exists():
        from pellucid.explanation.anatomy import build_network

        return build_network(model, image_size or 224, channels or 3)
    if image_size is not None or channels is not None:
        rule = "A trained model has its own image size and channels"
        raise UsageError(rule, "--image-size or --channels", "Leave them out.")
    from pellucid.bundle import load_bundle

    return load_bundle(model)


def _draw(document: dict[str, Any], field: EffectiveField | None, out: Path) -> list[Path]:
    """Write anatomy.json and the pictures as SVG; returns their paths."""
    from pellucid.reporting.drawing import anatomy_plots as plots
    from pellucid.reporting.drawing.figure_files import figure_file
    from pellucid.storage import write_bytes, write_json

    figures = {
        "anatomy": plots.draw_anatomy(document),
        "receptive_field": plots.draw_growth(document),
    }
    if field is not None:
        sides = (field.size, field.exact.size if field.exact else None)
        figures["effective_field"] = plots.draw_effective_field(
            field.gradient, field.centre, sides, field.layer
        )
    write_json(out / "anatomy.json", document)
    written = [out / "anatomy.json"]
    for name, figure in figures.items():
        path = out / f"{name}.svg"
        write_bytes(path, figure_file(figure, ".svg"))
        written.append(path)
    return written
