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
from pellucid.errors import Diverged, TrainingError, UsageError
from pellucid.progress import Progress
from pellucid.run import load_race
from pellucid.training import loop
from pellucid.training.candidates import Candidate, count_trainings, propose, survivors
from pellucid.training.fingerprint import Fingerprint, Machine, Pictures
from pellucid.training.hyperparameters import Plan
from pellucid.training.plan import load_plan, save_plan
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


def interrupt_the_second(monkeypatch):
    """Let the second training end by ctrl-C, once; the plans of all trainings are told."""
    real, calls = loop.train, []

    def interrupted(classifier, plan, *args, **kwargs):
        calls.append(plan)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(classifier, plan, *args, **kwargs)

    monkeypatch.setattr(loop, "train", interrupted)
    return calls


def test_the_plan_says_what_was_measured_and_repeats_the_run(tmp_path, dataset):
    run = train(dataset, tmp_path / "run", settings=QUICK, seed=3)
    race = json.loads(run.race_path.read_text())
    plan = yaml.safe_load(run.plan_path.read_text())
    assert plan["network"] == race["winner"]["network"]
    assert plan["candidates"] == 1
    lines = run.plan_path.read_text().splitlines()
    assert [line for line in lines if line.startswith("network:") and "# measured: AUROC" in line]
    assert "image_size: 16  # yours: set by the user" in lines
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
    whole = racing._Race._deal

    def spy(entry, n_folds):
        seen["prepared"], seen["folds"] = entry.prepared, whole(entry, n_folds)
        return seen["folds"]

    monkeypatch.setattr(racing._Race, "_deal", spy)
    train(dataset, tmp_path / "run", settings=QUICK)
    table = seen["prepared"].dataset.table.assign(fold=seen["folds"])
    assert (table.loc[table["split"] != "train", "fold"] == -1).all()
    inside = table[table["split"] == "train"]
    assert set(inside["fold"]) == set(range(5))
    assert (inside.groupby("patient_id")["fold"].nunique() == 1).all()


def test_an_interrupted_race_goes_on_where_it_was(tmp_path, dataset, monkeypatch):
    whole = train(dataset, tmp_path / "whole", settings=QUICK)
    calls = interrupt_the_second(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "run", settings=QUICK)
    assert [plan.network for plan in calls] == ["plain", "resnet18"]
    run = train(dataset, tmp_path / "run", settings=QUICK, resume=True)
    assert calls[2].network == "resnet18"  # the first is not trained again
    assert len(calls) == 2 + 1 + 2
    names = ("winner", "candidates")
    one, other = (json.loads(r.race_path.read_text()) for r in (whole, run))
    assert [one[name] for name in names] == [other[name] for name in names]
    assert whole.predictions_path("test").read_bytes() == run.predictions_path("test").read_bytes()
    train(dataset, tmp_path / "run", settings=QUICK, resume=True)  # after its end as well


def test_no_fold_counts_twice(tmp_path, dataset, monkeypatch):
    rates = [0.01, 0.02, 0.03, 0.04, 0.05]
    named = [Candidate({"network": "plain", "learning_rate": rate}) for rate in rates]
    monkeypatch.setattr(racing, "propose", lambda *args: named)
    monkeypatch.setattr(racing, "MOST_FOLDS", 2)
    run = train(dataset, tmp_path / "run", settings=QUICK | {"candidates": 5, "epochs": 1})
    race = json.loads(run.race_path.read_text())
    rounds = sorted(len(each["aurocs"]) for each in race["candidates"])
    assert rounds == [1, 1, 2, 2, 2]
    means = {
        each["settings"]["learning_rate"]: np.mean(each["aurocs"])
        for each in race["candidates"]
        if len(each["aurocs"]) == 2
    }
    assert means[race["winner"]["learning_rate"]] == max(means.values())


