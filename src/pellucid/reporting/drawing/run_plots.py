"""The plots of a run itself: losses and metric over the epochs, images of each class by split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pellucid.reporting.drawing.plots import DASHES, mark_look
from pellucid.reporting.drawing.svg import ACCENT, MUTED, RULE, STYLE, figure_to_svg, new_figure
from pellucid.reporting.writing import shorten

SPLIT_FILLS = {  # lightness alone tells them apart; the test images are what the verdict is about
    "train": "#d3e3ef",
    "validation": "#8fbcdc",
    "test": "#0072B2",
    "external_test": "#00304d",
}


def plot_losses(
    history: pd.DataFrame, best: int | None, *, loss: str = "cross-entropy, nats", name: str
) -> str:
    """Training and validation loss over the epochs; a line stands at the chosen epoch."""
    with mpl.rc_context(STYLE):
        figure = new_figure(2.75)
        axes = _epoch_axes(figure.add_subplot(), history, best)
        axes.set(ylabel=f"Loss ({loss})")
        axes.set_title("Loss", loc="left")
        x = history["epoch"]
        if "train_loss" in history:
            grey: dict[str, Any] = {"color": MUTED, "linestyle": DASHES[1], "linewidth": 1.2}
            axes.plot(x, history["train_loss"], **grey, label="training")
        if "validation_loss" in history:
            axes.plot(x, history["validation_loss"], color=ACCENT, label="validation", **_dots(x))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        figure.legend(loc="outside lower left", ncols=2, borderaxespad=0.2)
        return figure_to_svg(figure, name, "Training and validation loss over the epochs")


def plot_metric(
    history: pd.DataFrame, best: int | None, *, metric: str = "metric", name: str
) -> str:
    """The validation metric over the epochs; the chosen epoch is marked with its value."""
    with mpl.rc_context(STYLE):
        figure = new_figure(2.75)
        axes = _epoch_axes(figure.add_subplot(), history, best)
        axes.set(ylabel=f"Validation {metric}")
        axes.set_title(f"Validation {metric}", loc="left")
        x, y = history["epoch"], history["validation_metric"]
        axes.plot(x, y, color=ACCENT, **_dots(x))
        chosen = history[history["epoch"] == best]
        if len(chosen):
            at = (float(chosen["epoch"].iloc[0]), float(chosen["validation_metric"].iloc[0]))
            label = f"chosen: epoch {best}, {at[1]:.3f}"
            axes.plot([at[0]], [at[1]], **mark_look(0), label=label, clip_on=False)
            figure.legend(loc="outside lower left", borderaxespad=0.2)
        axes.margins(y=0.1)
        return figure_to_svg(figure, name, f"Validation {metric} over the epochs")


def _epoch_axes(axes: Axes, history: pd.DataFrame, best: int | None) -> Axes:
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    epochs = history["epoch"]
    axes.set_xlim(float(epochs.min()) - 0.5, float(epochs.max()) + 0.5)
    if best is not None:
        axes.axvline(best, color=RULE, linewidth=0.9, zorder=0)
    return axes


def _dots(x: pd.Series) -> dict[str, Any]:
    """Few epochs are dots on a line, many a line."""
    return {"linewidth": 1.5, "marker": "o" if len(x) <= 30 else None, "markersize": 3}


def plot_splits(counts: Mapping[str, Mapping[str, int]], *, name: str) -> str:
    """Images of each class, stacked by split. `counts` is class → split → images."""
    splits = [key for key in SPLIT_FILLS if any(key in row for row in counts.values())]
    with mpl.rc_context(STYLE):
        figure = new_figure(0.95 + 0.27 * len(counts))
        axes = figure.add_subplot()
        left = dict.fromkeys(counts, 0)
        for split in splits:
            widths = [counts[label].get(split, 0) for label in counts]
            fill: dict[str, Any] = {
                "color": SPLIT_FILLS[split],
                "edgecolor": "white",
                "linewidth": 0.6,
            }
            bars = list(range(len(counts)))
            label = split.replace("_", " ")
            axes.barh(bars, widths, left=list(left.values()), height=0.66, **fill, label=label)
            left = {key: left[key] + counts[key].get(split, 0) for key in counts}
        axes.set_yticks(range(len(counts)), [shorten(label) for label in counts])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("Images")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        legend: dict[str, Any] = {"handlelength": 1, "columnspacing": 1.1, "handletextpad": 0.5}
        figure.legend(loc="outside lower left", ncols=len(splits), borderaxespad=0.2, **legend)
        return figure_to_svg(figure, name, "Images of each class by split")
