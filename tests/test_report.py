"""The report says what evaluation.json says, warns first, stands alone; files may be missing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, PngImagePlugin

from fake_runs import FakeTarget, make_evaluation_only, make_run
from pellucid.errors import PellucidError, UsageError
from pellucid.reporting import write_report
from pellucid.reporting.documents import load_documents, read_plan
from pellucid.reporting.sections.mistakes import find_mistakes
from pellucid.reporting.writing import Estimate

CHEST = FakeTarget("label", ("NORMAL", "PNEUMONIA"), separation=2.2)
OCT = FakeTarget("label", ("CNV", "DME", "DRUSEN", "NORMAL"), separation=1.5)
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps ids, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href", "xlink:href", "action", "srcset"):
                self.addresses.append(value or "")

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read_page(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of words: plots are composed and not drawn, which takes most of the time."""
    for module in ("plots", "run_plots", "probability_plots", "group_plots"):
        monkeypatch.setattr(
            f"pellucid.reporting.drawing.{module}.figure_to_svg", lambda *_: "<svg></svg>"
        )


def judged(run: Path, target: str = "label") -> dict[str, Any]:
    """The block that the verdict is about."""
    return load_documents(run).main_block(target)


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "chest", CHEST)


@pytest.fixture(scope="module")
def chest_page(chest: Path) -> Page:
    return read_page(chest)


def test_verdict_sentence_holds_the_numbers_of_evaluation_json(
    chest: Path, chest_page: Page
) -> None:
    block = judged(chest)
    auroc = block["metrics"]["auroc"]
    assert block["split"] == "test"
    sentence = (
        f"On {block['n_images']} images of {block['n_patients']} patients never used in training, "
        f"AUROC was {auroc['value']:.3f} (95 % interval {auroc['low']:.3f}–{auroc['high']:.3f})."
    )
    assert sentence in chest_page.text
    found, cleared = (
        round(100 * block["metrics"][key]["value"]) for key in ("sensitivity", "specificity")
    )
    assert f"Of 100 PNEUMONIA images: {found} found" in chest_page.text
    assert f"{100 - found} missed." in chest_page.text
    assert f"Of 100 NORMAL images: {cleared} cleared" in chest_page.text
    assert f"{100 - cleared} false alarms." in chest_page.text


def test_verdict_comes_before_everything_else(chest_page: Page) -> None:
    places = [
        chest_page.text.index(text)
        for text in (
            "AUROC was",
            "When not to trust it",
            "Data and split",
            "Confusion matrix",
            "Seed",
        )
    ]
    assert places == sorted(places)


@pytest.mark.usefixtures("no_drawing")
def test_who_chose_the_positive_class_is_said(chest_page: Page, tmp_path: Path) -> None:
    assert "Positive means PNEUMONIA, as the user chose." in chest_page.text
    run = make_run(tmp_path / "run", CHEST, n_images=200)
    facts = json.loads((run / "run.json").read_text())
    facts["task"]["targets"][0]["positive_source"] = "default"
    facts["task"]["merge"] = {"NORMAL": ["clear", "other"]}
    edit(run / "run.json", **facts)
    text = read_page(run).text
    assert "taken by default as the last class by name" in text
    assert "NORMAL stands for clear and other, merged." in text


def test_every_metric_and_cell_of_the_test_block_is_in_the_page(
    chest: Path, chest_page: Page
) -> None:
    block = judged(chest)
    for name, metric in block["metrics"].items():
        assert f"{metric['value']:.3f}" in chest_page.text, name
    for row in block["confusion_matrix"]:
        for number in row:
            assert re.search(rf"\b{number}\b", chest_page.text)


def test_page_stands_alone(chest: Path, chest_page: Page) -> None:
    source = (chest / "report.html").read_text(encoding="utf-8")
    assert "http" not in source
    assert "@import" not in source
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", source)
    assert chest_page.addresses
    for address in chest_page.addresses:
        assert address.startswith(("#", "data:image/", "data:text/csv"))


