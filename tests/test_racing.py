"""The race: which plans run, who survives, what the plan says after it, and what a kill leaves."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from pellucid import pipeline, racing
from pellucid.data.index import read_dataset
from pellucid.errors import TrainingError
from pellucid.progress import Progress
from pellucid.training import loop
from pellucid.training.candidates import Candidate, count_trainings, propose, survivors
from pellucid.training.fingerprint import Fingerprint, Machine, Pictures
from pellucid.training.hyperparameters import Plan
from pictures import PATTERN, draw_folder

QUICK = {
    "candidates": 2,
    "image_size": 16,
    "epochs": 2,
    "members": 2,
    "batch_size": 8,
    "augmentation": "none",
}
UNASKED = {"baseline": False, "robustness": False, "explain": False}


def fingerprint(side=28.0, gpu=None):
    return Fingerprint(
        n_images=100,
        n_train=70,
        n_patients=100,
        class_counts={"label": {"no": 50, "yes": 50}},
        pictures=Pictures(n_looked_at=10, median_height=side, median_width=side),
        machine=Machine(gpu=gpu),
    )


def settings_of(candidates):
    return [tuple(candidate.settings.values()) for candidate in candidates]


def test_the_rules_own_plan_comes_first_and_the_nearest_next():
    plan = Plan(network="plain", image_size=64, candidates=4)
    assert settings_of(propose(fingerprint(side=100), plan, ())) == [
        ("plain", 64),
        ("resnet18", 64),
        ("plain", 96),
        ("resnet18", 96),
    ]


def test_no_image_is_made_larger_than_it_is_and_nothing_the_user_set_is_varied():
    plan = Plan(network="plain", image_size=28, candidates=9)
    assert settings_of(propose(fingerprint(), plan, ())) == [("plain", 28), ("resnet18", 28)]
    assert settings_of(propose(fingerprint(), plan, ("network",))) == [("plain", 28)]
    wide = Plan(network="plain", image_size=64, candidates=9)
    fixed = ("image_size",)
    assert settings_of(propose(fingerprint(side=500), wide, fixed)) == [
        ("plain", 64),
        ("resnet18", 64),
    ]
    pretrained = wide.model_copy(update={"weights": "imagenet", "network": "resnet18"})
    assert {n for n, _ in settings_of(propose(fingerprint(side=100), pretrained, ()))} == {
        "resnet18"
    }
    deep = propose(fingerprint(side=64, gpu="H100"), Plan(image_size=64, candidates=3), ())
    assert [name for name, _ in settings_of(deep)] == ["resnet18", "resnet34", "resnet50"]


def test_the_better_half_survives_and_a_tie_goes_to_the_first():
    first, second, third = (Candidate({"network": name}) for name in "abc")
    first.scores, second.scores, third.scores = [0.7], [0.7], [0.9]
    assert survivors([first, second, third]) == [first, third]
    assert survivors([first, second]) == [first]
    second.scores = [math.nan]
    assert survivors([second, first]) == [first]
    assert survivors([second]) == [second]


def test_a_race_runs_as_often_as_was_reckoned():
    for n in range(1, 10):
        left, trainings = [Candidate({"network": str(i)}, [0.5]) for i in range(n)], 0
        while len(left) > 1:
            trainings += len(left)
            left = survivors(left)
        assert trainings == count_trainings(n)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    images = draw_folder(tmp_path_factory.mktemp("images"))
    return read_dataset(images, patient_pattern=PATTERN)


def train(dataset, out, **request):
    return pipeline.train(dataset, out, progress=Progress(quiet=True), **UNASKED, **request)


def test_the_plan_says_what_was_measured_and_repeats_the_run(tmp_path, dataset):
    run = train(dataset, tmp_path / "run", settings=QUICK, seed=3)
    race = json.loads(run.race_path.read_text())
    plan = yaml.safe_load(run.plan_path.read_text())
    assert plan["network"] == race["winner"]["network"]
    assert plan["candidates"] == 1
    assert "measured: AUROC" in run.plan_path.read_text()
    assert [len(c["aurocs"]) for c in race["candidates"]] == [1, 1]
    assert {row["settings"]["network"] for row in race["trainings"]} == {"plain", "resnet18"}
    assert not (run.folder / "race").exists()
    index = run.load_index()
    assert {row["n_images"] for row in race["trainings"]} < set(range(1, len(index)))
    again = train(dataset, tmp_path / "again", plan=run.plan_path)
    assert not again.race_path.exists()
    for split in ("validation", "test"):
        one, other = (r.predictions_path(split).read_bytes() for r in (run, again))
        assert one == other


def test_folds_hold_training_images_only_and_no_patient_twice(tmp_path, dataset, monkeypatch):
    seen = {}
    whole = racing._folds

    def spy(prepared, progress):
        seen["prepared"], seen["folds"] = prepared, whole(prepared, progress)
        return seen["folds"]

    monkeypatch.setattr(racing, "_folds", spy)
    train(dataset, tmp_path / "run", settings=QUICK)
    table = seen["prepared"].dataset.table.assign(fold=seen["folds"])
    assert (table.loc[table["split"] != "train", "fold"] == -1).all()
    inside = table[table["split"] == "train"]
    assert set(inside["fold"]) == set(range(5))
    assert (inside.groupby("patient_id")["fold"].nunique() == 1).all()


def test_an_interrupted_race_goes_on_where_it_was(tmp_path, dataset, monkeypatch):
    whole = train(dataset, tmp_path / "whole", settings=QUICK)
    calls = []
    real = loop.train

    def interrupted(classifier, plan, *args, **kwargs):
        calls.append(plan.network)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(classifier, plan, *args, **kwargs)

    monkeypatch.setattr(loop, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "run", settings=QUICK)
    assert calls == ["plain", "resnet18"]
    run = train(dataset, tmp_path / "run", settings=QUICK, resume=True)
    assert calls[2] == "resnet18"  # the first is not trained again
    assert len(calls) == 2 + 1 + 2
    names = ("winner", "candidates")
    one, other = (json.loads(r.race_path.read_text()) for r in (whole, run))
    assert [one[name] for name in names] == [other[name] for name in names]
    assert whole.predictions_path("test").read_bytes() == run.predictions_path("test").read_bytes()
    train(dataset, tmp_path / "run", settings=QUICK, resume=True)  # after its end as well


def test_a_plan_that_cannot_be_trained_loses(tmp_path, dataset, monkeypatch):
    real = loop.train

    def fails(classifier, plan, *args, **kwargs):
        if plan.network == "plain" and args[-1].name == "race":
            raise TrainingError("The loss must stay finite", "nan")
        return real(classifier, plan, *args, **kwargs)

    monkeypatch.setattr(loop, "train", fails)
    run = train(dataset, tmp_path / "run", settings=QUICK | {"members": 1})
    race = json.loads(run.race_path.read_text())
    assert race["winner"]["network"] == "resnet18"
    assert race["trainings"][0]["auroc"] is None
    assert "finite" in race["trainings"][0]["reason"]


def test_who_is_too_slow_for_its_share_does_not_race(tmp_path, dataset, monkeypatch):
    told = []
    speeds = {"plain": 1e9, "resnet18": 1.0}
    monkeypatch.setattr(racing, "measure_speed", lambda plan, task: speeds[plan.network])
    progress = Progress(quiet=True)
    monkeypatch.setattr(progress, "say", told.append)
    request = {"settings": QUICK, "budget": "6s", "progress": progress, **UNASKED}
    run = pipeline.train(dataset, tmp_path / "run", **request)
    assert not run.race_path.exists()
    assert "network resnet18, image_size 16 does not race: 1 images/s here" in told
    assert yaml.safe_load(run.plan_path.read_text())["network"] == "plain"


def test_the_race_takes_its_share_of_the_budget(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(racing, "measure_speed", lambda plan, task: 1e9)
    run = train(dataset, tmp_path / "run", settings=QUICK | {"epochs": 1000}, budget="12s")
    race = json.loads(run.race_path.read_text())
    plan = yaml.safe_load(run.plan_path.read_text())
    assert race["seconds_each"] == pytest.approx(12 / (2 + 2))
    spent = sum(row["seconds"] for row in race["trainings"])
    assert plan["budget_seconds"] == pytest.approx(max(12 - spent, 6.0))
    assert np.isfinite(run.facts["training"]["seconds"])


def test_what_the_network_needs_is_decoded_anew(tmp_path, dataset):
    settings = {key: value for key, value in QUICK.items() if key != "image_size"}
    run = train(replace(dataset, name="x"), tmp_path / "run", settings=settings | {"members": 1})
    race = json.loads(run.race_path.read_text())
    assert yaml.safe_load(run.plan_path.read_text())["image_size"] == race["winner"]["image_size"]
