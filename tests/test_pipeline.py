"""The whole way, from a folder of images to the report, and what each stage leaves for the next."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

import pellucid as package
from cli import pellucid
from pellucid.bundle import load_bundle
from pellucid.classical import baseline, classification
from pellucid.classical.candidates import CANDIDATES
from pellucid.errors import BundleError, UsageError
from pellucid.progress import Progress
from pictures import (
    NETWORK_ALONE,
    NETWORK_ALONE_OPTIONS,
    PATTERN,
    QUICK,
    QUICK_OPTIONS,
    draw_folder,
)

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module", autouse=True)
def _fewer_candidates() -> Iterator[None]:
    """Two classifiers of the baseline are enough here; the killed runs below fit all of them."""
    fit, chosen = classification.fit_classifier, [CANDIDATES[1], CANDIDATES[5]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline, "fit_classifier", partial(fit, candidates=chosen))
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, made by the command line."""
    out = tmp_path_factory.mktemp("runs") / "run"
    options = ["--patient-pattern", PATTERN, "--positive", "ill", *QUICK_OPTIONS]
    answer = pellucid("train", images, "--out", out, *options)
    assert answer.code == 0, answer.err
    assert answer.out.strip() == str(out / "report.html")
    assert "epoch   1 of 3" in answer.err
    assert "f = head ∘ global average pooling ∘ plain" in answer.err
    return out


def test_the_run_folder_is_complete(run: Path) -> None:
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    explained = {name for name in names if name.startswith("pictures/explained-")}
    assert len(explained) == len(json.loads((run / "explanation.json").read_text())["images"]) > 0
    assert names == {
        "fingerprint.json",
        "plan.yaml",
        "index.csv",
        "audit.json",
        "run.json",
        "history.csv",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
        "predictions/validation.csv",
        "predictions/test.csv",
        "baseline/baseline.json",
        "baseline/predictions/validation.csv",
        "baseline/predictions/test.csv",
        "robustness.csv",
        "features.npz",
        "checklist.yaml",
        "checklists.md",
        "checklists.docx",
        "pictures/augmentations.png",
        "explanation.json",
        *explained,
        "evaluation.json",
        "report.html",
        "bundle/card.json",
        "bundle/model.onnx",
        "bundle/trained_on.json",
        "bundle/weights.safetensors",
    }


def test_the_baseline_answers_for_the_same_images(run: Path) -> None:
    ours = pd.read_csv(run / "predictions" / "test.csv", dtype={"image_id": str})
    theirs = pd.read_csv(run / "baseline" / "predictions" / "test.csv", dtype={"image_id": str})
    assert ours["image_id"].tolist() == theirs["image_id"].tolist()
    assert ours["y_true"].tolist() == theirs["y_true"].tolist()
    document = json.loads((run / "evaluation.json").read_text())
    assert document["comparison"]["names"] == ["network", "classical baseline"]


def test_corrupted_pictures_are_those_of_test(run: Path) -> None:
    ours = set(pd.read_csv(run / "predictions" / "test.csv", dtype=str)["image_id"])
    table = pd.read_csv(run / "robustness.csv", dtype={"image_id": str})
    assert set(table["image_id"]) <= ours
    assert table.groupby("corruption")["severity"].nunique().eq(3).all()
    document = json.loads((run / "evaluation.json").read_text())
    assert len(document["robustness"][0]["corruptions"]) == table["corruption"].nunique() == 8


def test_neither_is_made_when_not_wanted(images: Path, tmp_path: Path) -> None:
    run = package.train(
        package.read_dataset(images, patient_pattern=PATTERN),
        tmp_path / "run",
        settings={**QUICK, "epochs": 1},
        progress=QUIET,
        **NETWORK_ALONE,
    )
    assert not run.baseline.folder.exists()
    assert not run.robustness_path.exists()
    assert not run.explanation_path.exists()
    assert "What the network looks at" not in run.report_path.read_text(encoding="utf-8")
    assert not {"comparison", "robustness"} & set(run.evaluation)


def test_no_patient_stands_in_two_splits(run: Path) -> None:
    index = pd.read_csv(run / "index.csv", dtype=str)
    assert len(index) == 48
    assert index.groupby("patient_id")["split"].nunique().max() == 1
    assert set(index["split"]) == {"train", "validation", "test"}


