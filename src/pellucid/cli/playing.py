"""`pellucid play …`: the lecture's ideas on one image or a few numbers, printed and drawn.

Each command prints its numbers; `--out FILE.png` or `.svg` draws them as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from pellucid.cli.app import AsJson, app, print_json, refuse_existing
from pellucid.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

play = typer.Typer(
    help="Play with the lecture's ideas: one image, a few numbers, a picture.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(play, name="play")

ImageSource = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE", help="An image file, or phantom:oct, phantom:chest, phantom:breast."
    ),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Draw the picture: a .png or .svg file.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file.")]
SeedOfDraws = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
NEGATIVES = {"ignore_unknown_options": True}  # so that -1.5 is a number and not an option
_SUFFIXES = (".png", ".svg")


class _Result(Protocol):
    """What every part of the playground gives back."""

    def describe(self) -> str: ...

    def to_json(self) -> dict[str, Any]: ...


@play.command()
def convolution(
    image: ImageSource,
    kernel: Annotated[
        str,
        typer.Option(
            help="sobel_x, sobel_y, mean[:SIZE], gaussian[:SIZE], laplacian, sharpen, identity, "
            'patch:ROW,COLUMN,SIZE cut from the image, or numbers: "1 0 -1; 2 0 -2; 1 0 -1".'
        ),
    ] = "sobel_x",
    padding: Annotated[
        str, typer.Option(help="What stands beyond the border: zero, mirror or wrap.")
    ] = "zero",
    padding_pixels: Annotated[
        str | None,
        typer.Option(
            metavar="N|same",
            help="Pixels added on each side, or same: as many as keep the image's size. "
            "Usually same; 0 for a patch and for a kernel with an even side.",
        ),
    ] = None,
    stride: Annotated[int, typer.Option(help="Steps of so many pixels.")] = 1,
    keep_mean: Annotated[
        bool, typer.Option("--keep-mean", help="Use a patch as it is, mean and all.")
    ] = False,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Slide a kernel over an image. Convolution and cross-correlation stand side by side."""
    _check_out(out, overwrite)
    from pellucid.playground.convolution import respond
    from pellucid.playground.kernels import find_kernel
    from pellucid.playground.subject import read_subject

    subject = read_subject(image)
    found = find_kernel(kernel, subject.grey, keep_mean=keep_mean)
    pixels = _pixels(padding_pixels, found.has_middle and found.place is None)
    responses = respond(subject.grey, found, padding=pixels, mode=padding, stride=stride)
    _answer(
        responses, lambda pictures: pictures.draw_convolution(responses, subject.name), out, as_json
    )