def test_a_plan_that_cannot_be_trained_loses(tmp_path, dataset, monkeypatch):
    real, error = loop.train, Diverged("The loss must stay finite", "nan")

    def fails(classifier, plan, *args, **kwargs):
        if plan.network == "plain" and args[-1].name == "race":
            raise error
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
    race = load_race(run.race_path)
    assert race["left_out"][0]["images_per_second"] == 1.0
    assert "cannot be tried in the time" in race["no_race"]
    assert race["trainings"] == []
    assert "network resnet18, image_size 16 does not race: 1 images/s here" in told
    lines = run.plan_path.read_text().splitlines()
    assert [line for line in lines if line.startswith("network: plain  # rule: ")]
    plan = yaml.safe_load(run.plan_path.read_text())
    assert (plan["network"], plan["candidates"], plan["budget_seconds"]) == ("plain", 1, 6.0)
    assert "How the plan was chosen" not in run.report_path.read_text()
    speeds["resnet18"] = 1e9  # a decision is kept: nothing is measured again
    pipeline.train(dataset, tmp_path / "run", resume=True, **request)


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


def test_a_full_disk_is_not_a_lost_race(tmp_path, dataset, monkeypatch):
    def full(*args, **kwargs):
        raise TrainingError("The disk is full")

    monkeypatch.setattr(loop, "train", full)
    with pytest.raises(TrainingError, match="disk is full"):
        train(dataset, tmp_path / "run", settings=QUICK)
    assert load_race(tmp_path / "run" / "race.json")["trainings"] == []


def test_a_resume_without_options_keeps_what_was_asked(tmp_path, dataset, monkeypatch):
    settings = QUICK | {"dropout": 0.25, "seed": 7}
    whole = train(dataset, tmp_path / "whole", settings=settings)
    calls = interrupt_the_second(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "run", settings=settings)
    run = train(dataset, tmp_path / "run", resume=True)
    assert {(plan.dropout, plan.image_size) for plan in calls} == {(0.25, 16)}
    assert load_plan(run.plan_path) == load_plan(whole.plan_path)
    with pytest.raises(UsageError, match="keeps its plan"):
        train(dataset, tmp_path / "run", settings={"candidates": 3}, resume=True)
    train(dataset, tmp_path / "run", settings={"candidates": 2, "seed": 7}, resume=True)


def test_who_cannot_be_built_does_not_race(tmp_path, dataset):
    told, progress = [], Progress(quiet=True)
    progress.say = told.append
    settings = QUICK | {"small_stem": False}  # resnet18 then needs 32 pixels
    pipeline.train(dataset, tmp_path / "run", settings=settings, progress=progress, **UNASKED)
    assert any("resnet18, image_size 16 does not race: resnet18 needs images" in t for t in told)


def test_few_patients_race_on_fewer_folds_or_not_at_all(tmp_path):
    for patients, n_folds in ((5, 3), (3, 1)):
        images = draw_folder(tmp_path / f"images{patients}", patients=patients)
        dataset = read_dataset(images, patient_pattern=PATTERN)
        run = train(
            dataset, tmp_path / f"run{patients}", settings=QUICK, allow=("too_few_patients",)
        )
        race = load_race(run.race_path)
        assert race["folds"] == n_folds
        assert ("too few patients" in race.get("no_race", "")) == (n_folds == 1)


def test_a_plan_file_that_says_all_races_nobody_and_says_so(tmp_path, dataset):
    plan = tmp_path / "plan.yaml"
    _, made, reasons = pipeline.plan(dataset, settings=QUICK)
    save_plan(made, plan, reasons)
    run = train(dataset, tmp_path / "run", plan=plan)
    assert "are given" in load_race(run.race_path)["no_race"]
    assert yaml.safe_load(run.plan_path.read_text())["candidates"] == 1


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"version": 2}'])
def test_a_damaged_race_is_one_plain_message(tmp_path, content):
    (tmp_path / "race.json").write_text(content)
    with pytest.raises(UsageError, match="damaged, or of another Pellucid"):
        load_race(tmp_path / "race.json")


def test_folds_share_no_patient_where_targets_are_several_and_labels_missing(tmp_path):
    images = draw_folder(tmp_path / "images", patients=12)
    rows = []
    for number, path in enumerate(sorted(images.rglob("*.png"))):
        known = "" if number % 5 == 0 else "no" if number % 2 else "yes"
        patient = path.stem.partition("_")[0]
        rows.append(f"{path},{patient},{path.parent.name},{known}")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,patient_id,label,other\n" + "\n".join(rows))
    dataset = read_dataset(manifest, image_column="path", label_columns=["label", "other"])
    run = train(dataset, tmp_path / "run", settings=QUICK)
    race = load_race(run.race_path)
    assert all(row["auroc"] is not None for row in race["trainings"])
    assert set(run.facts["training"]["calibration"]) == {"label", "other"}
