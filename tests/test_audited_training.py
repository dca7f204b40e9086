"""Training with the audit in front: what stops it, what copies do to a split, who may be a test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from cli import pellucid
from pellucid.data.split import split_digest
from pictures import NETWORK_ALONE_OPTIONS, PATTERN, QUICK_OPTIONS, draw_folder

BRIEF = [*QUICK_OPTIONS, *NETWORK_ALONE_OPTIONS, "--set", "epochs=1"]
OPTIONS = ["--patient-pattern", PATTERN, *BRIEF]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "images")


def test_training_stops_on_a_fail_and_says_how_to_go_on(images: Path, tmp_path: Path) -> None:
    shutil.copy(images / "ill" / "p0_0.png", images / "well" / "p107_2.png")
    out = tmp_path / "run"
    answer = pellucid("train", images, "--out", out, *OPTIONS)
    assert answer.code == 1
    assert "--allow identical_across_classes" in answer.err
    assert not out.exists()
    answer = pellucid("train", images, "--out", out, *OPTIONS, "--allow", "few_patients")
    assert answer.code == 1
    options = [*OPTIONS, "--allow", "identical_across_classes"]
    assert pellucid("train", images, "--out", out, *options).code == 0
    assert json.loads((out / "run.json").read_text())["allowed"] == ["identical_across_classes"]
    assert json.loads((out / "audit.json").read_text())["failed"]
    report = (out / "report.html").read_text()
    assert "stand in more than one class" in report


def test_copies_under_two_patients_stay_in_one_split(images: Path, tmp_path: Path) -> None:
    pairs = [(f"p{n}_0.png", f"p{50 + n}_0.png") for n in range(8)]
    for first, second in pairs:
        shutil.copy(images / "ill" / first, images / "ill" / second)
    out = tmp_path / "run"
    assert pellucid("train", images, "--out", out, *OPTIONS).code == 0
    split = pd.read_csv(out / "index.csv").set_index("image_id")["split"]
    assert all(split[f"ill/{first}"] == split[f"ill/{second}"] for first, second in pairs)
    codes = {entry["code"] for entry in json.loads((out / "audit.json").read_text())["findings"]}
    assert "identical_across_patients" in codes
    assert "identical_across_splits" not in codes


def test_split_audit_train_and_evaluate_agree_on_who_is_where(images: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "folds.csv"
    words = [images, "--patient-pattern", PATTERN, "--out", manifest]
    answer = pellucid("split", *words, "--folds", 4, "--repeats", 2, "--seed", 3)
    assert answer.code == 0, answer.err
    table = pd.read_csv(manifest)
    names = [name for name in table if name.startswith("split_")]
    assert len(names) == 8
    for name in names:
        assert (table.groupby("patient_id")[name].nunique() == 1).all()
    of_first = [set(table.loc[table[f"split_{n}"] == "test", "patient_id"]) for n in range(1, 5)]
    assert set.union(*of_first) == set(table["patient_id"])
    assert sum(len(part) for part in of_first) == table["patient_id"].nunique()

    out = tmp_path / "run"
    options = ["--split-column", "split_2", "--label-column", "label", *BRIEF]
    answer = pellucid("train", manifest, "--out", out, *options)
    assert answer.code == 0, answer.err
    index = pd.read_csv(out / "index.csv", dtype=str)
    assert set(index.loc[index["split"] == "test", "patient_id"]) == of_first[1]
    digest = json.loads((out / "run.json").read_text())["split_digest"]
    assert digest == split_digest(index)
    assert json.loads((out / "bundle" / "card.json").read_text())["split_digest"] == digest

    predictions = pd.read_csv(out / "predictions" / "test.csv", dtype=str)
    known = index.loc[index["split"] == "train", "patient_id"].iloc[0]
    predictions.loc[0, "patient_id"] = known
    predictions.to_csv(tmp_path / "p.csv", index=False)
    answer = pellucid("evaluate", tmp_path / "p.csv", "--model", out)
    assert answer.code == 2
    assert "called test" in answer.err
    assert known not in answer.err
    assert pellucid("evaluate", tmp_path / "p.csv").code == 0
    assert pellucid("evaluate", out / "predictions" / "test.csv", "--model", out).code == 0


def test_split_keeps_copies_together_and_invents_no_patients(images: Path, tmp_path: Path) -> None:
    pairs = [(f"p{n}_0.png", f"p{6 + n}_0.png") for n in range(6)]
    for first, second in pairs:
        shutil.copy(images / "ill" / first, images / "ill" / second)
    words = ["split", images, "--out", tmp_path / "s.csv", "--overwrite"]

    def apart(column: str) -> int:
        side = pd.read_csv(tmp_path / "s.csv").set_index("image_id")[column]
        return sum(side[f"ill/{first}"] != side[f"ill/{second}"] for first, second in pairs)

    assert pellucid(*words, "--folds", 4).code == 0
    assert [apart(f"split_{fold}") for fold in range(1, 5)] == [0, 0, 0, 0]
    assert pellucid(*words).code == 0
    assert apart("split") == 0
    answer = pellucid("audit", tmp_path / "s.csv")
    assert "No patients are known" in answer.out
    assert pellucid(*words, "--ignore-copies").code == 0
    assert apart("split") > 0


def test_shared_patients_are_allowed_by_code_as_by_option(images: Path, tmp_path: Path) -> None:
    words = ["split", images, "--patient-pattern", PATTERN, "--out", tmp_path / "s.csv"]
    assert pellucid(*words).code == 0
    table = pd.read_csv(tmp_path / "s.csv")
    test = table.index[table["split"] == "test"][0]
    table.loc[test, "split"] = "train"
    table.to_csv(tmp_path / "s.csv", index=False)
    out = tmp_path / "run"
    options = [*BRIEF, "--label-column", "label"]
    words = ["train", tmp_path / "s.csv", "--out", out, *options]
    assert pellucid(*words).code == 2
    answer = pellucid(*words, "--allow", "shared_patients")
    assert answer.code == 0, answer.err
    assert json.loads((out / "run.json").read_text())["allow_shared_patients"]
    answer = pellucid("evaluate", out)
    assert answer.code == 0, answer.err


def test_split_refuses_what_cannot_be(images: Path, tmp_path: Path) -> None:
    words = ["split", images, "--patient-pattern", PATTERN, "--out", tmp_path / "s.csv"]
    for options, text in (
        (["--folds", 50], "patients"),
        (["--folds", 3, "--leave-out", "site"], "choose one"),
        (["--leave-out", "site"], "site"),
        (["--stratify-by", "site"], "site"),
        (["--repeats", 3], "folds"),
    ):
        answer = pellucid(*words, *options)
        assert (answer.code, answer.out) == (2, ""), (options, answer)
        assert text in answer.err
    assert not (tmp_path / "s.csv").exists()
    assert pellucid(*words).code == 0
    before = (tmp_path / "s.csv").read_text()
    assert "exists" in pellucid(*words).err
    assert pellucid(*words, "--overwrite").code == 0
    assert (tmp_path / "s.csv").read_text() == before


def test_an_audit_is_a_page_a_document_or_both(images: Path, tmp_path: Path) -> None:
    shutil.copy(images / "ill" / "p0_0.png", images / "well" / "p107_2.png")
    words = ["audit", images, "--patient-pattern", PATTERN]
    answer = pellucid(*words, "--out", tmp_path / "audit")
    assert answer.code == 1
    names = {path.name for path in (tmp_path / "audit").iterdir()}
    assert names == {"audit.html", "audit.json", "index.csv"}
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert page.count("data:image/png;base64") >= 2
    assert "Do not train on it yet" in page
    answer = pellucid(*words, "--out", tmp_path / "a.json", "--json")
    assert json.loads(answer.out) == json.loads((tmp_path / "a.json").read_text())


def test_files_that_are_all_unreadable_are_a_finding(images: Path) -> None:
    for path in images.rglob("*.png"):
        path.write_text("no picture")
    answer = pellucid("audit", images, "--patient-pattern", PATTERN)
    assert answer.code == 1
    assert "FAIL  48 files (100.0%) cannot be read" in answer.out
    assert "Traceback" not in answer.err


def test_an_external_test_is_judged_apart(images: Path, tmp_path: Path) -> None:
    elsewhere = draw_folder(tmp_path / "elsewhere", patients=6, seed=1)
    for path in elsewhere.rglob("*.png"):
        path.rename(path.with_name(f"p9{path.name[1:]}"))
    out = tmp_path / "run"
    answer = pellucid("train", images, "--out", out, *OPTIONS, "--external", elsewhere)
    assert answer.code == 0, answer.err
    blocks = json.loads((out / "evaluation.json").read_text())["blocks"]
    assert {block["split"] for block in blocks} == {"validation", "test", "external_test"}
    assert len(pd.read_csv(out / "predictions" / "external_test.csv")) == 24