@play.command()
def pooling(
    image: ImageSource,
    kind: Annotated[str, typer.Option(help="max or average.")] = "max",
    size: Annotated[int, typer.Option(help="Side of the window in pixels.")] = 2,
    stride: Annotated[
        int | None, typer.Option(help="Steps of so many pixels; the window's size when left out.")
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Keep each window's maximum or mean. What global pooling leaves stands beside it."""
    _check_out(out, overwrite)
    from pellucid.playground.pooling import pool
    from pellucid.playground.subject import read_subject

    subject = read_subject(image)
    pooled = pool(subject.grey, kind, size, stride)
    _answer(pooled, lambda pictures: pictures.draw_pooling(pooled, subject.name), out, as_json)


@play.command()
def activations(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]…", help="Such as relu gelu sigmoid; all ten when left out."),
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Activation functions and their slopes. Says where each saturates."""
    _check_out(out, overwrite)
    from pellucid.playground.activations import activation_curves

    found = activation_curves(names or ())
    _answer(found, lambda pictures: pictures.draw_activations(found), out, as_json)


@play.command()
def collapse(
    image: ImageSource = "phantom:oct",
    layers: Annotated[int, typer.Option(help="Convolutions in the stack.")] = 3,
    kernel_size: Annotated[int, typer.Option(help="Side of each kernel.")] = 3,
    channels: Annotated[int, typer.Option(help="Channels between the layers.")] = 4,
    stride: Annotated[int, typer.Option(help="Stride of each layer.")] = 1,
    padding_pixels: Annotated[int, typer.Option(help="Zeros around each layer's input.")] = 0,
    activation: Annotated[str, typer.Option(help="What stands between the layers.")] = "relu",
    seed: SeedOfDraws = 0,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Stacked convolutions are one without activation. With an activation they are not."""
    _check_out(out, overwrite)
    from pellucid.playground.collapse import Stack
    from pellucid.playground.collapse import collapse as compare
    from pellucid.playground.subject import read_subject

    stack = Stack(layers, kernel_size, channels, stride, padding_pixels, activation)
    found = compare(read_subject(image).grey, stack, seed=seed)
    _answer(found, lambda pictures: pictures.draw_collapse(found), out, as_json)


@play.command()
def augmentations(
    image: ImageSource,
    policy: Annotated[
        str, typer.Option(help="chest_xray, breast_ultrasound, retinal_oct, generic or none.")
    ] = "generic",
    strength: Annotated[float, typer.Option(help="Multiplies every range; 0 is none.")] = 1.0,
    image_size: Annotated[
        int, typer.Option(min=8, max=1024, help="Side in pixels, as the network would get it.")
    ] = 128,
    seed: SeedOfDraws = 0,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """One image under a policy's random changes. Each alone, all together, with reasons."""
    _check_out(out, overwrite)
    from pellucid.playground.augmentations import augment_in_turn
    from pellucid.playground.subject import read_subject

    subject = read_subject(image)
    found = augment_in_turn(subject.for_network(image_size), policy, strength=strength, seed=seed)
    _answer(found, lambda pictures: pictures.draw_augmentations(found, subject.name), out, as_json)


@play.command()
def cross_entropy(
    classes: Annotated[int, typer.Option(help="How many classes there are.")] = 2,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """The loss, from the true class's probability. Shows how it pulls on the logits."""
    _check_out(out, overwrite)
    from pellucid.playground.cross_entropy import cross_entropy_curve

    found = cross_entropy_curve(classes)
    _answer(found, lambda pictures: pictures.draw_cross_entropy(found), out, as_json)


@play.command(context_settings=NEGATIVES)
def losses(
    logits: Annotated[
        list[str] | None,
        typer.Argument(metavar="[Z]…", help="Logits of the wrong class; -2 2 20 100 1000."),
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Pairings of output and loss in 32 bit. Says which agree and which overflow."""
    _check_out(out, overwrite)
    from pellucid.playground.losses import DEFAULT_LOGITS, compare_losses

    found = compare_losses(_numbers(logits) if logits else DEFAULT_LOGITS)
    _answer(found, lambda pictures: pictures.draw_losses(), out, as_json)


@play.command(context_settings=NEGATIVES)
def output(
    logits: Annotated[
        list[str],
        typer.Argument(metavar="Z…", help="One logit of the positive class, or one a class."),
    ],
    classes: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Names of the classes, positive last.")
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Logits as odds and as probabilities. Says what one more on a logit would change."""
    _check_out(out, overwrite)
    from pellucid.playground.output_layers import convert_logits

    names = tuple(name.strip() for name in classes.split(",")) if classes else ()
    found = convert_logits(_numbers(logits), names)
    _answer(found, lambda pictures: pictures.draw_output(found), out, as_json)


def _check_out(out: Path | None, overwrite: bool) -> None:
    """Before any work: the file's kind, and that nothing is overwritten unasked."""
    if out is None:
        return
    if out.suffix not in _SUFFIXES:
        raise UsageError("A picture is a .png or a .svg file", out.name)
    refuse_existing(out, overwrite)


def _answer(
    result: _Result, draw: Callable[[Any], Figure], out: Path | None, as_json: bool
) -> None:
    """Print the numbers, and write the picture where one was asked for."""
    if out is not None:
        from pellucid.playground import pictures
        from pellucid.reporting.drawing.figure_files import figure_file
        from pellucid.storage import write_bytes

        write_bytes(out, figure_file(draw(pictures), out.suffix))
    if as_json:
        print_json({**result.to_json(), "picture": None if out is None else str(out)})
        return
    typer.echo(result.describe())
    typer.echo()
    typer.echo(out if out is not None else "Add --out FILE.png (or .svg) for the picture.")


def _pixels(text: str | None, is_same_usual: bool) -> int | Literal["same"]:
    if text is None:
        return "same" if is_same_usual else 0
    if text == "same":
        return "same"
    try:
        return int(text)
    except ValueError:
        rule = 'Padding is a number of pixels, or "same"'
        raise UsageError(rule, f'"{text}"') from None


def _numbers(texts: list[str]) -> list[float]:
    """Numbers that may be negative; an option that is not known comes here too."""
    numbers = []
    for text in texts:
        try:
            numbers.append(float(text))
        except ValueError:
            raise UsageError("Logits are numbers", f'"{text}"') from None
    return numbers
