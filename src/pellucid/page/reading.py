"""One reading as a PDF of one page: the picture, where it speaks for the class, what is said of it.

No name of a patient is known here; the file's own name is what the reader called it.
"""

from __future__ import annotations

import io
import textwrap
import threading

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid import __version__
from pellucid.images.preprocessing import place_back
from pellucid.page.pixels import shown_planes
from pellucid.reporting.drawing.heat_maps import HeatMap, fit_picture, overlay
from pellucid.reporting.drawing.svg import STYLE
from pellucid.run import now
from pellucid.serving.answers import Answer, Looked, TargetAnswer
from pellucid.serving.heat import Heat
from pellucid.serving.models import Served
from pellucid.serving.settings import NOTICE

A4_IN = (8.27, 11.69)
_LEFT, _RIGHT, _WIDTH = 0.09, 0.91, 96
_drawing = threading.Lock()


def draw_reading(served: Served, looked: Looked, answer: Answer, heat: Heat) -> bytes:
    """The page as PDF."""
    with _drawing, mpl.rc_context({**STYLE, "pdf.fonttype": 42}):
        figure = Figure(figsize=A4_IN)
        y = _lines(figure, 0.955, ["Reading of one image"], size=17, weight="bold")
        about = [
            f"File: {answer.name}",
            f"Model: {served.name}, {served.digest[:16]}, computed by {served.opened.name}",
            f"Made: {now()} by Pellucid {__version__}",
        ]
        y = _lines(figure, y - 0.008, about, size=9, color="#444444")
        figure.text(
            _LEFT,
            y - 0.012,
            NOTICE,
            size=10.5,
            weight="bold",
            va="top",
            bbox={"facecolor": "none", "edgecolor": "black", "pad": 5},
        )
        y = _pictures(figure, y - 0.055, served, looked, heat) - 0.03
        for target in answer.targets:
            y = _target(figure, y, target)
        said = [f"Not to be relied on: {reason.message}" for reason in answer.reasons]
        limits = [f"Limit: {line}" for line in served.opened.card.get("limits") or []]
        _lines(figure, y - 0.015, [*said, *limits], size=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="pdf", metadata={"Title": "Reading", "Producer": None})
    return buffer.getvalue()


def _lines(figure: Figure, y: float, lines: list[str], *, size: float, **style: str) -> float:
    """Lines of text from a height downwards; the height below them."""
    step = 1.45 * size / 72 / A4_IN[1]
    for line in lines:
        for part in textwrap.wrap(line, round(_WIDTH * 9 / size)) or [""]:
            figure.text(_LEFT, y, part, size=size, va="top", **style)  # type: ignore[arg-type]
            y -= step
    return y


def _pictures(figure: Figure, top: float, served: Served, looked: Looked, heat: Heat) -> float:
    """The image and the same under its map; the height below them."""
    picture = fit_picture(shown_planes(looked.image.pixels))
    height, width = picture.shape[0], picture.shape[1]
    values = place_back(heat.values, height, width, served.opened.preprocessing)
    shown = overlay(picture, HeatMap(values, heat.of_class, "logit"))
    side = (_RIGHT - _LEFT - 0.03) / 2
    tall = float(min(0.36, side * A4_IN[0] / A4_IN[1] * height / width))
    titles = ["The image", f"Where it speaks for {heat.of_class}: Grad-CAM, {heat.layer}"]
    for number, (pixels, title) in enumerate(zip((picture, shown), titles, strict=True)):
        axes = figure.add_axes((_LEFT + number * (side + 0.03), top - 0.02 - tall, side, tall))
        axes.imshow(np.asarray(pixels))
        axes.set_axis_off()
        axes.set_title(title, size=8.5, loc="left")
    return top - 0.02 - tall


def _target(figure: Figure, y: float, target: TargetAnswer) -> float:
    """Probabilities as bars, the decision and the classes in question."""
    y = _lines(figure, y, [target.target], size=12, weight="bold") - 0.004
    tall = 0.022 * len(target.probabilities)
    axes: Axes = figure.add_axes((_LEFT + 0.2, y - tall, 0.45, tall))
    names = list(target.probabilities)
    values = [target.probabilities[name] for name in names]
    axes.barh(names, values, color="#0072B2", height=0.62)
    axes.set(xlim=(0, 1), xticks=[])
    axes.tick_params(length=0, labelsize=9)
    for place, value in enumerate(values):
        axes.text(1.02, place, f"{value:.3f}", va="center", size=9)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    said = []
    decided = target.decision
    if decided is None:
        said.append("No decision: the model abstains.")
    elif decided.threshold is None:
        said.append(f"Called {decided.called}, the likeliest class.")
    else:
        point = f"the operating point {decided.operating_point}"
        said.append(f"Called {decided.called} at {point}, a threshold of {decided.threshold:.3f}.")
    for one in target.prediction_sets:
        classes = ", ".join(one.classes) or "none"
        said.append(f"In question, with {100 * one.promised:.0f} % promised: {classes}.")
    return _lines(figure, y - tall - 0.012, said, size=9.5) - 0.012
