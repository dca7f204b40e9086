"""Ensembles of folds: who learns from which image, and what is said of those not learned from."""

from __future__ import annotations

import io
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
import torch

from pellucid import fitting, pipeline
from pellucid.bundle import load_bundle
from pellucid.data.index import read_dataset
from pellucid.data.split import assign_splits
from pellucid.errors import PlanError, SplitError, UsageError
from pellucid.images.preprocessing import Preprocessing, preprocess
from pellucid.images.reading import read_image
from pellucid.network.classifier import build_classifier
from pellucid.prediction import predict_logits
from pellucid.progress import Progress
from pellucid.training import loop
from pellucid.training.checkpoint import load_best
from pellucid.training.fingerprint import Fingerprint
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


def watch_trainings(patch, stopped=None):
    """The data of each training from now on; the one of this number, from 1, is interrupted."""
    seen, real = [], loop.train

    def watch(network, plan, data, *args, **kwargs):
        seen.append(data)
        if len(seen) == stopped:
            raise KeyboardInterrupt
        return real(network, plan, data, *args, **kwargs)

    patch.setattr(loop, "train", watch)
    return seen


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """A run, and the data of each training."""
    with pytest.MonkeyPatch.context() as patch:
        seen = watch_trainings(patch)
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
    assert "that had not learned from it; it chose the epoch, so it flatters." in text
    assert "each from its own seed" not in text


def test_interrupted_it_goes_on_with_the_same_folds(tmp_path, dataset, trained, monkeypatch):
    whole, _ = trained
    watch_trainings(monkeypatch, stopped=2)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "run")
    run = train(dataset, tmp_path / "run", resume=True)
    for split in ("validation", "test"):
        mine, other = run.predictions_path(split), whole.predictions_path(split)
        assert mine.read_bytes() == other.read_bytes()


def test_the_written_plan_repeats_bit_for_bit(tmp_path, dataset, trained):
    whole, _ = trained
    told = io.StringIO()
    run = pipeline.train(
        dataset,
        tmp_path / "run",
        plan=whole.plan_path,
        progress=Progress(stream=told),
        **NETWORK_ALONE,
    )
    n = len(pd.read_csv(run.predictions_path("validation")))
    counted = [line for line in told.getvalue().splitlines() if "Predicting validation" in line]
    assert [f"{n} of {n} images" in line for line in counted] == [True]  # once, for all folds
    for split in ("validation", "test"):
        mine, other = run.predictions_path(split), whole.predictions_path(split)
        assert mine.read_bytes() == other.read_bytes()


def test_one_network_has_no_folds(tmp_path, dataset):
    with pytest.raises(PlanError, match=r"members=1.*members=5"):
        train(dataset, tmp_path / "run", members=1)
    assert not (tmp_path / "run").exists()


def test_too_few_patients_for_the_folds_are_refused_before_anything_is_written(tmp_path, dataset):
    with pytest.raises(SplitError, match="ensemble_of=seeds"):
        train(dataset, tmp_path / "run", members=16)
    assert not (tmp_path / "run").exists()