def test_predictions_follow_the_contract(run: Path) -> None:
    index = pd.read_csv(run / "index.csv", dtype=str).set_index("image_id")
    table = pd.read_csv(run / "predictions" / "test.csv", dtype={"image_id": str})
    assert table.columns[:5].tolist() == ["image_id", "patient_id", "split", "target", "y_true"]
    assert set(table["image_id"]) == set(index[index["split"] == "test"].index)
    assert (table["y_true"] == index.loc[table["image_id"], "label"].to_numpy()).all()
    sums = table["probability_ill"] + table["probability_well"]
    assert sums.to_numpy() == pytest.approx(1)
    odds = np.exp(table["logit_ill"])
    assert table["probability_ill"].to_numpy() == pytest.approx((odds / (1 + odds)).to_numpy())


def test_evaluation_marks_its_splits_and_the_users_positive_class(run: Path) -> None:
    document = json.loads((run / "evaluation.json").read_text())
    assert [block["split"] for block in document["blocks"]] == ["test", "validation"]
    assert document["blocks"][0]["positive"] == "ill"
    facts = json.loads((run / "run.json").read_text())
    assert facts["task"]["targets"][0]["positive_source"] == "user"
    assert facts["training"]["best_epoch"] in (1, 2, 3)
    assert facts["command"].startswith("pellucid train")


