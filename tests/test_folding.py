"""Ensembles of folds: who learns from which image, and what is said of those not learned from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from pellucid import pipeline
from pellucid.bundle import load_bundle
from pellucid.data.index import read_dataset
from pellucid.errors import PlanError, SplitError
from pellucid.images.preprocessing import Preprocessing, preprocess
from pellucid.images.reading import read_image
from pellucid.network.classifier import build_classifier
from pellucid.prediction import predict_logits
from pellucid.progress import Progress
from pellucid.training import loop
from pellucid.training.checkpoint import load_best
from pellucid.training.plan import load_plan
from pictures import NETWORK_ALONE, PATTERN, QUICK, draw_folder

FOLDS = {"members": 3, "ensemble_of": "folds"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(draw_folder(tmp_path_factory.mktemp("images")), patient_pattern=PATTERN)


def train(dataset, out, resume=False, **settings):
    return pipeline.train(
        dataset,
        out,
        settings={**QUICK, **FOLDS, **settings},
        progress=Progress(quiet=True),
        resume=resume,
        **NETWORK_ALONE,
    )


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """A run, and the data of each training."""
    seen = []
    real = loop.train

    def watch(network, plan, data, *args, **kwargs):
        seen.append(data)
        return real(network, plan, data, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train", watch)
        run = train(dataset, tmp_path_factory.mktemp("runs") / "run")
    return run, seen


def test_every_image_but_the_tests_teaches_all_networks_but_one(trained):
    run, seen = trained
    index = run.load_index()
    patients = index["patient_id"].to_numpy(dtype=object)
    outside_test = np.flatnonzero((index["split"] != "test").to_numpy())
    assert len(seen) == 3
    for data in seen:
        assert sorted([*data.train, *data.validation]) == outside_test.tolist()
        assert not set(patients[data.train]) & set(patients[data.validation])
        for part in (data.train, data.validation):
            assert set(index["label"].iloc[part]) == set(index["label"])
    chosen_by = np.concatenate([data.validation for data in seen])
    assert sorted(chosen_by) == outside_test.tolist()


def test_validation_is_predicted_by_who_has_not_learned_from_it(trained):
    run, seen = trained
    bundle = load_bundle(run.folder)
    table = pd.read_csv(run.predictions_path("validation"), dtype={"image_id": str})
    index = run.load_index()
    assert sorted(table["image_id"]) == sorted(index["image_id"][index["split"] != "test"])
    logit = next(name for name in table.columns if name.startswith("logit_"))
    found = table.set_index("image_id")[logit]
    done = run.facts["training"]["calibration"]["label"]
    slope, intercept = done["slope"], done["intercept"]
    alone = bundle.spec.model_copy(update={"members": 1})
    for number, data in enumerate(seen, 1):
        member = build_classifier(alone, bundle.task).eval()
        load_best(member, run.member(number))
        rows = index.iloc[data.validation]
        logits = predict_logits(member, pixels_of(rows, bundle.preprocessing), bundle.preprocessing)
        expected = slope * logits[:, 0] + intercept
        np.testing.assert_allclose(found[rows["image_id"]], expected, atol=1e-4)


def pixels_of(rows: pd.DataFrame, preprocessing: Preprocessing):
    return np.stack(
        [preprocess(read_image(path).pixels, preprocessing) for path in rows["image_path"]]
    )


def test_the_head_says_the_calibrated_mean(trained):
    run, _ = trained
    bundle = load_bundle(run.folder)
    done = run.facts["training"]["calibration"]["label"]
    x = torch.randn(5, bundle.spec.channels, bundle.spec.image_size, bundle.spec.image_size)
    alone = bundle.spec.model_copy(update={"members": 1})
    logits = []
    for number in (1, 2, 3):
        member = build_classifier(alone, bundle.task).eval()
        load_best(member, run.member(number))
        with torch.no_grad():
            logits.append(member(x))
    mean = torch.stack(logits).mean(dim=0)
    with torch.no_grad():
        found = bundle.classifier(x)
    torch.testing.assert_close(
        found, done["slope"] * mean + done["intercept"], atol=1e-4, rtol=1e-4
    )


def test_it_is_told_in_the_plan_and_the_report(trained):
    run, _ = trained
    assert load_plan(run.plan_path).ensemble_of == "folds"
    text = " ".join(run.report_path.read_text(encoding="utf-8").split())
    assert "each without one fold of the training and validation images" in text
    assert "AUROC on its fold, and its weights were kept" in text
    assert "each judged by the one network of 3 that had not learned from it" in text
    assert "dealt by patient into 3 folds" in text
    assert "each from its own seed" not in text


def test_interrupted_it_goes_on_with_the_same_folds(tmp_path, dataset, trained, monkeypatch):
    whole, _ = trained
    real, calls = loop.train, []

    def interrupted(*args, **kwargs):
        calls.append(args[1].seed)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(loop, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "run")
    run = train(dataset, tmp_path / "run", resume=True)
    for split in ("validation", "test"):
        mine, other = run.predictions_path(split), whole.predictions_path(split)
        assert mine.read_bytes() == other.read_bytes()


def test_the_written_plan_repeats_bit_for_bit(tmp_path, dataset, trained):
    whole, _ = trained
    run = pipeline.train(
        dataset,
        tmp_path / "run",
        plan=whole.plan_path,
        progress=Progress(quiet=True),
        **NETWORK_ALONE,
    )
    for split in ("validation", "test"):
        mine, other = run.predictions_path(split), whole.predictions_path(split)
        assert mine.read_bytes() == other.read_bytes()


def test_one_network_has_no_folds(tmp_path, dataset):
    with pytest.raises(PlanError, match=r"members=1.*members=5"):
        train(dataset, tmp_path / "run", members=1)
    assert not (tmp_path / "run").exists()


def test_too_few_patients_for_the_folds_are_refused_before_training(tmp_path, dataset):
    with pytest.raises(SplitError, match="ensemble_of=seeds"):
        train(dataset, tmp_path / "run", members=16)
    assert not (tmp_path / "run" / "members").exists()
