"""The document: JSON-able, complete, bounded, and its figures those of the parts it is made of."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from attribution_cases import make_bundle, make_pixels
from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.evaluation.uncertainty.proportions import wilson
from pellucid.explanation.attribution.attribute import attribute
from pellucid.explanation.faithfulness.document import Effort, faithfulness
from pellucid.explanation.faithfulness.figures import (
    code_patients,
    mean_curve,
    mean_figure,
    share_figure,
)
from pellucid.explanation.faithfulness.pointing import pointing_game
from pellucid.explanation.goals import Goal

SMALL = Effort(images=12, curve_images=6, sanity_images=2, networks=1, steps=3, rankings=1)
N = 20


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return make_bundle(task="four classes")


@pytest.fixture(scope="module")
def pixels(bundle: Bundle) -> np.ndarray:
    return make_pixels(bundle, N)


GOALS = [Goal("label", "bd"[i % 2]) for i in range(N)]


def make_masks() -> np.ndarray:
    masks = np.zeros((N, 16, 16), dtype=bool)
    masks[:, 4:8, 4:8] = True
    masks[::5] = False
    return masks


def test_the_document_says_everything_and_is_json(bundle: Bundle, pixels: np.ndarray) -> None:
    methods = ("grad_cam", "gradient_x_input")
    told: list[str] = []

    def progress(what: str):
        told.append(what)
        return lambda done, total: None

    document = faithfulness(
        bundle, pixels, GOALS, methods, masks=make_masks(), effort=SMALL, progress=progress
    )
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["format"], document["version"]) == ("pellucid-faithfulness", 1)
    assert (document["n"], document["n_given"], document["n_patients"]) == (12, N, 12)
    assert document["settings"]["curve_images"] == 6
    assert [one["method"] for one in document["methods"]] == list(methods)
    assert document["missing"] == {}
    assert "Grad cam: random weights" in told
    for one in document["methods"]:
        for kind in ("deletion", "insertion"):
            curves = one[kind]
            assert curves["shares"] == pytest.approx([0, 1 / 3, 2 / 3, 1])
            assert len(curves["map"]["mean"]) == len(curves["random"]["low"]) == 4
            gain = curves["area"]["value"] - curves["random_area"]["value"]
            sign = -1 if kind == "deletion" else 1
            assert curves["gain"]["value"] == pytest.approx(sign * gain)
        assert one["randomisation"]["stages"] == ["trained", "head", "1", "0"]
        assert one["randomisation"]["correlation"]["mean"][0] == pytest.approx(1)
        assert one["randomisation"]["verdict"] in ("passed", "failed", "undecided")
        assert [row["class"] for row in one["by_class"]] == ["all", "b", "d"]
        assert [row["class"] for row in one["pointing"]] == ["all", "b", "d"]
    assert document["methods"][0]["layer"]
    assert document["n_masks"] == document["chance"][0]["n"] < 12


def test_pointing_is_that_of_the_very_maps(bundle: Bundle, pixels: np.ndarray) -> None:
    masks = make_masks()
    maps = attribute(bundle, pixels, GOALS, "gradient_x_input")
    effort = Effort(images=N, curve_images=2, sanity_images=1, networks=1, steps=1, rankings=1)
    document = faithfulness(
        bundle, pixels, GOALS, ("gradient_x_input",), masks=masks, effort=effort
    )
    hits = pointing_game(maps.values, masks)
    row = document["methods"][0]["pointing"][0]
    assert row["n"] == int(masks.any(axis=(1, 2)).sum())
    assert row["strict"]["value"] == pytest.approx(np.nanmean(hits))
    chance = document["chance"][0]
    assert chance["mask_share"]["value"] == pytest.approx(16 / 256)
    assert chance["strict_centre"]["value"] == pytest.approx(0.25)


def test_maps_that_are_given_are_not_made_again(
    bundle: Bundle, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = attribute(bundle, pixels, GOALS, "integrated_gradients", steps=3, baseline="black")
    asked: list[tuple[int, dict[str, object]]] = []

    def spy(given: Bundle, images: np.ndarray, goals, method: str, **options):
        asked.append((len(images), options))
        return attribute(given, images, goals, method, **options)

    module = "pellucid.explanation.faithfulness.document.attribute"
    monkeypatch.setattr(module, spy)
    document = faithfulness(
        bundle,
        pixels,
        GOALS,
        ("integrated_gradients",),
        maps={"integrated_gradients": maps},
        effort=SMALL,
    )
    entry = document["methods"][0]
    assert entry["settings"] == maps.settings
    assert {n for n, _ in asked} == {2}  # only the sanity check asks, with the same settings
    assert all(options["steps"] == 3 for _, options in asked)
    assert entry["pointing"] == document["chance"] == []


def test_options_reach_the_method(bundle: Bundle, pixels: np.ndarray) -> None:
    options = {"grad_cam": {"layer": "0"}}
    document = faithfulness(bundle, pixels, GOALS, effort=SMALL, options=options)
    assert document["methods"][0]["layer"] == "0"


def test_a_method_whose_package_is_missing_is_named(
    bundle: Bundle, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "captum"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    document = faithfulness(bundle, pixels, GOALS, ("occlusion", "grad_cam"), effort=SMALL)
    assert [one["method"] for one in document["methods"]] == ["grad_cam"]
    assert "captum" in document["missing"]["occlusion"]


def test_the_same_seed_gives_the_same_document(bundle: Bundle, pixels: np.ndarray) -> None:
    one, same, other = (
        faithfulness(bundle, pixels, GOALS, effort=SMALL, seed=seed) for seed in (1, 1, 2)
    )
    assert one == same
    assert one["methods"][0]["deletion"] != other["methods"][0]["deletion"]


def test_intervals_are_over_patients(bundle: Bundle, pixels: np.ndarray) -> None:
    patients = [f"p{i // 10}" for i in range(N)]
    document = faithfulness(bundle, pixels, GOALS, patient_ids=patients, effort=SMALL)
    assert document["n_patients"] == 2
    gain = document["methods"][0]["deletion"]["gain"]
    assert gain["value"] is not None
    assert (gain["low"], gain["high"], gain["n_patients"]) == (None, None, 2)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"masks": np.zeros((N, 16, 16))}, "Masks are bool"),
        ({"masks": np.zeros((2, 16, 16), dtype=bool)}, "Masks are bool"),
        ({"patient_ids": ["one"]}, "one patient"),
        ({"methods": ("saliency",)}, "saliency"),
    ],
)
def test_what_is_refused(
    bundle: Bundle, pixels: np.ndarray, change: dict[str, object], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        faithfulness(bundle, pixels, GOALS, effort=SMALL, **change)


def test_goals_of_two_targets_are_refused() -> None:
    bundle = make_bundle(task="targets")
    goals = [Goal("label", "no"), Goal("view.side", "b")]
    with pytest.raises(UsageError, match="one target"):
        faithfulness(bundle, make_pixels(bundle, 2), goals, effort=SMALL)


def test_an_effort_measures_something() -> None:
    with pytest.raises(UsageError, match="sanity_images"):
        Effort(sanity_images=0)


def test_the_mean_of_independent_images_has_students_interval() -> None:
    values = np.random.default_rng(0).normal(1, 2, 30)
    figure = mean_figure(values, np.arange(30))
    half = 2.0452 * values.std(ddof=1) / np.sqrt(30)
    assert figure["value"] == pytest.approx(values.mean())
    assert figure["high"] - figure["low"] == pytest.approx(2 * half, rel=1e-3)


def test_images_of_one_patient_do_not_count_as_many() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=20), 5)
    clustered = mean_figure(values, np.repeat(np.arange(20), 5))
    alone = mean_figure(values[::5], np.arange(20))
    assert (clustered["n"], clustered["n_patients"]) == (100, 20)
    assert clustered["low"] == pytest.approx(alone["low"])
    assert clustered["high"] == pytest.approx(alone["high"])


def test_the_interval_of_a_mean_holds_what_it_promises() -> None:
    random = np.random.default_rng(1)
    patients = np.repeat(np.arange(15), 3)
    held = 0
    for _ in range(400):
        effects = random.normal(0, 1, 15)[patients]
        figure = mean_figure(effects + random.normal(0, 1, 45), patients)
        held += figure["low"] <= 0 <= figure["high"]
    assert 0.91 <= held / 400 <= 0.99


def test_shares_and_means_of_too_little_have_no_interval() -> None:
    few = np.arange(3)
    assert mean_figure(np.ones(3), few)["low"] is None
    assert share_figure(np.array([1.0, 0.0, 1.0]), few)["low"] is None
    nothing = mean_figure(np.full(4, np.nan), np.arange(4))
    assert nothing == {"value": None, "low": None, "high": None, "n": 0, "n_patients": 0}
    assert share_figure(np.full(4, np.nan), np.arange(4))["value"] is None


def test_a_share_of_independent_images_has_wilsons_interval() -> None:
    hits = np.array([1.0] * 8 + [0.0] * 2 + [np.nan])
    figure = share_figure(hits, np.arange(11))
    assert (figure["value"], figure["n"]) == (0.8, 10)
    assert (figure["low"], figure["high"]) == pytest.approx(wilson(0.8, 10))


def test_curves_and_patients() -> None:
    curve = mean_curve(np.array([[0.0, 1.0], [1.0, 1.0]]), np.arange(2))
    assert curve == {"mean": [0.5, 1.0], "low": [None, None], "high": [None, None]}
    assert code_patients(None, 3).tolist() == [0, 1, 2]
    assert code_patients(["b", "a", "b"], 3).tolist() == [1, 0, 1]


def test_bounds_stay_within_the_scale() -> None:
    figure = mean_figure(np.array([0.0] * 15 + [1.0]), np.arange(16), (0.0, 1.0))
    assert figure["low"] == 0.0
    assert figure["high"] < 1
