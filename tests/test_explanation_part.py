"""What a run says of where its network looks: chosen by rule, written once, shown in the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from explained_model import BINARY, SIDE, draw_image, tiny_bundle
from fake_runs import FakeTarget, make_run
from pellucid.errors import UsageError
from pellucid.evaluation.judged import judged_splits
from pellucid.evaluation.predictions import build_predictions, save_predictions
from pellucid.explaining import explain_run
from pellucid.explaining.choosing import choose_measured, choose_shown
from pellucid.explaining.masks import find_masks, phantom_mask, read_masks
from pellucid.explaining.measuring import images_to_measure
from pellucid.explanation.faithfulness.document import spread
from pellucid.images.preprocessing import preprocess
from pellucid.images.reading import read_image
from pellucid.prediction import predict_logits
from pellucid.progress import Progress
from pellucid.reporting.documents import load_documents
from pellucid.reporting.explaining.faithfulness_parts import faithfulness_parts
from pellucid.reporting.html import write_report
from pellucid.reporting.sections.explanation_part import explanation_section
from pellucid.run import Run

QUIET = Progress(quiet=True)


def _table(logits: list[float], truth: str) -> pd.DataFrame:
    codes = np.array([int(code) for code in truth])
    names = [f"image-{number}" for number in range(len(codes))]
    z = np.array(logits)[:, None]
    return build_predictions(names, names, "test", BINARY.targets[0], codes, z)


def test_the_surest_of_each_class_are_chosen_right_and_wrong() -> None:
    table = _table([3, 2, 2, 1, -1, -4, 5, -2, -3, -1], "1111111000")
    chosen = choose_shown(judged_splits(table, BINARY.targets[0])[0])

    found = [(one.image_id, one.truth, one.called) for one in chosen]
    assert found == [
        ("image-8", "well", "well"),
        ("image-7", "well", "well"),
        ("image-6", "ill", "ill"),
        ("image-0", "ill", "ill"),
        ("image-5", "ill", "well"),
        ("image-4", "ill", "well"),
    ]
    assert [one.is_right for one in chosen] == [True] * 4 + [False] * 2


def test_measured_images_are_drawn_equally_by_class_and_by_seed() -> None:
    judged = judged_splits(_table([1.0] * 20, "1" * 15 + "0" * 5), BINARY.targets[0])[0]

    chosen = choose_measured(judged, 8, seed=3)

    assert [one.truth for one in chosen].count("well") == 4
    assert chosen == choose_measured(judged, 8, seed=3)
    assert chosen != choose_measured(judged, 8, seed=4)
    assert len(choose_measured(judged, 100, seed=0)) == 20
    assert spread(7, 7).tolist() == list(range(7))
    assert images_to_measure(64) > images_to_measure(128) >= images_to_measure(512) > 0


def _run(folder: Path, n: int = 8) -> tuple[Run, pd.DataFrame, np.ndarray]:
    """Phantoms with masks beside them, and the predictions of the tiny model."""
    bundle, root = tiny_bundle(), folder / "data"
    names = [f"{'ill' if number % 2 else 'well'}/p{number}.png" for number in range(n)]
    for number, name in enumerate(names):
        draw_image(root / "images" / name, seed=number, size=(SIDE, SIDE))
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[4:9, 3:8] = 255 * (number % 2)
        (root / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(root / "masks" / name)
    (root / "phantoms.json").write_text("{}")
    paths = [str(root / "images" / name) for name in names]
    patients = [f"secret-{number}" for number in range(n)]
    table = pd.DataFrame(
        {"image_id": names, "image_path": paths, "frame": 0, "patient_id": patients}
    )
    pixels = np.stack([preprocess(read_image(p).pixels, bundle.preprocessing) for p in paths])
    logits = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    codes = np.arange(n) % 2
    predictions = build_predictions(names, patients, "test", BINARY.targets[0], codes, logits)
    run = Run(folder / "run")
    save_predictions(predictions, run.predictions_path("test"))
    return run, table, pixels


def test_a_run_explains_some_of_its_test_images(tmp_path: Path) -> None:
    run, table, pixels = _run(tmp_path)

    document = explain_run(run, tiny_bundle(), pixels, table, progress=QUIET)

    assert json.loads(run.explanation_path.read_text()) == document
    text = run.explanation_path.read_text()
    assert "secret" not in text
    assert str(tmp_path) not in text
    assert document["split"] == "test"
    assert [one["method"] for one in document["methods"]] == ["grad_cam", "integrated_gradients"]
    for one in document["images"]:
        with Image.open(run.folder / "pictures" / one["picture"]) as picture:
            assert picture.width > 2.9 * picture.height
    tests = document["faithfulness"][0]
    assert tests["n_masks"] == 4
    assert tests["methods"][0]["pointing"]


def test_what_stands_is_kept_and_no_predictions_mean_no_document(tmp_path: Path) -> None:
    run, table, pixels = _run(tmp_path)
    assert explain_run(Run(tmp_path / "none"), tiny_bundle(), pixels, table, progress=QUIET) == {}
    run.explanation_path.write_text('{"kept": true}')
    assert explain_run(run, tiny_bundle(), pixels, table, progress=QUIET) == {"kept": True}


def test_masks_are_found_by_path_by_name_and_beside_phantoms(tmp_path: Path) -> None:
    _, table, _ = _run(tmp_path)
    masks = tmp_path / "data" / "masks"

    found = find_masks(masks, ["ill/p1.png", "elsewhere/p1.png", "/etc/../p1", "none.png"])
    assert found[0] == masks / "ill" / "p1.png"
    assert found[1:] == [None, None, None]
    assert find_masks(masks / "ill", ["x/p1.jpeg"]) == [masks / "ill" / "p1.png"]
    assert phantom_mask(table["image_path"][1]) == masks / "ill" / "p1.png"
    assert phantom_mask("/data/images/x.png") is None
    with pytest.raises(UsageError, match="no folder of masks"):
        find_masks(tmp_path / "nowhere", ["a"])

    read = read_masks([masks / "ill" / "p1.png", None], tiny_bundle().preprocessing)
    assert read[0].sum() == 25
    assert not read[1].any()


def _figure(value: float | None) -> dict[str, object]:
    spread_ = None if value is None else 0.1
    low, high = (None, None) if spread_ is None else (value - spread_, value + spread_)  # type: ignore[operator]
    return {"value": value, "low": low, "high": high, "n": 20, "n_patients": 10}


def fake_tests() -> dict[str, object]:
    """A faithfulness document of two methods, with lesions."""
    curve = {"mean": [1.0, 0.5, 0.1], "low": [0.9, 0.4, 0.0], "high": [1.0, 0.6, 0.2]}
    removal = {"shares": [0.0, 0.5, 1.0], "map": curve, "random": curve, "area": _figure(0.4)}
    removal |= {"random_area": _figure(0.5), "gain": _figure(0.1)}
    check = {
        "stages": ["trained", "head", "relu"],
        "correlation": curve,
        "signed": [1.0, 0.2, 0.0],
        "magnitude": [1.0, 0.4, 0.2],
        "chance": 0.03,
        "n_silent": [0, 0, 0],
        "n_networks": 2,
        "final": _figure(0.05),
        "bound": 0.5,
        "verdict": "passed",
        "reason": "the mean likeness is 0.05",
    }
    pointing = [
        {"class": label, "n": 10, "pointing": _figure(0.7), "strict": _figure(0.5)}
        | {"iou": _figure(0.2), "energy": _figure(None)}
        for label in ("all", "PNEUMONIA")
    ]
    method = {
        "method": "grad_cam",
        "layer": "layer2",
        "settings": {},
        "n_silent": 1,
        "deletion": removal,
        "insertion": removal,
        "randomisation": check,
        "pointing": pointing,
        "by_class": [{"class": "all", "n": 20, "deletion_gain": _figure(0.1)}],
    }
    method["by_class"] = [
        {"class": label, "n": 10, "deletion_gain": _figure(0.1), "insertion_gain": _figure(0.2)}
        for label in ("all", "NORMAL", "PNEUMONIA")
    ]
    chance = [
        {"class": label, "n": 10, "mask_share": _figure(0.05), "random": _figure(0.12)}
        | {"centre": _figure(0.3), "strict_centre": _figure(0.2)}
        for label in ("all", "PNEUMONIA")
    ]
    other = {**method, "method": "integrated_gradients", "layer": ""}
    return {
        "target": "label",
        "image_size": 64,
        "n": 20,
        "n_given": 30,
        "n_patients": 10,
        "n_masks": 10,
        "settings": {"replaced": "blur", "tolerance": 2, "bound": 0.5},
        "missing": {"occlusion": "it needs the package captum"},
        "chance": chance,
        "methods": [method, {**other, "settings": {"baseline": [0.5], "steps": 16}}],
    }


def _with_explanation(folder: Path, **changes: object) -> Path:
    run = make_run(folder, FakeTarget("label", ("NORMAL", "PNEUMONIA")), n_images=80)
    Image.new("RGB", (60, 20)).save(run / "pictures" / "explained-00.png")
    image = {
        "target": "label",
        "image_id": "scan_0001.png",
        "truth": "NORMAL",
        "called": "PNEUMONIA",
        "probability": 0.91,
        "is_right": False,
        "synthetic": False,
        "picture": "explained-00.png",
        "says_nothing": ["grad_cam"],
    }
    document = {
        "format": "pellucid-explanation",
        "version": 1,
        "split": "test",
        "rule": "The surest ones.",
        "methods": [{"method": "grad_cam", "layer": "layer2", "settings": {}}],
        "missing": {},
        "images": [image, {**image, "is_right": True, "picture": "../run.json"}],
        "faithfulness": [fake_tests()],
        **changes,
    }
    (run / "explanation.json").write_text(json.dumps(document))
    return run


def test_the_report_shows_pictures_rule_and_tests(tmp_path: Path) -> None:
    run = _with_explanation(tmp_path / "run")

    page = write_report(run).read_text(encoding="utf-8")

    assert '<section id="explanation">' in page
    assert 'href="#explanation"' in page
    assert "The surest ones." in page
    assert "Grad-CAM at layer2" in page
    assert "Do the maps hit the lesions?" in page
    assert "sanity check passed" in page
    assert "it needs the package captum" in page.lower()
    assert "the strongest place hits the lesion: grad-cam 70 %" in page.lower()
    assert "secret-patient" not in page
    assert page.count("The picture is no longer in the run folder.") == 1  # the path that left it


def test_a_run_without_explanations_has_no_such_section(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", FakeTarget("label", ("NORMAL", "PNEUMONIA")), n_images=80)
    assert explanation_section(load_documents(run)) is None
    assert 'id="explanation"' not in write_report(run).read_text(encoding="utf-8")


def test_what_stands_for_missing_pixels_is_named() -> None:
    document = fake_tests() | {"settings": {"replaced": "mean", "tolerance": 2, "bound": 0.5}}
    assert "stands the mean of the image." in faithfulness_parts(document, 0)[0].key


def test_tests_that_failed_say_why(tmp_path: Path) -> None:
    run = _with_explanation(
        tmp_path / "run",
        images=[],
        faithfulness=[{"target": "label", "reason": "no image", "methods": []}],
    )
    section = explanation_section(load_documents(run))
    assert section is not None
    assert section.groups == []
    assert section.parts[0].words == ("The maps were not tested: No image.",)


def test_another_document_of_that_name_is_refused(tmp_path: Path) -> None:
    run = _with_explanation(tmp_path / "run", format="other")
    with pytest.raises(UsageError, match="must be an explanation of Pellucid"):
        load_documents(run)
