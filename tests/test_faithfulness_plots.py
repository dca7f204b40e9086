"""The plots of faithfulness: whole, deterministic, and calm where figures are missing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from pellucid.reporting.drawing.faithfulness_plots import (
    draw_pointing,
    draw_randomisation,
    draw_removal_curves,
)

CLASSES = ("all", "CNV", "a class with a very long name")
X = np.linspace(0, 1, 5)


def figure(value: float | None, reach: float | None = 0.1) -> dict[str, Any]:
    known = value is not None and reach is not None
    bounds = (max(0, value - reach), min(1, value + reach)) if known else (None, None)
    return {"value": value, "low": bounds[0], "high": bounds[1], "n": 9, "n_patients": 9}


def curve(values: Any, reach: float | None = 0.1) -> dict[str, list[float | None]]:
    found = [figure(float(value), reach) for value in values]
    names = {"mean": "value", "low": "low", "high": "high"}
    return {name: [one[key] for one in found] for name, key in names.items()}


def method(name: str, stages: tuple[str, ...] = ("trained", "head", "layer2")) -> dict[str, Any]:
    removal = {"shares": X.tolist(), "map": curve(1 - X), "random": curve(1 - X**2)}
    return {
        "method": name,
        "deletion": removal,
        "insertion": removal,
        "randomisation": {
            "stages": list(stages),
            "correlation": curve(1 / np.arange(1, 1 + len(stages))),
            "bound": 0.5,
            "verdict": "passed",
        },
        "pointing": [{"class": label, "n": 9, "pointing": figure(0.7)} for label in CLASSES],
    }


def document(*names: str) -> dict[str, Any]:
    chance = [
        {"class": label, "n": 9, "random": figure(0.05), "centre": figure(0.2)} for label in CLASSES
    ]
    return {"methods": [method(name) for name in names], "chance": chance}


BOTH = document("grad_cam", "occlusion")


def words(svg: str) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


def test_removal_says_what_is_drawn_against_what() -> None:
    text = words(draw_removal_curves(BOTH["methods"][0], "r"))
    assert "Grad-CAM: taking away" in text
    assert "Grad-CAM: putting in" in text
    assert "random maps as smooth" in text
    assert "Probability of the class" in text
    assert "(%)" in text


def test_removal_without_intervals_has_no_band() -> None:
    bare = method("grad_cam")
    with_bands = draw_removal_curves(bare, "r").count("<path")
    for kind in ("deletion", "insertion"):
        bare[kind] = {"shares": X.tolist(), "map": curve(X, None), "random": curve(X, None)}
    assert draw_removal_curves(bare, "r").count("<path") < with_bands


def test_randomisation_names_each_method_with_its_verdict() -> None:
    text = words(draw_randomisation(BOTH["methods"], "s"))
    assert "Grad-CAM: passed" in text
    assert "Occlusion: passed" in text
    assert "must end below 0.5" in text
    assert "nothing" in text
    assert "layer2" in text


def test_randomisation_skips_stages_where_no_map_says_anything() -> None:
    silent = method("grad_cam")
    silent["randomisation"]["correlation"] = {name: [None] * 3 for name in ("mean", "low", "high")}
    assert "Grad-CAM" in words(draw_randomisation([silent], "s"))


def test_many_stages_are_not_all_named() -> None:
    stages = ("trained", "head", *(f"s{i}" for i in range(20)))
    text = words(draw_randomisation([method("grad_cam", stages)], "s")).split()
    assert 5 <= sum(word in stages for word in text) <= 9


def test_pointing_shows_every_class_method_and_chance() -> None:
    text = words(draw_pointing(BOTH, "p"))
    for expected in ("all (9)", "CNV (9)", "Grad-CAM", "Occlusion", "a random point", "the centre"):
        assert expected in text
    assert text.count("Grad-CAM") == 1


def test_pointing_says_how_near_counts_as_a_hit() -> None:
    assert "within 2 pixels" in words(draw_pointing({**BOTH, "settings": {"tolerance": 2}}, "p"))
    assert "within" not in words(draw_pointing(BOTH, "p"))


def test_pointing_leaves_out_what_is_not_known() -> None:
    holes = document("grad_cam", "occlusion")
    holes["methods"][1]["pointing"] = holes["methods"][1]["pointing"][:1]
    holes["methods"][0]["pointing"][0]["pointing"] = figure(None)
    holes["chance"][0]["centre"] = holes["chance"][0]["random"] = figure(None)
    assert "Occlusion" in words(draw_pointing(holes, "p"))


def test_an_unknown_method_is_named_as_it_is() -> None:
    assert "my method: taking away" in words(draw_removal_curves(method("my_method"), "r"))


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_same_figures_give_the_same_picture(name: str) -> None:
    first = draw_pointing(BOTH, name), draw_randomisation(BOTH["methods"], name)
    again = draw_pointing(BOTH, name), draw_randomisation(BOTH["methods"], name)
    assert first == again
    assert f'data-name="{name}"' in first[0]
