"""Plots of whether maps mean something: pixels removed, weights randomised, lesions pointed at.

Each draws figures of the faithfulness document that others computed, as one panel of SVG. Methods
are told apart by colour, dash and marker, the same in every plot. Knows no map and no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.reporting.drawing.plots import (
    MARKERS,
    PALETTE,
    REFERENCE,
    UNIT_TICKS,
    Curve,
    draw_band,
    line_look,
)
from pellucid.reporting.drawing.svg import INK, MUTED, RULE, STYLE, figure_to_svg, new_figure
from pellucid.reporting.writing import shorten

NAMES = {
    "grad_cam": "Grad-CAM",
    "integrated_gradients": "Integrated gradients",
    "occlusion": "Occlusion",
    "gradient_x_input": "Gradient × input",
}
ALL = "all"
_ROW_IN = 0.17  # of a method in the pointing game
_AXES_IN = 1.55  # height of one of two plots above each other

Document = Mapping[str, Any]


def draw_removal_curves(method: Document, name: str) -> str:
    """Deletion above insertion: the probability on the way, of the map and of random maps."""
    titles = {
        "deletion": ("taking away", "Pixels taken away, the map's highest first (%)"),
        "insertion": ("putting in", "Pixels put in, the map's highest first (%)"),
    }
    with mpl.rc_context(STYLE):
        figure = new_figure(0.75 + 2 * (_AXES_IN + 0.55))
        upper, lower = figure.subplots(2, 1)
        for axes, (kind, (doing, label)) in zip((upper, lower), titles.items(), strict=True):
            _draw_removal(axes, method[kind])
            axes.set(xlabel=label, ylabel="Probability of the class")
            axes.set_title(f"{_title(method)}: {doing}", loc="left")
        handles, labels = upper.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2, borderaxespad=0.2)
        what = "Probability of the class while pixels go and while they come"
        return figure_to_svg(figure, name, f"{what}, by {_title(method)} and by random maps")


def _draw_removal(axes: Axes, part: Document) -> None:
    """One kind of curves with their bands; the random maps' are grey and dashed."""
    shares = [100 * share for share in part["shares"]]
    own, random = part["map"], part["random"]
    curve = Curve("the map", shares, own["mean"], False, own["low"], own["high"])
    draw_band(axes, curve, 0)
    axes.plot(shares, own["mean"], **line_look(0), marker="o", markersize=3, label="the map")
    grey: dict[str, Any] = {"color": MUTED, "linewidth": 1.3, "linestyle": (0, (4, 1.5))}
    if not any(bound is None for bound in (*random["low"], *random["high"])):
        axes.fill_between(
            shares, random["low"], random["high"], color=MUTED, alpha=0.16, linewidth=0
        )
    axes.plot(shares, random["mean"], **grey, label="random maps as smooth")
    axes.set(xlim=(0, 100), ylim=(-0.02, 1.02))
    axes.set_yticks((0, 0.5, 1), ("0", "0.5", "1"))
    axes.grid(axis="y", color=RULE, linewidth=0.4)


def draw_randomisation(methods: Sequence[Document], name: str) -> str:
    """How like a method's maps stay while stages lose what they learned; a line a method."""
    longest = max((one["randomisation"]["stages"] for one in methods), key=len)
    with mpl.rc_context(STYLE):
        figure = new_figure(2.75 + 0.17 * (len(methods) + 1))
        axes = figure.add_subplot()
        for number, one in enumerate(methods):
            _draw_likeness(axes, one, number)
        bound = float(methods[0]["randomisation"]["bound"])
        axes.axhline(bound, **REFERENCE)
        label = f"must end below {bound:g}"
        axes.text(1, bound + 0.02, label, color=MUTED, ha="right", transform=_across(axes))
        axes.set(ylim=(0, 1.02), ylabel="Likeness of the maps, |rank correlation|")
        axes.set_xlabel("Randomised so far: that stage and all to its left")
        axes.set_xticks(range(len(longest)), _stage_names(longest))
        axes.set_yticks(*UNIT_TICKS)
        axes.set_title("Random weights: do the maps change?", loc="left")
        figure.legend(loc="outside lower left", borderaxespad=0.2, labelspacing=0.25)
        what = "Rank correlation of maps before and after stages are randomised, by method"
        return figure_to_svg(figure, name, what)


def _draw_likeness(axes: Axes, method: Document, number: int) -> None:
    check = method["randomisation"]
    found = check["correlation"]
    known = [i for i, value in enumerate(found["mean"]) if value is not None]
    values, low, high = ([found[key][i] for i in known] for key in ("mean", "low", "high"))
    curve = Curve("", known, values, False, low, high)
    draw_band(axes, curve, number)
    label = f"{_title(method)}: {check['verdict']}"
    axes.plot(known, values, **line_look(number), **_marker(number), clip_on=False, label=label)


