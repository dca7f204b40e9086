"""Calibration folded into the head: probabilities change as the scaling says, ranks do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pellucid import pipeline
from pellucid.bundle import load_bundle
from pellucid.data.index import read_dataset
from pellucid.evaluation.probabilities.scaling import Scaling
from pellucid.network.classifier import scale_logits
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction import predict
from pellucid.progress import Progress
from pellucid.run import Run
from pellucid.task import Target
from pictures import NETWORK_ALONE, PATTERN, QUICK, draw_folder


@pytest.mark.parametrize(
    ("target", "scaling"),
    [
        (
            Target(name="x", classes=("a", "b")),
            Scaling("platt", {"intercept": -0.4, "slope": 0.7}, "v"),
        ),
        (
            Target(name="x", classes=("a", "b"), n_logits=2),
            Scaling("platt", {"intercept": 0.3, "slope": 1.6}, "v"),
        ),
        (
            Target(name="x", classes=("a", "b", "c")),
            Scaling("temperature", {"temperature": 2.5}, "v"),
        ),
    ],
)
def test_the_head_says_what_the_scaling_says(target: Target, scaling: Scaling) -> None:
    from pellucid.calibrating import _line

    torch.manual_seed(0)
    head, features = nn.Linear(6, target.n_logits), 3 * torch.randn(50, 6)
    with torch.no_grad():
        before = probabilities_from_logits(head(features).numpy(), target)
        scale_logits(head, *_line(scaling, target))
        after = probabilities_from_logits(head(features).numpy(), target)
    np.testing.assert_allclose(after, scaling.apply(before), atol=1e-5)


def train(dataset: object, out: object, **settings: object) -> Run:
    return pipeline.train(
        dataset,
        out,
        settings={**QUICK, "label_smoothing": 0.3, **settings},
        progress=Progress(quiet=True),
        **NETWORK_ALONE,
    )


@pytest.mark.parametrize("classes", [("ill", "well"), ("a", "b", "c")])
def test_a_run_is_calibrated_and_says_how(tmp_path, classes) -> None:
    images = draw_folder(tmp_path / "images", classes=classes, patients=24)
    dataset = read_dataset(images, patient_pattern=PATTERN)
    raw = train(dataset, tmp_path / "raw", calibration="none", epochs=8)
    run = train(dataset, tmp_path / "run", epochs=8)
    done = run.facts["training"]["calibration"]["label"]
    assert raw.facts["training"]["calibration"] == {}
    assert ("slope" in done) == (len(classes) == 2)
    assert ("temperature" in done) == (len(classes) == 3)
    losses = {}
    for name, one in (("raw", raw), ("run", run)):
        blocks = {block["split"]: block for block in one.evaluation["blocks"]}
        losses[name] = blocks["validation"]["metrics"]["log_loss"]["value"]
        stays = "auroc" if len(classes) == 2 else "accuracy"
        losses[f"{name} {stays}"] = blocks["test"]["metrics"][stays]["value"]
    assert losses["run"] < losses["raw"]
    assert losses[f"run {stays}"] == pytest.approx(losses[f"raw {stays}"])
    assert "Calibration on validation" in run.report_path.read_text()
    table = pd.read_csv(run.predictions_path("test"))
    names = [f"probability_{name}" for name in classes]
    paths = [next(images.rglob(f"{name.split('/')[-1]}*")) for name in table["image_id"]]
    again, _ = predict(load_bundle(run.folder), paths)
    np.testing.assert_allclose(again[names], table[names], atol=1e-5)


def test_nothing_is_scaled_where_a_network_has_learned_nothing(tmp_path, monkeypatch) -> None:
    from pellucid import calibrating

    dataset = read_dataset(draw_folder(tmp_path / "images"), patient_pattern=PATTERN)
    wrong = Scaling("platt", {"intercept": 0.0, "slope": -0.5}, "validation")
    monkeypatch.setattr(calibrating, "fit_scaling", lambda judged, method: (wrong, ""))
    run = train(dataset, tmp_path / "run")
    assert "wrong way round" in run.facts["training"]["calibration"]["label"]["reason"]
    assert "left the logits as they were" in run.report_path.read_text()
    monkeypatch.setattr(calibrating, "fit_scaling", lambda judged, method: (None, "so"))
    again = train(dataset, tmp_path / "again")
    assert again.facts["training"]["calibration"] == {"label": {"reason": "so"}}


def test_scaling_twice_changes_nothing_more(tmp_path) -> None:
    dataset = read_dataset(draw_folder(tmp_path / "images", patients=24), patient_pattern=PATTERN)
    run = train(dataset, tmp_path / "run", epochs=8)
    test = next(block for block in run.evaluation["blocks"] if block["split"] == "test")
    scaling = test["calibration"]["scaling"]
    assert scaling["parameters"]["slope"] == pytest.approx(1, abs=0.15)
    assert scaling["parameters"]["intercept"] == pytest.approx(0, abs=0.15)


def test_what_class_weights_did_to_several_classes_is_taken_back(tmp_path) -> None:
    images = draw_folder(tmp_path / "images", classes=("a", "b", "c"), patients=24)
    for path in sorted((images / "a").iterdir()) + sorted((images / "b").iterdir()):
        number = int(path.stem.partition("_")[0][1:]) % 100
        if number >= 8:
            path.unlink()  # 16 images of a and of b, 48 of c
    dataset = read_dataset(images, patient_pattern=PATTERN)
    run = train(dataset, tmp_path / "run", class_weights="balanced", epochs=12)
    assert run.facts["training"]["calibration"]["label"]["weights_taken_back"]
    table = pd.concat(pd.read_csv(run.predictions_path(s)) for s in ("validation", "test"))
    raw = train(dataset, tmp_path / "raw", class_weights="balanced", epochs=12, calibration="none")
    before = pd.concat(pd.read_csv(raw.predictions_path(s)) for s in ("validation", "test"))
    ratio = np.log(table["probability_c"] / table["probability_a"])
    temperature = run.facts["training"]["calibration"]["label"]["temperature"]
    raw_ratio = np.log(before["probability_c"] / before["probability_a"])
    index = run.load_index()
    n = index[index["split"] == "train"]["label"].value_counts()
    weight = np.log(n["c"] / n["a"])  # c is about three times as common, so weighed a third
    np.testing.assert_allclose(ratio, (raw_ratio + weight) / temperature, atol=0.02)