def test_ids_are_unique_and_links_within_the_page_lead_somewhere(chest_page: Page) -> None:
    assert len(chest_page.ids) == len(set(chest_page.ids))
    for address in chest_page.addresses:
        if address.startswith("#"):
            assert address[1:] in chest_page.ids


def test_patients_do_not_appear_and_images_do(chest: Path, chest_page: Page) -> None:
    source = (chest / "report.html").read_text(encoding="utf-8")
    assert chest_page.text
    assert "secret-patient" not in source
    assert "scan_" in source


def test_report_is_the_same_when_written_again(chest: Path, chest_page: Page) -> None:
    before = (chest / "report.html").read_bytes()
    assert chest_page.text
    assert write_report(chest).read_bytes() == before
    assert not list(chest.glob(".*tmp"))


def test_hyperparameters_stand_with_their_reasons(chest_page: Page) -> None:
    for text in ("the median image is 64 pixels high", "resnet18", "[0.5]", "null"):
        assert text in chest_page.text
    assert "pellucid train data/chest_xray --positive PNEUMONIA" in chest_page.text
    assert "11,172,289 parameters" in chest_page.text


def test_the_chosen_epoch_is_the_last_best_one(chest: Path, chest_page: Page) -> None:
    history = pd.read_csv(chest / "history.csv")
    best = int(history.loc[history["is_best"], "epoch"].max())
    assert f"Epoch {best} had the best validation AUROC" in chest_page.text
    assert "Training stopped: patience ran out." in chest_page.text


def test_four_classes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "oct", OCT, dataset={"name": "phantom:oct", "synthetic": True})
    page = read_page(run)
    block = judged(run)
    macro = block["metrics"]["auroc"]
    balanced = block["metrics"]["balanced_accuracy"]["value"]
    assert f"macro AUROC was {macro['value']:.3f}" in page.text
    assert f"Balanced accuracy was {balanced:.3f}" in page.text
    assert "guessing gives 0.250" in page.text
    assert "Each class against the rest" in page.text
    assert "Positive means" not in page.text
    for label in OCT.classes:
        assert f"{label}, AUROC {block['per_class'][label]['auroc']['value']:.3f}" in page.text
    banner = page.text.index("Synthetic images.")
    assert banner < page.text.index("macro AUROC was")
    assert "synthetic" in page.text[page.text.index("The surest mistakes") :]


def test_two_targets_with_missing_labels(tmp_path: Path) -> None:
    targets = (
        FakeTarget("edema", ("0", "1"), missing=0.3),
        FakeTarget("view", ("AP", "PA", "lateral"), missing=0.1),
    )
    run = make_run(tmp_path / "two", *targets)
    page = read_page(run)
    assert "Does the image show edema?" in page.text
    assert "images with edema" in page.text
    assert "Judgement: edema" in page.text
    assert "Judgement: view" in page.text
    assert {"target-0", "target-1"} <= set(page.ids)
    assert "no label" in page.text
    assert len(page.ids) == len(set(page.ids))
    for target in ("edema", "view"):
        assert f"On {judged(run, target)['n_images']} images" in page.text


def test_evaluation_alone_is_enough(tmp_path: Path) -> None:
    run = make_evaluation_only(tmp_path / "only", CHEST)
    page = read_page(run)
    block = judged(run)
    assert f"{block['metrics']['auroc']['value']:.3f}" in page.text
    assert "never used in training" not in page.text  # nobody knows that here
    assert "index.csv, history.csv, plan.yaml, audit.json" in page.text
    for heading in ("Hyperparameters", "Augmentation", "Layer by layer"):
        assert heading not in page.text


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(
    "names",
    [("predictions", "plan.yaml"), ("index.csv", "run.json"), ("audit.json", "history.csv")],
)
def test_any_other_file_may_be_missing(tmp_path: Path, names: tuple[str, str]) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    for name in names:
        (run / name).rename(tmp_path / name)
    assert "AUROC was" in read_page(run).text


