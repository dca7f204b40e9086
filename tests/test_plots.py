"""Plots are small, deterministic SVG that can stand side by side in one page."""

from __future__ import annotations

import re
from functools import cache
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from pellucid.reporting.drawing.group_plots import Row, plot_corruption, plot_forest
from pellucid.reporting.drawing.people import RIGHT, WRONG, draw_people
from pellucid.reporting.drawing.plots import (
    DASHES,
    PALETTE,
    Curve,
    Mark,
    plot_precision_recall,
    plot_roc,
)
from pellucid.reporting.drawing.probability_plots import (
    Reliability,
    plot_coverage_risk,
    plot_decision_curve,
    plot_reliability,
)
from pellucid.reporting.drawing.run_plots import plot_losses, plot_metric, plot_splits
from pellucid.reporting.writing import Estimate

DECISION = {
    "thresholds": [0.1, 0.5, 0.9],
    "model": [0.4, 0.3, 0.1],
    "model_low": [0.3, 0.2, None],
    "model_high": [0.5, 0.4, None],
    "treat_all": [0.4, 0.0, -4.0],
    "treat_none": [0.0, 0.0, 0.0],
}
RISK = {"coverage": [0.5, 1.0], "risk": [0.1, 0.2], "risk_is": "error rate of the images kept"}
ROWS = [
    Row("sex", is_head=True),
    Row("F", Estimate(0.9, 0.85, 0.95)),
    Row("M", Estimate(0.8)),
    Row("other", Estimate(None, method="suppressed: fewer than 10 patients")),
]
CORRUPTION = {
    "name": "gaussian_noise",
    "unit": "grey levels",
    "clean": {"value": 0.9, "low": 0.8, "high": 0.95},
    "levels": [{"severity": 1, "value": 8, "metric": {"value": 0.7, "low": 0.6, "high": 0.8}}],
}
LINE = np.linspace(0, 1, 20).tolist()
BINS = [
    {"low": 0.0, "high": 0.5, "n": 30, "mean_probability": 0.2, "observed": 0.1},
    {"low": 0.5, "high": 0.9, "n": 0, "mean_probability": None, "observed": None},
    {"low": 0.9, "high": 1.0, "n": 1, "mean_probability": 0.95, "observed": 1.0},
]
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "train_loss": [0.9, 0.5, 0.4],
        "validation_loss": [0.8, float("nan"), 0.6],
        "validation_metric": [0.6, 0.8, 0.7],
    }
)


@cache
def all_plots(name: str = "p") -> dict[str, str]:
    curves = [Curve("test, AUROC 0.98", LINE, LINE), Curve("validation", LINE, LINE)]
    marks = [Mark("default", 0.1, 0.9)]
    return {
        "roc": plot_roc(curves, marks, name=f"{name}-roc"),
        "precision": plot_precision_recall(curves, marks, prevalence=0.3, name=f"{name}-pr"),
        "reliability": plot_reliability(
            [Reliability("before", BINS), Reliability("after", BINS)], name=f"{name}-rel"
        ),
        "decision": plot_decision_curve(DECISION, name=f"{name}-decision"),
        "coverage": plot_coverage_risk(RISK, [Mark("kept 80 %", 0.8, 0.1)], name=f"{name}-risk"),
        "forest": plot_forest(ROWS, metric="AUROC", whole=0.9, name=f"{name}-forest"),
        "losses": plot_losses(HISTORY, 2, name=f"{name}-loss"),
        "metric": plot_metric(HISTORY, 2, metric="AUROC", name=f"{name}-metric"),
        "splits": plot_splits({"a": {"train": 5, "test": 2}, "b": {"train": 3}}, name=name),
    }


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own plots


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in parse(svg).iter("text")]


def test_each_plot_is_one_svg_element_for_html() -> None:
    for kind, svg in all_plots().items():
        root = parse(svg)
        assert root.tag == "svg", kind
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert "http" not in svg
        assert "<style" not in svg  # it would hold for the whole page
        assert len(svg) < 40_000


def test_plots_are_deterministic_and_leave_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    assert all_plots.__wrapped__() == all_plots()
    assert dict(mpl.rcParams) == before


def test_ids_are_unique_across_plots_and_every_reference_is_met() -> None:
    ids: list[str] = []
    for svg in [*all_plots().values(), *all_plots("other").values()]:
        own = re.findall(r'\bid="([^"]+)"', svg)
        used = set(re.findall(r'(?:href="|url\()#([\w-]+)', svg))
        assert used == set(own)
        ids += own
    assert len(ids) == len(set(ids))
    assert ids


