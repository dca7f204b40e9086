"""What is measured of a dataset and a machine, and the plan that the command line shows."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from cli import pellucid
from dicom_files import write_dicom
from pellucid import pipeline
from pellucid.data.external import with_external
from pellucid.data.index import read_dataset
from pellucid.errors import DataError, PlanError
from pellucid.preparation import Request, choose_plan
from pellucid.progress import Progress
from pellucid.task import Target, Task
from pellucid.training import measuring
from pellucid.training.fingerprint import Fingerprint, Machine
from pellucid.training.measuring import measure_fingerprint, measure_machine
from pellucid.training.plan import Plan, load_plan
from pictures import NETWORK_ALONE, PATTERN, QUICK, draw_folder

HERE = Machine(cores=3, memory_gib=7.5)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_it_measures_patients_classes_and_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(6):
        for picture in range(3 if number == 5 else 2):
            label, side = ("ill", 30) if number < 2 else ("well", 50)
            save(tmp_path / label / f"p{number}_{picture}.png", random.integers(0, 250, (40, side)))
    found = measure_fingerprint(read_dataset(tmp_path, patient_pattern=PATTERN), HERE)
    assert (found.n_images, found.n_train, found.n_patients) == (13, 9, 6)
    assert found.patients_known
    assert found.images_a_patient == (2.0, 3)
    assert found.class_counts == {"label": {"ill": 4, "well": 9}}
    assert (found.fewest_patients, found.validation_given) == (2, False)
    assert found.machine == HERE
    pictures = found.pictures
    assert (pictures.median_height, pictures.median_width, pictures.side) == (40, 50, 50)
    assert (pictures.smallest_side, pictures.largest_side) == (30, 50)
    assert (pictures.bit_depths, pictures.formats) == ((8,), ("PNG",))
    assert pictures.mean_grey == pytest.approx(125 / 255, abs=0.02)
    assert pictures.std_grey == pytest.approx(250 / 255 / 12**0.5, abs=0.02)
    assert (pictures.channels, pictures.modality, pictures.duplicates) == (1, None, None)
    assert pictures.n_looked_at == 13


def test_the_rarest_class_is_counted_by_patient_outside_a_given_test(tmp_path: Path) -> None:
    for number in range(12):
        label = "ill" if number % 3 == 0 else "well"
        split = "test" if number < 6 else "val" if number == 6 else "train"
        for picture in range(2):
            save(tmp_path / split / label / f"p{number}_{picture}.png", np.full((9, 9), number))
    found = measure_fingerprint(read_dataset(tmp_path, patient_pattern=PATTERN), HERE)
    assert (found.fewest_patients, found.validation_given) == (2, True)


def test_train_is_counted_as_it_will_be_split(tmp_path: Path) -> None:
    """A missing test or validation is set apart from train, and no external image is learned."""
    paths = [tmp_path / f"{number}.png" for number in range(40)]
    for number, path in enumerate(paths):
        save(path, np.full((9, 9 if number < 20 else 30), number))
    labels = ["ill" if number % 2 else "well" for number in range(40)]
    table = pd.DataFrame({"image_path": paths, "label": labels})

    def measured(*splits: str) -> Fingerprint:
        own = table[: len(splits)]
        (own.assign(split=splits) if any(splits) else own).to_csv(tmp_path / "a.csv", index=False)
        return measure_fingerprint(read_dataset(tmp_path / "a.csv"), HERE)

    assert measured(*[""] * 40).n_train == 28
    assert measured(*["train"] * 40).n_train == 28
    assert measured(*["train"] * 34, *["test"] * 6).n_train == 28  # 0.7 / (0.7 + 0.15) of 34
    assert measured(*["train"] * 34, *["val"] * 6).n_train == 28
    found = measured(*["train"] * 14, *["val"] * 3, *["test"] * 3)
    assert (found.n_train, found.pictures.n_looked_at, found.pictures.side) == (14, 17, 9)
    asked = Request(settings={"fractions": [0.2, 0.3, 0.5]})
    table.to_csv(tmp_path / "a.csv", index=False)
    found, _, _ = choose_plan(read_dataset(tmp_path / "a.csv"), asked)
    assert (found.n_train, found.fewest_patients) == (8, 10)
    table[:20].to_csv(tmp_path / "own.csv", index=False)
    table[20:].to_csv(tmp_path / "other.csv", index=False)
    both = with_external(read_dataset(tmp_path / "own.csv"), read_dataset(tmp_path / "other.csv"))
    found = measure_fingerprint(both, HERE)
    assert (found.n_images, found.n_train, found.pictures.side) == (40, 14, 9)


def test_a_stall_of_the_machine_is_not_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = [0.0, 0.1, 0.1, 0.8, 0.8, 0.9, 0.9, 1.0]  # before and after each of four steps
    monkeypatch.setattr(measuring, "time", SimpleNamespace(monotonic=iter(ticks).__next__))
    plan = Plan(network="plain", image_size=8, batch_size=4)
    task = Task(targets=(Target(name="label", classes=("well", "ill")),))
    assert measuring.measure_speed(plan, task) == 40.0


def test_one_coloured_picture_makes_a_coloured_dataset_and_jpegs_noise_does_not(
    tmp_path: Path,
) -> None:
    grey = np.random.default_rng(0).integers(0, 250, (20, 20, 1)).repeat(3, axis=2)
    for number in range(5):
        label = "ab"[number % 2]
        save(tmp_path / label / f"{number}.png", grey + np.arange(3) * 2)
    assert measure_fingerprint(read_dataset(tmp_path), HERE).pictures.channels == 1
    save(tmp_path / "a" / "9.png", grey * [1, 0.8, 1])
    assert measure_fingerprint(read_dataset(tmp_path), HERE).pictures.channels == 3


def test_it_names_the_modality_where_all_files_share_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (24, 24)).astype(np.uint16)
    for number in range(4):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        write_dicom(folder / f"{number}.dcm", pixels, Modality="DX")
    assert measure_fingerprint(read_dataset(tmp_path), HERE).pictures.modality == "DX"
    write_dicom(tmp_path / "a" / "9.dcm", pixels, Modality="CT")
    assert measure_fingerprint(read_dataset(tmp_path), HERE).pictures.modality is None


def test_unreadable_pictures_are_passed_over_unless_all_are(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", np.zeros((8, 8)))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.png").write_bytes(b"no picture")
    assert measure_fingerprint(read_dataset(tmp_path), HERE).pictures.n_looked_at == 1
    (tmp_path / "a" / "1.png").write_bytes(b"nor this")
    with pytest.raises(DataError, match="None of the images looked at could be read"):
        measure_fingerprint(read_dataset(tmp_path), HERE)


def test_the_machine_has_at_least_a_core_and_some_memory() -> None:
    found = measure_machine()
    assert found.cores >= 1
    assert 0.1 < found.memory_gib < 100_000


def test_plan_shows_what_train_does_and_train_obeys_what_plan_wrote(tmp_path: Path) -> None:
    images = draw_folder(tmp_path / "images")
    options = [str(images), "--patient-pattern", PATTERN, "--budget", "5m"]
    for setting in ("epochs=2", "members=2", "candidates=1", "augmentation_strength=1"):
        options += ["--set", setting]
    shown = pellucid("plan", *options)
    assert shown.code == 0
    assert "image_size: 16  # rule: the images are 16 pixels wide or high" in shown.out
    assert "epochs: 2  # yours: set by the user" in shown.out
    assert yaml.safe_load(shown.out)["budget_seconds"] == 300.0

    plan, facts = tmp_path / "plan.yaml", tmp_path / "facts.json"
    written = pellucid("plan", *options, "--out", str(plan), "--fingerprint", str(facts))
    assert (written.code, written.out.strip()) == (0, str(plan))
    assert plan.read_text() == shown.out
    measured = Fingerprint(**json.loads(facts.read_text()))
    assert (measured.n_images, measured.n_patients) == (48, 24)

    dataset = read_dataset(images, patient_pattern=PATTERN)
    run = pipeline.train(
        dataset, tmp_path / "run", plan=plan, progress=Progress(quiet=True), **NETWORK_ALONE
    )
    assert load_plan(run.plan_path) == load_plan(plan)
    kept = Fingerprint(**json.loads(run.fingerprint_path.read_text()))
    assert kept.pictures.duplicates == 0
    assert kept == measured.with_split(duplicates=0, fewest_patients=kept.fewest_patients)


def test_a_budget_asks_how_fast_the_network_trains(tmp_path: Path) -> None:
    images = draw_folder(tmp_path / "images")
    facts = tmp_path / "facts.json"
    options = [str(images), "--patient-pattern", PATTERN, "--fingerprint", str(facts)]
    shown = pellucid("plan", *options, "--budget", "8h")
    measured = Fingerprint.load(facts).machine.images_per_second
    assert measured is not None
    assert f"members: 5  # rule: {measured:g} images/s were measured" in shown.out
    assert "candidates: 1  # rule: folds of" in shown.out
    pellucid("plan", *options, "--overwrite")
    assert Fingerprint.load(facts).machine.images_per_second is None


def test_a_fingerprint_that_is_none_says_so(tmp_path: Path) -> None:
    path = tmp_path / "fingerprint.json"
    path.write_text("{}")
    with pytest.raises(PlanError, match="not a readable fingerprint"):
        Fingerprint.load(path)


def test_a_run_tells_how_many_images_are_copies(tmp_path: Path) -> None:
    images = draw_folder(tmp_path / "images")
    for number, picture in enumerate(sorted((images / "ill").iterdir())[:3]):
        (images / "ill" / f"p9{number}_0.png").write_bytes(picture.read_bytes())
    dataset = read_dataset(images, patient_pattern=PATTERN)
    run = pipeline.train(
        dataset,
        tmp_path / "run",
        settings={**QUICK, "epochs": 1},
        allow_shared_patients=True,
        progress=Progress(quiet=True),
        **NETWORK_ALONE,
    )
    kept = Fingerprint(**json.loads(run.fingerprint_path.read_text()))
    assert kept.pictures.duplicates == 3


def test_plan_as_json_is_one_document(tmp_path: Path) -> None:
    images = draw_folder(tmp_path / "images")
    answer = pellucid("plan", str(images), "--json")
    document = json.loads(answer.out)
    assert document["fingerprint"]["n_images"] == 48
    assert not document["fingerprint"]["patients_known"]
    assert Plan(**document["plan"]).network == "plain"
    assert document["reasons"].keys() == Plan.model_fields.keys()


def test_plan_writes_over_no_file_unasked(tmp_path: Path) -> None:
    images, plan = draw_folder(tmp_path / "images"), tmp_path / "plan.yaml"
    plan.write_text("mine")
    refused = pellucid("plan", str(images), "--out", str(plan))
    assert (refused.code, plan.read_text()) == (2, "mine")
    assert "exists" in refused.err
    assert pellucid("plan", str(images), "--out", str(plan), "--overwrite").code == 0
    assert load_plan(plan).image_size == 16


def test_plan_refuses_what_train_would_refuse(tmp_path: Path) -> None:
    images = draw_folder(tmp_path / "images")
    answer = pellucid("plan", str(images), "--set", "netwrok=plain")
    assert answer.code == 2
    assert 'Did you mean "network"?' in answer.err