def _stage_names(stages: Sequence[str]) -> list[str]:
    """Stage names for the axis, every second one where they are many."""
    every = 1 + (len(stages) - 1) // 8
    names = ["nothing" if stage == "trained" else shorten(stage, 9) for stage in stages]
    return [text if i % every == 0 else "" for i, text in enumerate(names)]


def draw_pointing(document: Document, name: str) -> str:
    """Pointing accuracy by class and method with intervals; what chance hits beside it.

    The line of a class is what a random point hits, the cross what the centre of the image does.
    """
    chance, methods = document["chance"], document["methods"]
    with mpl.rc_context(STYLE):
        height = 0.75 + _ROW_IN * (len(methods) + 1) * len(chance) + 0.17 * (len(methods) + 2)
        figure = new_figure(height)
        axes = figure.add_subplot()
        ticks = list(_draw_classes(axes, chance, methods))
        axes.set_yticks(ticks, [_class_label(entry) for entry in chance])
        axes.set(xlim=(0, 1), ylim=((len(methods) + 1) * len(chance) - 0.7, -0.9))
        axes.set_xticks(*UNIT_TICKS)
        axes.set_xlabel(_hit_label(document))
        axes.tick_params(axis="y", length=0, pad=7)  # room for a cross at 0
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=RULE, linewidth=0.4)
        axes.set_title("Pointing at known lesions", loc="left")
        _legend_once(figure, axes)
        what = "Pointing accuracy by class and method, with what chance hits"
        return figure_to_svg(figure, name, what)


def _draw_classes(
    axes: Axes, chance: Sequence[Document], methods: Sequence[Document]
) -> Iterator[float]:
    """A row a method below each other, class after class; gives the middle of each class."""
    for place, entry in enumerate(chance):
        top = place * (len(methods) + 1)
        bottom = top + len(methods) - 1
        for number, one in enumerate(methods):
            found = {str(part["class"]): part for part in one["pointing"]}.get(str(entry["class"]))
            if found is not None:
                _draw_figure(axes, found["pointing"], top + number, (number, _title(one)))
        random, centre = entry["random"]["value"], entry["centre"]["value"]
        if random is not None:
            line: dict[str, Any] = {"color": INK, "linewidth": 1.2, "linestyle": (0, (1.2, 1.2))}
            axes.plot(2 * [random], (top - 0.6, bottom + 0.6), **line, label="a random point")
        if centre is not None:
            middle = [(top + bottom) / 2]
            cross: dict[str, Any] = {"color": MUTED, "markersize": 6, "linestyle": "none"}
            axes.plot([centre], middle, "x", **cross, label="always the centre", clip_on=False)
        yield (top + bottom) / 2


def _draw_figure(axes: Axes, figure: Document, row: float, look: tuple[int, str]) -> None:
    """A value with its interval on a row."""
    number, label = look
    if figure["value"] is None:
        return
    colour = PALETTE[number % len(PALETTE)]
    if figure["low"] is not None and figure["high"] is not None:
        axes.plot((figure["low"], figure["high"]), (row, row), color=colour, linewidth=1.6)
    marks: dict[str, Any] = {"color": colour, "linestyle": "none", "clip_on": False, "zorder": 4}
    axes.plot([figure["value"]], [row], **marks, **_marker(number), label=label)


def _legend_once(figure: Figure, axes: Axes) -> None:
    """Below the axes, each label once, the methods first and what chance gives last."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(reversed(labels), reversed(handles), strict=True))
    order = [label for label in (*NAMES.values(), *once) if label in once]
    unique = list(dict.fromkeys(order))
    handles = [once[label] for label in unique]
    figure.legend(handles, unique, loc="outside lower left", borderaxespad=0.2, labelspacing=0.25)


def _hit_label(document: Document) -> str:
    near = (document.get("settings") or {}).get("tolerance", 0)
    return f"Share hit, within {near} pixels" if near else "Share of lesions hit"


def _class_label(entry: Document) -> str:
    name = "all" if entry["class"] == ALL else shorten(str(entry["class"]), 14)
    return f"{name} ({entry['n']})"


def _marker(number: int) -> dict[str, Any]:
    return {"marker": MARKERS[number % len(MARKERS)], "markersize": 4.5}


def _title(method: Document) -> str:
    """The method as people call it."""
    name = str(method["method"])
    return NAMES.get(name, name.replace("_", " "))


def _across(axes: Axes) -> Any:
    """From 0 to 1 across the axes, and the data's own height."""
    return axes.get_yaxis_transform()
