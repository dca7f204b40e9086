"""The command `explain`: what a model looks at, as pages and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.cli.app import AsJson, app, print_json
from pellucid.errors import CheckFailed
from pellucid.progress import Progress

if TYPE_CHECKING:
    from pellucid.explaining import Explained

METHOD_HELP = (
    "grad_cam (default), integrated_gradients, occlusion, gradient_x_input, several with commas, "
    "or all."
)


@app.command()
def explain(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A bundle or a run.")],
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE…", help="Image files, or folders of them."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where pages go (default: explanations/MODEL)."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Several targets: the one to explain (default: all).")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="What speaks for it (default: the call)."),
    ] = None,
    method: Annotated[str, typer.Option(metavar="M,M|all", help=METHOD_HELP)] = "grad_cam",
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Grad-CAM's layer, such as layer3 (default: the deepest of at least 7 rows).",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="mean|black|NUMBER",
            help="What the other methods put in place of the image (default: mean, a grey).",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Explain this split of a run, and test whether its maps mean anything."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="With --split: at most so many images.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --split: a mask of the same name for each image, not 0 where the lesion is.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace files of the same names.")] = False,
    as_json: AsJson = False,
) -> None:
    """What the network looks at: a page an image; exit code 1 when some could not be read.

    Each page shows the image under a heat map, puts the logits into words, and follows the image
    through the network. It opens in any browser, and needs nothing beside it.
    """
    from pellucid.explaining import explain as explain_images

    done = explain_images(
        model,
        images or (),
        out=out,
        target=target,
        label=label,
        methods=tuple(name.strip() for name in method.split(",")),
        layer=layer,
        baseline=baseline,
        split=split,
        limit=limit,
        masks=masks,
        overwrite=overwrite,
        progress=Progress(quiet=as_json),
    )
    _finish(done, as_json)


def _finish(done: Explained, as_json: bool) -> None:
    """Say where everything went; raises `CheckFailed` when an image could not be read."""
    reasons = [str(error) for error in done.unreadable]
    if as_json:
        written = [str(path) for path in done.written]
        print_json(
            {
                "out": str(done.out),
                "written": written,
                "images": done.documents,
                "unreadable": reasons,
            }
        )
    else:
        pages = [path for path in done.written if path.suffix == ".html"]
        typer.echo(pages[-1] if pages else done.out)
    for reason in reasons:
        typer.echo(reason, err=True)
    if reasons:
        raise CheckFailed(f"{len(reasons)} of the images could not be read")