@pytest.mark.parametrize("name", ["evaluation.json", "plan.yaml", "audit.json", "run.json"])
def test_a_broken_file_is_one_plain_error(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    (run / name).write_text("{ broken: [")
    with pytest.raises(UsageError, match=re.escape(name)):
        write_report(run)
    assert not (run / "report.html").exists()


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PellucidError, match="run folder"):
            write_report(folder)
    (tmp_path / "evaluation.json").write_text('{"blocks": []}')
    with pytest.raises(UsageError, match="at least one block"):
        write_report(tmp_path)


def test_names_from_the_user_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    target = FakeTarget("label", ("a & b", evil), separation=1.0)
    run = make_run(tmp_path / "run", target, n_images=240, command=f'pellucid "{evil}"')
    index = pd.read_csv(run / "index.csv").assign(image_path="<img src=x onerror=y>")
    index.to_csv(run / "index.csv", index=False)
    source = write_report(run).read_text(encoding="utf-8")
    assert evil not in source
    assert "onerror" not in source
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in source
    assert source.count("<script>") == 1  # ours, which opens closed tables before printing
    assert "a & b" in Page(source).text


@pytest.mark.usefixtures("no_drawing")
def test_an_undefined_metric_says_why(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    document = json.loads((run / "evaluation.json").read_text())
    undefined = {"value": None, "low": None, "high": None, "method": "undefined: no sick image"}
    for block in document["blocks"]:
        block["metrics"] |= {"auroc": undefined, "sensitivity": undefined}
    edit(run / "evaluation.json", **document)
    text = read_page(run).text
    assert "AUROC was not defined (no sick image)." in text
    assert "Of 100 PNEUMONIA images: sensitivity is not defined (no sick image)" in text
    assert "not defined: no sick image" in text  # once, below the table


@pytest.mark.usefixtures("no_drawing")
def test_cautions_about_patients_and_files(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, unreadable=3, allow_shared_patients=True)
    index = pd.read_csv(run / "index.csv", dtype=str)
    assert "Some patients stand in more than one split" not in read_page(run).text
    index.loc[index["patient_id"] == index["patient_id"][0], "split"] = "test"
    index.loc[0, "split"] = "train"
    index.loc[1, "patient_id"] = index.loc[0, "patient_id"]
    index.loc[1, "split"] = "test"
    index.to_csv(run / "index.csv", index=False)
    text = read_page(run).text
    start, end = text.index("When not to trust it"), text.index("What the audit found")
    assert "Some patients stand in more than one split" in text[start:end]
    assert "never used in training" not in text
    assert "3 files could not be read" in text[start:end]
    assert "12 identical pictures" in text[start:end]
    assert "not a medical device" in text[start:end]


@pytest.mark.usefixtures("no_drawing")
def test_unknown_patients_are_not_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, dataset={"patients_known": False})
    text = read_page(run).text
    assert "Patients are not known: each image counts as its own patient." in text
    n_images = judged(run)["n_images"]
    assert f"On {n_images} images never used in training, AUROC was" in text


def set_aurocs(run: Path, **values: tuple[float, float, float]) -> None:
    """The AUROC of each split with its interval: value, low, high."""
    document = json.loads((run / "evaluation.json").read_text())
    for block in document["blocks"]:
        value, low, high = values[block["split"]]
        block["metrics"]["auroc"] |= {"value": value, "low": low, "high": high}
    edit(run / "evaluation.json", **document)


@pytest.mark.usefixtures("no_drawing")
def test_few_patients_wide_interval_and_gap_are_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    set_aurocs(run, test=(0.80, 0.70, 0.88), validation=(0.95, 0.93, 0.97))
    text = read_page(run).text
    assert re.search(r"Test holds only \d+ patients with NORMAL and \d+ patients with PNEU", text)
    assert "The interval of AUROC is wide (0.700–0.880)" in text
    assert "0.15 lower in test (0.80) than in validation (0.95), more than chance explains" in text


