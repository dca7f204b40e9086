"""One reading as a PDF: the picture, where it speaks for the class, what is said of it.

No name of a patient is known here; the file's own name is what the reader called it.
"""

from __future__ import annotations

import io
import textwrap
import threading

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
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
_TOP, _BOTTOM = 0.955, 0.05
_drawing = threading.Lock()


class _Sheets:
    """Pages that are filled from the top; `y` is the height that is free, of 1."""

    def __init__(self) -> None:
        self.pages: list[Figure] = []
        self.turn()

    def turn(self) -> None:
        """Begin a page."""
        self.pages.append(Figure(figsize=A4_IN))
        self.y = _TOP

    def make_room(self, tall: float) -> None:
        """Begin a page where so much does not fit on this one."""
        if self.y - tall < _BOTTOM:
            self.turn()

    def write(self, lines: list[str], *, size: float, **style: str) -> None:
        """Lines of text, wrapped."""
        step = 1.45 * size / 72 / A4_IN[1]
        for line in lines:
            for part in textwrap.wrap(line, round(_WIDTH * 9 / size)) or [""]:
                self.make_room(step)
                self.pages[-1].text(_LEFT, self.y, part, size=size, va="top", **style)  # type: ignore[arg-type]
                self.y -= step

    def axes(self, left: float, wide: float, tall: float) -> Axes:
        """Axes below what there is; the height stays free."""
        return self.pages[-1].add_axes((left, self.y - tall, wide, tall))


def draw_reading(
    served: Served, looked: Looked, answer: Answer, heat: Heat, frame: int = 0
) -> bytes:
    """The pages as PDF; what speaks against the answer stands first."""
    with _drawing, mpl.rc_context({**STYLE, "pdf.fonttype": 42}):
        sheets = _Sheets()
        sheets.write(["Reading of one image"], size=17, weight="bold")
        sheets.y -= 0.008
        frames = int(looked.image.facts.get("frames", 1))
        of = f", frame {frame + 1} of {frames}" if frames > 1 else ""
        facts = looked.image.facts
        size = f"{facts['width']} × {facts['height']} pixels, {facts['bit_depth']} bit"
        window = f", grey window {facts['window']}" if "window" in facts else ""
        about = [
            f"File: {answer.name}{of}",
            f"Image: {facts['format']}, {size}{window}",
            f"Model: {served.name}, {served.digest[:16]}, computed by {served.opened.name}",
            f"Made: {now()} by Pellucid {__version__}",
        ]
        sheets.write(about, size=9, color="#444444")
        sheets.y -= 0.004
        sheets.write([NOTICE], size=10.5, weight="bold")
        if answer.reasons:
            said = [f"Not to be relied on: {reason.message}" for reason in answer.reasons]
            sheets.y -= 0.006
            sheets.write(said, size=10.5, weight="bold", color="#B34700")
        _draw_pictures(sheets, served, looked, heat)
        for target in answer.targets:
            _write_target(sheets, target)
        limits = [f"Limit: {line}" for line in served.opened.card.get("limits") or []]
        sheets.y -= 0.015
        sheets.write(limits, size=9)
        buffer = io.BytesIO()
        with PdfPages(buffer, metadata={"Title": "Reading", "Producer": None}) as pdf:
            for page in sheets.pages:
                pdf.savefig(page)
    return buffer.getvalue()


def _draw_pictures(sheets: _Sheets, served: Served, looked: Looked, heat: Heat) -> None:
    """The image and the same under its map."""
    picture = fit_picture(shown_planes(looked.image.pixels))
    height, width = picture.shape[0], picture.shape[1]
    values = place_back(heat.values, height, width, served.opened.preprocessing)
    shown = overlay(picture, HeatMap(values, heat.of_class, "logit"))
    side = (_RIGHT - _LEFT - 0.03) / 2
    tall = float(min(0.36, side * A4_IN[0] / A4_IN[1] * height / width))
    sheets.y -= 0.04
    titles = ["The image", f"Where it speaks for {heat.of_class}: Grad-CAM, {heat.layer}"]
    for number, (pixels, title) in enumerate(zip((picture, shown), titles, strict=True)):
        axes = sheets.axes(_LEFT + number * (side + 0.03), side, tall)
        axes.imshow(np.asarray(pixels))
        axes.set_axis_off()
        axes.set_title(title, size=8.5, loc="left")
    sheets.y -= tall + 0.03


def _write_target(sheets: _Sheets, target: TargetAnswer) -> None:
    """Probabilities as bars, the decision and the classes in question."""
    tall = 0.022 * len(target.probabilities)
    said = [_decision(target)]
    if target.decision is not None:
        for one in target.prediction_sets:
            classes = ", ".join(one.classes) or "none"
            said.append(f"In question, with {100 * one.promised:g} % promised: {classes}.")
    sheets.make_room(tall + 0.06 + 0.017 * len(said))
    sheets.write([target.target], size=12, weight="bold")
    sheets.y -= 0.004
    axes = sheets.axes(_LEFT + 0.2, 0.45, tall)
    names = list(target.probabilities)
    values = [target.probabilities[name] for name in names]
    axes.barh(names, values, color="#0072B2", height=0.62)
    axes.set(xlim=(0, 1), xticks=[])
    axes.tick_params(length=0, labelsize=9)
    for place, value in enumerate(values):
        axes.text(1.02, place, f"{value:.3f}", va="center", size=9)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    sheets.y -= tall + 0.012
    sheets.write(said, size=9.5)
    sheets.y -= 0.012


def _decision(target: TargetAnswer) -> str:
    decided = target.decision
    if decided is None:
        return "No decision: the model abstains."
    if decided.threshold is None:
        return f"Called {decided.called}, the likeliest class."
    point = f"the operating point {decided.operating_point}"
    return f"Called {decided.called} at {point}, a threshold of {decided.threshold:.3f}."
