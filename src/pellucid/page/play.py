"""The playground's pictures of the image that is looked at: what `pellucid play` draws.

Needs torch but for kernels and logits. A picture is a PNG with the text that stands below it.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pellucid.errors import UsageError, did_you_mean
from pellucid.page.pixels import shown_planes
from pellucid.playground.subject import Subject
from pellucid.reporting.drawing.feature_plots import figure_to_png
from pellucid.serving.answers import Looked

LONGEST_SIDE = 256  # of an image that is played with: an answer comes at once
_drawing = threading.Lock()


def convolution(
    looked: Looked, *, kernel: str, mode: str, padding: str, stride: int
) -> dict[str, Any]:
    """A kernel slid over the image: convolution and cross-correlation side by side."""
    from pellucid.playground.convolution import respond
    from pellucid.playground.kernels import find_kernel
    from pellucid.playground.pictures import draw_convolution

    grey = _subject(looked).grey
    pixels: Any = "same" if padding == "same" else _whole(padding, "Padding")
    found = respond(grey, find_kernel(kernel, grey), padding=pixels, mode=mode, stride=stride)
    return _sheet(lambda: draw_convolution(found, "the image"), found.describe())


def pooling(looked: Looked, *, kind: str, size: int, stride: int) -> dict[str, Any]:
    """The image pooled."""
    from pellucid.playground.pictures import draw_pooling
    from pellucid.playground.pooling import pool

    found = pool(_subject(looked).grey, kind, size, stride)
    return _sheet(lambda: draw_pooling(found, "the image"), found.describe())


def activation(looked: Looked, *, name: str) -> dict[str, Any]:
    """An activation function, and the kernel's response before and after it."""
    from pellucid.playground.activations import activation_curves
    from pellucid.playground.convolution import respond
    from pellucid.playground.kernels import find_kernel
    from pellucid.playground.pictures import draw_activations
    from pellucid.reporting.drawing import playground_plots as plots

    grey = _subject(looked).grey
    curves = activation_curves([name])
    kernel = find_kernel("sobel_x", grey)
    before = respond(grey, kernel, padding="same", mode="mirror").maps["convolution"]
    (curve,) = curves.curves
    after = np.interp(before, curve.x, curve.y)
    limit = float(np.abs(before).max())
    panels = [
        plots.Panel("the image", grey, "grey value", (0.0, 1.0)),
        plots.Panel("after sobel_x", before, "response", limit=limit),
        plots.Panel(f"then {name}", after, "response", limit=limit),
    ]
    first = _sheet(lambda: draw_activations(curves), curves.describe())
    title = f"An edge detector's response, before and after {name}"
    second = _sheet(lambda: plots.draw_panels(panels, title=title, note=""), "")
    return {"pictures": [*first["pictures"], *second["pictures"]], "text": first["text"]}


def collapse(looked: Looked, *, layers: int, activation: str, seed: int) -> dict[str, Any]:
    """A stack of convolutions without activation, and the one convolution that it is."""
    from pellucid.playground.collapse import Stack
    from pellucid.playground.collapse import collapse as fold
    from pellucid.playground.pictures import draw_collapse

    stack = Stack(layers=layers, activation=activation)
    found = fold(_subject(looked).grey, stack, seed=seed)
    return _sheet(lambda: draw_collapse(found), found.describe())


def augmentation(looked: Looked, *, policy: str, strength: float, seed: int) -> dict[str, Any]:
    """The image as training would change it."""
    from pellucid.playground.augmentations import augment_in_turn
    from pellucid.playground.pictures import draw_augmentations

    square = _subject(looked).for_network(128)
    found = augment_in_turn(square, policy, strength=strength, seed=seed)
    return _sheet(lambda: draw_augmentations(found, "the image"), found.describe())


def logits(values: Sequence[float]) -> dict[str, Any]:
    """Logits as odds, probabilities and their logarithms."""
    from pellucid.playground.output_layers import convert_logits
    from pellucid.playground.pictures import draw_output

    def work() -> dict[str, Any]:
        found = convert_logits(values)
        return _sheet(lambda: draw_output(found), found.describe())

    return _plainly(work)


def choices() -> dict[str, list[str]]:
    """What can be chosen in each of the above."""
    from pellucid.network.formulas import ACTIVATIONS
    from pellucid.playground.convolution import PADDING_MODES
    from pellucid.playground.kernels import KERNELS, SIZED
    from pellucid.playground.pooling import KINDS
    from pellucid.training.augmentation import POLICIES

    return {
        "kernels": [*KERNELS, *SIZED],
        "modes": [*PADDING_MODES],
        "pooling": [*KINDS],
        "activations": [*ACTIVATIONS],
        "policies": [*POLICIES],
    }


PLAYS: dict[str, tuple[Callable[..., dict[str, Any]], dict[str, Callable[[str], Any]]]] = {
    "convolution": (convolution, {"kernel": str, "mode": str, "padding": str, "stride": int}),
    "pooling": (pooling, {"kind": str, "size": int, "stride": int}),
    "activation": (activation, {"name": str}),
    "collapse": (collapse, {"layers": int, "activation": str, "seed": int}),
    "augmentation": (augmentation, {"policy": str, "strength": float, "seed": int}),
}
"""What can be played with an image, and the settings that each takes."""


def play(name: str, looked: Looked, settings: dict[str, str]) -> dict[str, Any]:
    """One of `PLAYS` with its settings as text; raises `UsageError`."""
    if name not in PLAYS:
        raise UsageError("There is no such play", repr(name), did_you_mean(name, list(PLAYS)))
    work, kinds = PLAYS[name]
    if settings.keys() != kinds.keys():
        raise UsageError(f"{name} takes the settings {', '.join(kinds)}", ", ".join(settings))
    given = {}
    for key, kind in kinds.items():
        try:
            given[key] = kind(settings[key])
        except ValueError:
            raise UsageError(f"The setting {key} of {name} is a number", settings[key]) from None
    return _plainly(lambda: work(looked, **given))


def _plainly(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a play gives; numbers that are too large for it become a plain error."""
    try:
        return work()
    except (ArithmeticError, ValueError, RuntimeError) as error:
        raise UsageError("A setting is too large to play with", type(error).__name__) from error


def _subject(looked: Looked) -> Subject:
    return Subject("the image", shown_planes(looked.image.pixels, LONGEST_SIDE))


def _whole(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{what} is a number of pixels, or same", repr(text)) from None


def _sheet(draw: Callable[[], Figure], text: str) -> dict[str, Any]:
    """A figure as base64, one at a time, since figures share fonts."""
    with _drawing:
        png = figure_to_png(draw())
    return {"pictures": [base64.b64encode(png).decode()], "text": text}
