"""The command `features`: what the layers of a network make of an image, as pictures.

Knows which pictures are asked for and in which words they are told; what they show is computed by
`explanation` and drawn by `reporting`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli.app import AsJson, Seed, app, print_json, refuse_existing
from pellucid.progress import Progress

if TYPE_CHECKING:
    from pellucid.cli.feature_pictures import Sheet


@app.command()
def features(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A bundle or a run.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A folder for the pictures.")],
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Show the maps of this layer, such as layer1 or layer4.2.bn2."
        ),
    ] = None,
    patches: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|DATA",
            help="Also the places in these images that excite the layer's channels most.",
        ),
    ] = None,
    maximise: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNEL|CLASS",
            help="Also a picture made to excite this channel of the layer, or this class's logit.",
        ),
    ] = None,
    channels: Annotated[
        int, typer.Option(min=1, max=255, help="How many of a layer's channels are shown.")
    ] = 11,
    seed: Seed = None,
    overwrite: Annotated[bool, typer.Option(help="Write into a folder that exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look inside: the image's way from the first layer to the logits, or one layer's maps.

    Without --layer: a page from the first edges to the logits, and the first layer's filters.
    """
    refuse_existing(out, overwrite)
    from pellucid.cli import feature_pictures as pictures

    asked = pictures.open_asked(model, image, layer, channels)
    progress = Progress(quiet=as_json)
    sheets: list[Sheet] = []
    if layer is not None:
        sheets.append(pictures.picture_maps(asked))
    images = pictures.open_images(patches, asked.bundle, progress) if patches else None
    if images is not None:
        sheets.append(pictures.picture_patches(asked, images, progress))
    if maximise is not None:
        sheets.append(pictures.picture_maximised(asked, maximise, images, seed or 0, progress))
    if not sheets:
        sheets = [pictures.picture_walk(asked), pictures.picture_filters(asked)]
    document = _write(out, asked.facts, sheets)
    if as_json:
        print_json(document)
        return
    for sheet in sheets:
        typer.echo(out / sheet.file)


def _write(out: Path, facts: dict[str, Any], sheets: list[Sheet]) -> dict[str, Any]:
    """The pictures and `features.json`, which holds what they show in figures."""
    from pellucid.reporting.drawing.feature_plots import figure_to_png
    from pellucid.storage import write_bytes, write_json

    for sheet in sheets:
        write_bytes(out / sheet.file, figure_to_png(sheet.figure))
    shown = {Path(sheet.file).stem: {"file": sheet.file, **sheet.facts} for sheet in sheets}
    document = {"format": "pellucid-features", "version": 1, **facts, **shown}
    write_json(out / "features.json", document)
    return document
