"""From the playground's results to figures: what is shown of each, with its titles.

Computes nothing but the spans of colours; the drawing itself is `reporting.drawing`'s.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from pellucid.playground.convolution import WORDS
from pellucid.reporting.drawing import playground_curves as curves
from pellucid.reporting.drawing import playground_plots as plots
from pellucid.reporting.drawing.playground_plots import Box, Panel
from pellucid.reporting.writing import shorten

if TYPE_CHECKING:
    from pellucid.playground.activations import Curves
    from pellucid.playground.augmentations import Augmented
    from pellucid.playground.collapse import Collapse
    from pellucid.playground.convolution import Responses, Which
    from pellucid.playground.cross_entropy import CrossEntropy
    from pellucid.playground.output_layers import Output
    from pellucid.playground.pooling import Pooled

_COLUMNS = 4  # of tiles
_NAME_WIDTH = 24
_NOTE_WIDTH = 120  # characters of a note's line
_UNIT = (0.0, 1.0)
_CLIPPED, _OUTLYING = 0.99, 0.75  # the share of values whose range is shown, if much is gained

Array = npt.NDArray[np.float64]


def draw_convolution(responses: Responses, name: str) -> Figure:
    """The image, the kernel, and every response; a patch and its best matches are framed."""
    kernel, image = responses.kernel, responses.image
    rows, columns = kernel.values.shape
    own = () if kernel.place is None else ((*kernel.place, rows, columns),)
    above = [
        Panel(f"{_short(name)}\n{_size(image)}", image, "grey value", _span(image), boxes=own),
        Panel(f"kernel {kernel.name}\n{rows} × {columns}", kernel.values, "weight"),
    ]
    note = responses.flip
    if kernel.place is not None:
        top, left = kernel.place
        patch = image[top : top + rows, left : left + columns]
        above.insert(1, Panel(f"the patch\n{_size(patch)}", patch, "grey value", _span(patch)))
        note += (
            " Framed in the image: the patch; in a response: its largest value, whose window "
            f"begins at {_windows(responses)}."
        )
    below = [_response(responses, which) for which in responses.maps]
    if any(panel.is_clipped for panel in below):
        note += " Where a colour scale is pointed, a few values lie beyond it."
    edge = f"padding {responses.mode}" if any(responses.padding) else "no padding"
    return plots.draw_responses(
        above,
        below,
        title=f"Convolution with {kernel.name}: {edge}, stride {responses.stride}",
        note=_wrapped(note),
    )


def _response(responses: Responses, which: Which) -> Panel:
    found = responses.maps[which]
    is_image = which != "normalised" and responses.kernel.keeps_brightness
    unit = "response" if which != "normalised" else "correlation"
    boxes: tuple[Box, ...] = ()
    if responses.kernel.place is not None and which != "convolution":
        row, column = responses.peak(which).at
        reach = max(1, min(found.shape) // 16)
        boxes = ((row - reach, column - reach, 2 * reach + 1, 2 * reach + 1),)
    title = f"{WORDS[which]}\n{_size(found)}"
    span = _span(found) if is_image else None
    limit = 1.0 if which == "normalised" else _limit(found)
    return Panel(title, found, unit, span, limit, boxes)


def _limit(found: Array) -> float:
    """Where the colours of a response end: few outliers, as at a border, may not pale the rest."""
    most, largest = (float(np.quantile(np.abs(found), share)) for share in (_CLIPPED, 1.0))
    return most if 0 < most < _OUTLYING * largest else largest


def _windows(responses: Responses) -> str:
    places = []
    for which in ("cross_correlation", "normalised"):
        row, column = responses.peak(which).window
        own = "the patch's own place, " if responses.finds_itself(which) else ""
        places.append(f"{own}row {row}, column {column} ({WORDS[which]})")
    return " and ".join(places)


def draw_pooling(pooled: Pooled, name: str) -> Figure:
    """The image and the pooled map, at the same size of a pixel and enlarged."""
    span = _span(pooled.image)
    title = f"{pooled.kind} pooling {pooled.size} × {pooled.size}, stride {pooled.stride}"
    return plots.draw_pooled(
        Panel(f"{_short(name)}\n{_size(pooled.image)}", pooled.image, "grey value", span),
        Panel(f"enlarged\n{_size(pooled.pooled)}", pooled.pooled, "grey value", span),
        title=title.capitalize(),
        note=f"Global {pooled.kind} pooling would leave one number: {pooled.whole:.4g}.",
    )


def draw_activations(found: Curves) -> Figure:
    """Small multiples of the functions with their slopes."""
    functions = [
        curves.Function(
            each.name, f"saturates {each.saturation.split(':')[0]}", each.x, each.y, each.slope
        )
        for each in found.curves
    ]
    note = (
        "Where the slope is 0 no gradient passes back, and the layers before it learn nothing from "
        "that input."
    )
    return curves.draw_functions(functions, title="Activation functions", note=note)


def draw_collapse(found: Collapse) -> Figure:
    """The outputs of the stack and of the one kernel, and their differences."""
    stack, side = found.stack, found.kernel.shape[0]
    name = stack.activation
    span = (float(found.one.min()), float(found.one.max()))
    apart = (found.stacked - found.one, found.activated - found.one)
    limit = float(np.abs(apart[1]).max())
    panels = [
        Panel(f"the image\n{_size(found.image)}", found.image, "grey value", _span(found.image)),
        Panel(f"{stack.layers} convolutions\nno activation", found.stacked, "output", span),
        Panel(f"one convolution\n{side} × {side}", found.one, "output", span),
        Panel(f"the one kernel\n{side} × {side}", found.kernel, "weight"),
        Panel("stack less the one\nno activation", apart[0], "output", limit=limit),
        Panel(f"stack less the one\n{name} between", apart[1], "output", limit=limit),
    ]
    inside = found.differences[0].inside
    note = (
        f"Largest difference without activation {inside:.1g} of the largest output (rounding of 64 "
        f"bit); with {name} between the layers {found.differences[-1].inside:.2f} of it."
    )
    if found.border:
        note += " Near the border, zero padding between the layers makes a difference."
    title = f"{stack.layers} convolutions without activation are one"
    return plots.draw_panels(panels, title=title, note=_wrapped(note))


def draw_augmentations(found: Augmented, name: str) -> Figure:
    """The image, each change alone at its strongest draw, and all together."""
    tiles = [("the image", _picture(found.image))]
    tiles += [(f"{c.words}\n{c.span}", _picture(c.pixels)) for c in found.alone]
    if found.alone:
        n_filling = _COLUMNS + -len(tiles) % _COLUMNS  # so that the last row is full
        tiles += [("all together", _picture(pixels)) for pixels in found.together[:n_filling]]
    title = f"{_short(name)} under the policy {found.policy}, strength {found.strength:g}"
    note = "Each change alone: the strongest of 16 draws." if found.alone else "Nothing is changed."
    lines = [note, *found.refusals]
    note = "\n".join(map(_wrapped, lines))
    return plots.draw_tiles(tiles, title=title, note=note, columns=_COLUMNS)


def draw_cross_entropy(found: CrossEntropy) -> Figure:
    """The loss over p and over the lead in logits, with its gradients."""
    gradients = (found.pull, found.push)
    return curves.draw_cross_entropy(found.p, found.margin, found.loss, gradients, found.chance)


def draw_losses() -> Figure:
    """Every pairing over z from -20 to 120, in 32 bit, on the exact loss."""
    from pellucid.playground.losses import compare_losses

    found = compare_losses(np.linspace(-20.0, 120.0, 281).tolist())
    losses = []
    for pair in found.pairs:
        wrong = found.logits[~pair.is_right]
        remark = (
            f"exact to rounding up to z = {wrong.min():.0f}" if len(wrong) else "exact to rounding"
        )
        values, slopes = (
            np.where(np.isfinite(a), a, np.nan) for a in (pair.values, pair.gradients)
        )
        losses.append(curves.Rounding(f"{pair.output}: {pair.layer}", remark, values, slopes))
    note = (
        "Two classes; z is the logit of the wrong one, so that the loss is log(1 + e^z). Where a "
        "line ends, the value is infinite or not a number."
    )
    title = "Output and loss in 32 bit"
    exact = (found.exact, found.exact_gradients)
    return curves.draw_roundings(found.logits, exact, losses, title=title, note=_wrapped(note))


def draw_output(found: Output) -> Figure:
    """Logits and probabilities as bars."""
    wording = found.wording
    rows = [
        curves.OutputRow(
            one["label"],
            one["logit"],
            one["logit_text"],
            one["probability"],
            one["probability_text"],
            code == wording.called,
        )
        for code, one in enumerate(wording.to_json()["classes"])
    ]
    one_logit = len(wording.raised_classes) == 1
    layer = "the sigmoid of one logit" if one_logit else "the softmax of all logits"
    title = f"From logits to probabilities by {layer}"
    return curves.draw_output(rows, title=title, note=_wrapped(wording.sentences[0]))


def _picture(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(channel, row, column) as (row, column) or (row, column, 3)."""
    return pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)


def _span(values: Array) -> tuple[float, float]:
    """The range of an image, at least [0, 1]."""
    return min(_UNIT[0], float(values.min())), max(_UNIT[1], float(values.max()))


def _size(values: Array) -> str:
    return f"{values.shape[0]} × {values.shape[1]}"


def _short(name: str) -> str:
    return shorten(name, _NAME_WIDTH)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _NOTE_WIDTH)