def test_the_report_is_one_file_without_outside_addresses_or_patients(run: Path) -> None:
    html = (run / "report.html").read_text(encoding="utf-8")

    found: list[str] = []

    class Addresses(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(v or "" for k, v in attrs if k in ("src", "href", "xlink:href"))

    Addresses().feed(html)
    assert found
    assert all(address.startswith(("#", "data:")) for address in found)
    document = json.loads((run / "evaluation.json").read_text())
    assert f"{document['blocks'][0]['metrics']['auroc']['value']:.3f}" in html


def test_the_bundle_gives_the_runs_own_predictions(run: Path, images: Path) -> None:
    saved = pd.read_csv(run / "predictions" / "test.csv").sort_values("image_id")
    files = [images / name for name in saved["image_id"]]
    table, unreadable = package.predict(run, files)
    assert unreadable == []
    assert table["logit_ill"].to_numpy() == pytest.approx(saved["logit_ill"].to_numpy(), abs=1e-5)
    assert table["y_true"].isna().all()


def test_the_bundle_holds_no_patient_and_no_path(run: Path, images: Path) -> None:
    index = pd.read_csv(run / "index.csv", dtype=str)
    names = {*index["patient_id"], *(Path(name).stem for name in index["image_path"])}
    assert "p101" in names
    for path in (run / "bundle").iterdir():
        data = path.read_bytes()
        assert str(images).encode() not in data, path.name
        if path.suffix == ".json":
            words = set(re.findall(r"[\w-]+", data.decode()))
            assert not words & names, path.name
    assert load_bundle(run / "bundle").task.targets[0].positive == "ill"


def test_a_changed_or_newer_bundle_is_refused(run: Path, tmp_path: Path) -> None:
    for path in (run / "bundle").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match="differ from the digest"):
        load_bundle(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps({**card, "version": 99}))
    with pytest.raises(BundleError, match="newer"):
        load_bundle(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(BundleError, match="not the card"):
        load_bundle(tmp_path)


def test_predict_sets_unreadable_files_aside(run: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "good.png").write_bytes((images / "ill" / "p0_0.png").read_bytes())
    (tmp_path / "new" / "bad.png").write_text("no picture")
    out = tmp_path / "p.csv"
    answer = pellucid("predict", run, tmp_path / "new", "--out", out)
    assert answer.code == 1
    assert "bad.png" in answer.err
    assert len(pd.read_csv(out)) == 1


def test_evaluate_and_report_work_from_the_runs_files_alone(run: Path) -> None:
    before = (run / "evaluation.json").read_text()
    (run / "report.html").unlink()
    answer = pellucid("evaluate", run, "--json")
    assert answer.code == 0
    assert json.loads(answer.out) == json.loads(before)
    (run / "report.html").unlink()
    assert pellucid("report", run).out.strip() == str(run / "report.html")
    assert (run / "report.html").is_file()


def test_evaluate_a_table_of_another_tool(run: Path, tmp_path: Path) -> None:
    table = pd.read_csv(run / "predictions" / "test.csv")
    table = table[["y_true", "probability_ill", "probability_well"]]
    table.to_csv(tmp_path / "other.csv", index=False)
    out = tmp_path / "judged"
    options = ("--positive", "ill", "--out", out)
    answer = pellucid("evaluate", tmp_path / "other.csv", *options)
    assert answer.code == 0, answer.err
    assert (out / "report.html").is_file()
    value = json.loads((out / "evaluation.json").read_text())["blocks"][0]["metrics"]["auroc"]
    whole = json.loads((run / "evaluation.json").read_text())["blocks"][0]["metrics"]["auroc"]
    assert value["value"] == pytest.approx(whole["value"])


def test_evaluating_a_table_needs_no_torch(run: Path) -> None:
    code = (
        "import sys; from pellucid import evaluate; "
        f"evaluate({str(run / 'predictions' / 'test.csv')!r}); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_repeats_bit_for_bit_from_its_own_plan(
    run: Path, images: Path, tmp_path: Path
) -> None:
    dataset = package.read_dataset(images, patient_pattern=PATTERN, positive="ill")
    again = package.train(
        dataset, tmp_path / "again", plan=run / "plan.yaml", progress=QUIET, **NETWORK_ALONE
    )
    first = load_file(run / "bundle" / "weights.safetensors")
    second = load_file(again.bundle_path / "weights.safetensors")
    assert all((first[name] == second[name]).all() for name in first)


def test_resuming_a_finished_run_changes_nothing(images: Path, tmp_path: Path) -> None:
    dataset = package.read_dataset(images, patient_pattern=PATTERN)
    resumed = {"resume": True, "progress": QUIET, **NETWORK_ALONE}
    for _ in range(2):
        done = package.train(dataset, tmp_path / "run", settings=QUICK, **resumed)
    assert len(pd.read_csv(done.folder / "history.csv")) == 3
    for change in ({"epochs": 9}, {"network": "vgg11"}):  # whose layers are not the plan's blocks
        with pytest.raises(UsageError, match="keeps its plan"):
            package.train(dataset, tmp_path / "run", settings={**QUICK, **change}, **resumed)
    (tmp_path / "other.yaml").write_text("epochs: 9\n")
    with pytest.raises(UsageError, match="keeps its plan"):
        package.train(dataset, tmp_path / "run", plan=tmp_path / "other.yaml", **resumed)


@pytest.mark.slow
def test_five_kills_and_the_weights_are_those_of_an_uninterrupted_run(
    images: Path, tmp_path: Path
) -> None:
    script = Path(__file__).with_name("kill_and_resume.py")
    command = [sys.executable, str(script), str(images), str(tmp_path), "5", "20261123"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 4
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = load_file(whole / "bundle" / "weights.safetensors")
    second = load_file(killed / "bundle" / "weights.safetensors")
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)
    columns = ["epoch", "train_loss", "validation_loss", "validation_metric"]
    histories = [pd.read_csv(folder / "history.csv")[columns] for folder in (whole, killed)]
    pd.testing.assert_frame_equal(*histories)
    assert (whole / "evaluation.json").read_text() == (killed / "evaluation.json").read_text()


def test_several_targets_with_missing_labels(images: Path, tmp_path: Path) -> None:
    files = sorted(images.rglob("*.png"))
    table = pd.DataFrame({"file": [str(path) for path in files]})
    table["patient"] = [path.name.split("_")[0] for path in files]
    table["disease"] = [path.parent.name for path in files]
    table["stage"] = [("one", "two", "three")[number // 2 % 3] for number in range(len(files))]
    table.loc[table.index % 4 < 2, "stage"] = ""
    table["sex"] = "F"
    table.to_csv(tmp_path / "table.csv", index=False)
    options = ["--image-column", "file", "--patient-column", "patient"]
    options += ["--label-column", "disease", "--label-column", "stage", *QUICK_OPTIONS]
    answer = pellucid(
        "train", tmp_path / "table.csv", "--out", tmp_path / "run", *options, "--json"
    )
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    blocks = [(b["target"], b["split"]) for b in document["evaluation"]["blocks"]]
    assert set(blocks) == {(t, s) for t in ("disease", "stage") for s in ("test", "validation")}
    predictions = pd.read_csv(tmp_path / "run" / "predictions" / "test.csv")
    stage = predictions[predictions["target"] == "stage"]
    assert stage["y_true"].notna().all()
    assert len(stage) < (predictions["target"] == "disease").sum()
    assert set(predictions["sex"]) == {"F"}


def test_two_logits_and_merged_classes(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "images", ("a", "b", "c"), patients=6)
    options = ["--patient-pattern", PATTERN, "--merge", "bc=b+c", "--positive", "a"]
    options += ["--two-logits", *QUICK_OPTIONS]
    answer = pellucid("train", folder, "--out", tmp_path / "run", *options)
    assert answer.code == 0, answer.err
    table = pd.read_csv(tmp_path / "run" / "predictions" / "test.csv")
    assert {"logit_a", "logit_bc", "probability_a", "probability_bc"} <= set(table.columns)
    merged = load_bundle(tmp_path / "run").task
    assert merged.merge == {"bc": ("b", "c")}
    assert merged.targets[0].classes == ("bc", "a")


def test_given_splits_that_share_patients(images: Path, tmp_path: Path) -> None:
    for split, number in (("train", 0), ("val", 1), ("test", 1)):
        for label in ("ill", "well"):
            for path in sorted((images / label).glob(f"*_{number}.png")):
                copy = tmp_path / "split" / split / label / path.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    options = ["--patient-pattern", PATTERN, *QUICK_OPTIONS, *NETWORK_ALONE_OPTIONS]
    answer = pellucid("train", tmp_path / "split", "--out", tmp_path / "run", *options)
    assert answer.code == 2
    assert "p0" in answer.err
    assert "--allow-shared-patients" in answer.err
    assert not (tmp_path / "run").exists()
    options.append("--allow-shared-patients")
    assert pellucid("train", tmp_path / "split", "--out", tmp_path / "run", *options).code == 0
    html = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "share" in html[: html.index("Data and split")]


def test_a_users_own_transform(images: Path, tmp_path: Path) -> None:
    from torchvision.transforms import v2

    calls = []

    class Marked(v2.Transform):
        def transform(self, image: object, params: dict[str, object]) -> object:
            calls.append(1)
            return image

    dataset = package.read_dataset(images, patient_pattern=PATTERN)
    settings = {**QUICK, "epochs": 1}
    own = {"transform": v2.Compose([Marked()]), **NETWORK_ALONE}
    package.train(dataset, tmp_path / "run", settings=settings, progress=QUIET, **own)
    assert len(calls) >= 30


@pytest.mark.parametrize("name", ["breast_ultrasound"])
def test_real_images_walk_the_same_way(shared_data: Path, tmp_path: Path, name: str) -> None:
    options = ["--merge", "normal_benign=normal+benign", "--positive", "malignant"]
    options += [*QUICK_OPTIONS, "--set", "image_size=16", "--set", "epochs=1"]
    for folder in (shared_data / name).iterdir():
        (tmp_path / name / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[::8]:
            shutil.copy(path, tmp_path / name / folder.name / path.name)
    answer = pellucid("train", tmp_path / name, "--out", tmp_path / "run", *options)
    assert answer.code == 0, answer.err
    assert "no patients known" in answer.err
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_wrong_option_does_not_cost_the_run_that_would_be_overwritten(
    run: Path, images: Path, tmp_path: Path
) -> None:
    done = tmp_path / "run"
    shutil.copytree(run, done)
    before = (done / "report.html").read_bytes()
    wrong = ["--set", "network=vgg11", "--set", "image_size=16"]
    options = ["--patient-pattern", PATTERN, "--overwrite", "--out", done]
    assert pellucid("train", images, *options, *wrong).code == 2
    assert (done / "report.html").read_bytes() == before
    (done / "leftover").touch()
    assert pellucid("train", images, *options, *QUICK_OPTIONS, *NETWORK_ALONE_OPTIONS).code == 0
    assert (done / "report.html").read_bytes() != before
    assert not (done / "leftover").exists()
    assert not (done / "baseline").exists()


def test_one_unreadable_image_in_a_hundred_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "images", patients=26)
    (folder / "ill" / "p999_0.png").write_text("not a picture")
    options = ["--patient-pattern", PATTERN, "--out", tmp_path / "run", *QUICK_OPTIONS]
    options += NETWORK_ALONE_OPTIONS
    answer = pellucid("train", folder, *options, "--strict")
    assert answer.code == 2
    assert not (tmp_path / "run").exists()
    answer = pellucid("train", folder, *options)
    assert answer.code == 0, answer.err
    assert "p999_0.png: an image is" in answer.err
    found = json.loads((tmp_path / "run" / "audit.json").read_text())["unreadable"]
    assert [entry["image_id"] for entry in found] == ["ill/p999_0.png"]
    tables = [pd.read_csv(path) for path in (tmp_path / "run" / "predictions").glob("*.csv")]
    assert "ill/p999_0.png" not in set(pd.concat(tables)["image_id"])