def test_text_is_at_least_eight_points() -> None:
    for kind, svg in all_plots().items():
        sizes = [float(size) for size in re.findall(r"font: (?:\w+ )*([\d.]+)px", svg)]
        sizes += [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
        assert sizes, kind
        assert min(sizes) >= 8, kind
        assert parse(svg).get("width") == "241.2pt"  # 3.35 inches, so px are points


def test_axes_and_legend_say_what_is_drawn() -> None:
    plots = all_plots()
    assert "Sensitivity (true positive rate)" in texts(plots["roc"])
    assert "test, AUROC 0.98" in texts(plots["roc"])
    assert "guessing (prevalence 0.30)" in texts(plots["precision"])
    assert "chosen: epoch 2, 0.800" in texts(plots["metric"])
    assert "Loss (cross-entropy, nats)" in texts(plots["losses"])
    assert {"a", "b", "train", "test", "Images"} <= set(texts(plots["splits"]))


def test_roc_is_square() -> None:
    root = parse(plot_roc([Curve("test", (0, 1), (0, 1))], name="square"))
    line = next(path for path in root.iter("path") if PALETTE[0].lower() in path.get("style", ""))
    points = re.findall(r"[ML] ([\d.]+) ([\d.]+)", line.get("d", ""))
    (left, bottom), (right, top) = (tuple(map(float, point)) for point in (points[0], points[-1]))
    assert right - left == pytest.approx(bottom - top, rel=1e-3)


def test_many_curves_differ_in_dash_as_well_as_colour() -> None:
    curves = [Curve(f"class {number}", LINE, LINE) for number in range(7)]
    svg = plot_roc(curves, name="many")
    looks = {
        re.sub(r".*(stroke-dasharray: [^;]*).*", r"\1", path.get("style", "")) or "solid"
        for path in parse(svg).iter("path")
        if any(f"stroke: {colour.lower()}" in path.get("style", "") for colour in PALETTE)
    }
    assert len(looks) >= 7
    assert len(DASHES) == len(PALETTE)


def test_names_of_users_are_text_and_nothing_else() -> None:
    name = "<b>$x_1$ & co"
    svg = plot_splits({name: {"train": 3}}, name="names")
    assert name in texts(svg)
    assert "<b>" not in svg


def test_empty_bins_and_missing_epochs_are_left_out() -> None:
    assert plot_reliability([Reliability("none", [BINS[1]])], name="none").startswith("<svg")
    assert plot_metric(HISTORY, None, name="none").startswith("<svg")


def test_a_band_is_drawn_only_where_both_bounds_are_known() -> None:
    def filled(low: list[float | None], high: list[float | None]) -> int:
        svg = plot_roc([Curve("c", (0, 0.5, 1), (0, 0.8, 1), low=low, high=high)], name="band")
        return sum("fill-opacity" in (part.get("style") or "") for part in parse(svg).iter())

    bare = filled([], [])
    assert filled([0, 0.7, 1], [0, 0.9, 1]) == bare + 1
    assert filled([0, None, 1], [0, 0.9, 1]) == bare + 1


def test_forest_names_groups_and_says_what_is_suppressed() -> None:
    words = texts(all_plots()["forest"])
    assert {"sex", "F", "M", "other", "suppressed", "AUROC by group"} <= set(words)


def test_decision_curve_is_cut_below_where_treating_all_falls() -> None:
    svg = all_plots()["decision"]
    assert {"by the model", "treat all", "treat none"} <= set(texts(svg))
    assert "−4" not in " ".join(texts(svg))


def test_corruption_is_named_with_its_values_and_unit() -> None:
    words = texts(plot_corruption(CORRUPTION, metric="AUROC", low=0.5, name="noise"))
    assert {"gaussian noise", "grey levels", "none", "8", "AUROC"} <= set(words)


@pytest.mark.parametrize("right", [0, 1, 91, 100])
def test_a_hundred_people_are_counted_and_differ_in_fill(right: int) -> None:
    root = parse(draw_people(right, label="a & <b>", name="people"))
    assert root.get("aria-label") == "a & <b>"
    heads = {path.get("fill"): path.get("d", "").count("M") // 2 for path in root.iter("path")}
    assert heads.get(RIGHT, 0) == right
    assert heads.get("#ffffff", 0) == 100 - right
    assert all(path.get("stroke") == WRONG for path in root.iter("path") if path.get("stroke"))


def test_people_are_a_hundred() -> None:
    with pytest.raises(ValueError, match="101"):
        draw_people(101, label="", name="people")