@pytest.mark.usefixtures("no_drawing")
def test_the_mean_of_folds_may_be_ahead_of_the_networks_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    set_aurocs(run, test=(0.95, 0.93, 0.97), validation=(0.80, 0.75, 0.85))
    assert "Test may be easier" in read_page(run).text
    training = json.loads((run / "run.json").read_text()).get("training", {})
    edit(run / "run.json", training={**training, "ensemble_of": "folds", "members": 5})
    text = read_page(run).text
    assert "0.15 higher in test (0.95) than in validation (0.80)" in text
    assert "judged by the mean of all networks, validation by one each" in text
    assert "Test may be easier" in text


@pytest.mark.usefixtures("no_drawing")
def test_without_test_images_the_verdict_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", CHEST, n_images=160)
    document = json.loads((run / "evaluation.json").read_text())
    blocks = [block for block in document["blocks"] if block["split"] == "validation"]
    edit(run / "evaluation.json", blocks=blocks)
    text = read_page(run).text
    assert "There are no labelled test images." in text
    assert "(validation, not a test)" in text


@pytest.mark.usefixtures("no_drawing")
def test_surest_mistakes_are_pictures_when_the_files_are_there(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", FakeTarget("label", ("a", "b"), separation=0.5))
    documents = load_documents(run)
    wrong = find_mistakes(documents, judged(run))
    assert wrong is not None
    assert list(wrong["probability"]) == sorted(wrong["probability"], reverse=True)
    assert (wrong["truth"] != wrong["predicted"]).all()
    matrix = np.array(judged(run)["confusion_matrix"])
    assert len(wrong) == matrix.sum() - np.trace(matrix)

    (run / "images").mkdir()
    first, second, third = wrong["image_id"].head(3)
    synthetic = PngImagePlugin.PngInfo()
    synthetic.add_text("Synthetic", "Pellucid phantom, not a patient")
    Image.new("L", (64, 48), 90).save(run / "images" / first, pnginfo=synthetic)
    Image.new("RGB", (600, 400), (90, 10, 10)).save(run / "images" / second)
    (run / "images" / third).write_text("no picture")
    page = read_page(run)
    pictures = {address for address in page.addresses if address.startswith("data:image")}
    assert len(pictures) == 3  # two mistakes and the augmentations
    text = page.text[page.text.index("The surest mistakes") : page.text.index("The least sure")]
    assert f"{first} synthetic" in text
    assert f"{second} synthetic" not in text
    assert "The file cannot be read." in text
    assert text.count("The file is no longer there.") == 9
    assert f"{len(wrong)} of {matrix.sum()} images were called wrongly." in text


@pytest.mark.usefixtures("no_drawing")
def test_no_mistakes_at_all_is_said_and_doubted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", FakeTarget("label", ("a", "b"), separation=60.0))
    assert "every one of these images was called rightly" in read_page(run).text


def test_a_plan_keeps_its_values_as_written_and_its_reasons(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("a: 1.0e-3  # small: # is fine\nb: [1, 2]\nc: 'x # y'  # why\nblocks: []\n")
    plan = {item.name: (item.value, item.reason) for item in read_plan(path)}
    assert plan["a"] == ("0.001", "small: # is fine")
    assert plan["b"] == ("[1, 2]", "")
    assert plan["blocks"] == ("[]", "")
    assert plan["c"][1].endswith("why")


def test_estimates_read_as_people_write_them() -> None:
    metric = {"value": 0.98249, "low": 0.9714, "high": 0.9909, "method": "bootstrap"}
    assert Estimate.of(metric).sentence == "0.982 (95 % interval 0.971–0.991)"
    assert Estimate.of(0.5).text == "0.500"
    assert Estimate.of(None).text == "not defined"
    lone = {"value": 0.5, "low": None, "high": None, "method": "no interval: undefined in 3 of 9"}
    assert Estimate.of(lone).sentence == "0.500 (no interval: undefined in 3 of 9)"
    assert Estimate.of({"value": float("nan")}).is_defined is False