def test_copies_that_link_patients_leave_the_rules_at_seeds(tmp_path):
    images = draw_folder(tmp_path / "images", patients=24)
    pictures = [sorted((images / "ill").glob(f"p{n}_*.png")) for n in range(24)]
    wish = {
        "settings": {**QUICK, "epochs": 1, "members": 5},
        "progress": Progress(quiet=True),
        **NETWORK_ALONE,
    }
    enough = read_dataset(images, patient_pattern=PATTERN)
    run = pipeline.train(enough, tmp_path / "folds", **wish)
    assert load_plan(run.plan_path).ensemble_of == "folds"
    for number in range(24):  # five people with one picture are one when patients are dealt
        shutil.copy(pictures[5 * (number // 5)][0], pictures[number][1])
    linked = read_dataset(images, patient_pattern=PATTERN)
    run = pipeline.train(linked, tmp_path / "seeds", **wish)
    assert load_plan(run.plan_path).ensemble_of == "seeds"
    assert "# rule: the rarest class has " in run.plan_path.read_text(encoding="utf-8")
    assert Fingerprint.load(run.fingerprint_path).fewest_patients <= 5


def test_nobody_learns_from_a_validation_split_that_is_given(tmp_path, dataset):
    assigned, _ = assign_splits(dataset, seed=0)
    with pytest.raises(PlanError, match=r"validation split.*ensemble_of=seeds"):
        train(assigned, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def ids_of(path):
    """The patient of a picture, and one of two sites."""
    patient = path.stem.partition("_")[0]
    return patient, "north" if int(patient[1:]) % 2 else "south"


def test_folds_are_balanced_as_the_split_was_also_when_resumed(tmp_path, monkeypatch):
    images = draw_folder(tmp_path / "images", patients=18)
    rows = [(str(path), path.parent.name, *ids_of(path)) for path in sorted(images.glob("*/*"))]
    names = ["image_path", "label", "patient_id", "site"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "images.csv", index=False)
    dataset = read_dataset(tmp_path / "images.csv")
    wish = {
        "settings": {**QUICK, **FOLDS, "epochs": 1},
        "progress": Progress(quiet=True),
        **NETWORK_ALONE,
    }
    calls = watch_trainings(monkeypatch, stopped=2)
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(dataset, tmp_path / "run", stratify_by=("site",), **wish)
    with pytest.raises(UsageError, match="--stratify-by patient_id instead of site"):
        pipeline.train(dataset, tmp_path / "run", resume=True, stratify_by=("patient_id",), **wish)
    run = pipeline.train(dataset, tmp_path / "run", resume=True, stratify_by=["site"], **wish)
    index = run.load_index()
    for data in calls:
        own = index.iloc[data.validation].drop_duplicates("patient_id")
        assert own.groupby(["label", "site"]).size().between(2, 3).all()
    assert [part.validation.tolist() for part in calls[:2]] == [
        part.validation.tolist() for part in calls[2:4]
    ]


def test_stopped_inside_a_network_it_goes_on_there(tmp_path, dataset, trained, monkeypatch):
    whole, _ = trained
    real, calls = fitting.validation_auroc, []

    def interrupting(*args):
        calls.append(args)
        if len(calls) == 5:  # the second epoch of the second network
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(fitting, "validation_auroc", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "run")
    assert len(calls) == 5
    run = train(dataset, tmp_path / "run", resume=True)
    assert len(calls) == 9  # nothing was trained twice
    for split in ("validation", "test"):
        mine, other = run.predictions_path(split), whole.predictions_path(split)
        assert mine.read_bytes() == other.read_bytes()


def test_after_a_race_the_winner_has_the_folds(tmp_path, dataset):
    settings = {**FOLDS, "candidates": 2, "image_size": 16, "epochs": 1, "batch_size": 8}
    run = pipeline.train(
        dataset, tmp_path / "run", settings=settings, progress=Progress(quiet=True), **NETWORK_ALONE
    )
    plan, index = load_plan(run.plan_path), run.load_index()
    assert (plan.ensemble_of, plan.members, plan.candidates) == ("folds", 3, 1)
    assert run.race_path.is_file()
    table = pd.read_csv(run.predictions_path("validation"), dtype={"image_id": str})
    assert sorted(table["image_id"]) == sorted(index["image_id"][index["split"] != "test"])
    text = " ".join(run.report_path.read_text(encoding="utf-8").split())
    assert "A race had chosen the plan on most of these images." in text


def test_the_weights_of_each_part_are_taken_back(tmp_path, monkeypatch):
    images = draw_folder(tmp_path / "images", classes=("a", "b", "c"), patients=24)
    for name in "ab":
        for path in (images / name).iterdir():
            if int(path.stem.partition("_")[0][1:]) % 100 >= 8:
                path.unlink()  # 8 patients of a and of b, 24 of c
    dataset = read_dataset(images, patient_pattern=PATTERN)
    seen = watch_trainings(monkeypatch)
    raw = train(dataset, tmp_path / "raw", class_weights="balanced", calibration="none")
    run = train(dataset, tmp_path / "run", class_weights="balanced")
    done = run.facts["training"]["calibration"]["label"]
    assert done["weights_taken_back"]
    ratios = []
    for data in seen[:3]:
        n = np.bincount(data.codes[data.train, 0])
        ratios.append(np.log(n[2] / n[0]))  # weights are the reverse of counts
    before, after = (pd.read_csv(one.predictions_path("test")) for one in (raw, run))
    logit = np.log(before["probability_c"] / before["probability_a"])
    expected = (logit + np.mean(ratios)) / done.get("temperature", 1.0)
    found = np.log(after["probability_c"] / after["probability_a"])
    np.testing.assert_allclose(found, expected, atol=0.01)
