"""What is exported answers as Pellucid does, from pixels of any size, or is not exported."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cli import pellucid
from explained_model import BINARY, TWO_TARGETS, draw_image, tiny_bundle, tiny_model
from pellucid.bundle import Bundle, load_bundle, save_bundle
from pellucid.bundle.files import open_files
from pellucid.data.trained_on import load_trained_on
from pellucid.errors import CheckFailed, UsageError
from pellucid.exporting import runtimes
from pellucid.exporting.parity import images_to_ask
from pellucid.exporting.raw_pixels import FromRawPixels
from pellucid.exporting.verb import export
from pellucid.images.preprocessing import Preprocessing, preprocess
from pellucid.images.reading import read_image
from pellucid.network.classifier import build_classifier
from pellucid.network.spec import NetworkSpec
from pellucid.task import Task

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model")


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


# --- preprocessing inside -------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize(("in_channels", "channels"), [(1, 1), (3, 1), (1, 3), (3, 3)])
@pytest.mark.parametrize(
    "shape",
    [(16, 16), (16, 9), (5, 40), (1, 1), (3, 200), (97, 96), (160, 95), (500, 333), (1031, 764)],
)
def test_pixels_become_what_preprocessing_makes_of_them(
    fit: Any, in_channels: int, channels: int, shape: tuple[int, int]
) -> None:
    """Also where Pillow averages blocks first: 500 and 1,031 pixels to 16."""
    preprocessing = Preprocessing(image_size=16, channels=channels, fit=fit)
    bundle = tiny_bundle(BINARY, channels)
    pixels = np.random.default_rng(1).random((in_channels, *shape), dtype=np.float32)
    expected = preprocess(pixels, preprocessing)
    module = FromRawPixels(bundle.classifier, preprocessing)
    found = module.preprocess(torch.from_numpy(pixels)[np.newaxis])[0].numpy()
    assert found.shape == expected.shape
    gaps = np.abs(found - expected.astype(np.float32))
    assert gaps.max() <= 1  # a rounding of one in 255, and seldom
    assert (gaps > 0).mean() < 0.01


# --- other runtimes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "task", "channels"),
    [("plain", BINARY, 1), ("resnet18", TWO_TARGETS, 3), ("vgg11_bn", BINARY, 1)],
)
def test_onnx_answers_from_pixels_of_any_size_and_number(
    tmp_path: Path, name: str, task: Task, channels: int
) -> None:
    spec = NetworkSpec(name=name, channels=channels, image_size=64)
    preprocessing = Preprocessing(image_size=64, channels=channels, mean=(0.4,), std=(0.3,))
    classifier = build_classifier(spec, task, seed=3).eval()
    model = save_bundle(tmp_path / "model", Bundle(classifier, spec, task, preprocessing, {}))
    done = export(model, tmp_path / "model.onnx")
    assert done.largest_difference is not None
    assert done.largest_difference < 1e-4
    opened = session(tmp_path / "model.onnx")
    names = [output.name for output in opened.get_outputs()]
    several = len(task.targets) > 1
    assert names == (
        ["logits", "probabilities_1", "probabilities_2"] if several else ["logits", "probabilities"]
    )
    images = np.random.default_rng(0).random((3, 1, 90, 130), dtype=np.float32)
    together = opened.run(None, {"images": images})
    for number, image in enumerate(images):
        alone = opened.run(None, {"images": image[np.newaxis]})
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], other[number], atol=1e-5)
    for probabilities in together[1:]:
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    about = opened.get_modelmeta().custom_metadata_map
    assert about["pellucid_digest"] == open_files(model).digest
    assert json.loads(about["task"])["targets"][0]["name"] == task.targets[0].name
    assert "Not a medical device" in about["intended_use"]


def test_torch_export_answers_alike(model: Path, tmp_path: Path) -> None:
    done = export(model, tmp_path / "model.pt2")
    assert done.form == "torch"
    assert done.largest_difference is not None
    assert done.largest_difference < 1e-4
    program = torch.export.load(tmp_path / "model.pt2").module()
    image = read_image(draw_image(tmp_path / "a.png", 3, (33, 21))).pixels
    images = torch.from_numpy(np.broadcast_to(image, (2, 3, *image.shape[1:])).copy())
    logits, probabilities = program(images)
    assert logits.shape == (2, 1)
    bundle = load_bundle(model)
    square = preprocess(image, bundle.preprocessing)[np.newaxis]
    expected = torch.sigmoid(
        bundle.classifier((torch.from_numpy(square).float() / 255 - 0.5) / 0.25)
    )
    torch.testing.assert_close(probabilities[:1, 1:], expected, atol=1e-4, rtol=0)


def test_triton_gets_a_repository(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", TWO_TARGETS)
    done = export(model, tmp_path / "models" / "chest", form="triton")
    config = (done.out / "config.pbtxt").read_text()
    assert 'name: "chest"' in config
    assert config.count("{") == config.count("}")
    assert config.count("[") == config.count("]")
    opened = session(done.out / "1" / "model.onnx")
    declared = dict(
        re.findall(r'name: "(\w+)" data_type: TYPE_FP32 dims: \[ ([-\d, ]+) \]', config)
    )
    assert declared.pop("images") == "-1, -1, -1"
    image = np.zeros((1, 1, 20, 30), dtype=np.float32)
    answers = opened.run(list(declared), {"images": image})
    for (name, dims), answer in zip(declared.items(), answers, strict=True):
        assert answer.shape == (1, int(dims)), name
    assert (done.out / "labels_2.txt").read_text() == "a\nb\nc\n"


def test_what_answers_otherwise_is_not_exported(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FromRawPixels, "preprocess", lambda self, x: x[:, :1, :16, :16] * 200)
    out = tmp_path / "model.onnx"
    with pytest.raises(CheckFailed, match=r"to 0\.0001, got a difference of .* Nothing was"):
        export(model, out, check=[draw_image(tmp_path / "a.png", 1, (40, 40))])
    assert not out.exists()


def test_a_network_that_cannot_be_traced_says_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(torch.onnx, "export", fail)
    monkeypatch.setattr(torch.export, "export", fail)
    for name in ("a.onnx", "a.pt2"):
        with pytest.raises(UsageError, match="no such operator"):
            export(model, tmp_path / name)


def test_images_are_the_users_or_the_runs_or_synthetic(model: Path, tmp_path: Path) -> None:
    given, said = images_to_ask(model, [draw_image(tmp_path / "a.png")])
    assert (len(given), said) == (1, "the images given")
    index = model / "index.csv"
    (tmp_path / "bad.png").write_text("no picture")
    index.write_text(
        f"image_path,split\n{tmp_path / 'a.png'},test\n{tmp_path / 'bad.png'},test\n"
        f"{tmp_path / 'a.png'},train\n"
    )
    own, said = images_to_ask(model, [])
    assert (len(own), said) == (1, "images of the run")
    index.unlink()
    synthetic, said = images_to_ask(model, [])
    assert said == "synthetic images"
    assert {len(pixels) for pixels in synthetic} == {1, 3}


# --- bundles --------------------------------------------------------------------------------------


def test_a_bundle_is_packed_without_patients_and_always_alike(model: Path, tmp_path: Path) -> None:
    salt = {"format": "pellucid-trained-on", "version": 1, "salt": "00" * 16, "fingerprints": ""}
    (model / "trained_on.json").write_text(json.dumps(salt))
    first = export(model, tmp_path / "a.zip", licence="CC BY 4.0", intended_use="teaching")
    second = export(model, tmp_path / "b.zip", licence="CC BY 4.0", intended_use="teaching")
    assert first.out.read_bytes() == second.out.read_bytes()
    assert first.digest == second.digest != open_files(model).digest
    card = load_bundle(first.out).card
    assert (card["licence"], card["intended_use"]) == ("CC BY 4.0", "teaching")
    with zipfile.ZipFile(first.out) as archive:
        assert sorted(archive.namelist()) == ["card.json", "model.onnx", "weights.safetensors"]
    kept = export(model, tmp_path / "kept", fingerprints=True)
    assert (kept.out / "trained_on.json").is_file()
    assert load_trained_on(first.out) is None
    archived = export(model, tmp_path / "kept.zip", fingerprints=True)
    known = [load_trained_on(done.out) for done in (archived, kept)]
    assert [one is not None and one.salt for one in known] == [bytes(16)] * 2
    folder = export(first.out, tmp_path / "folder")
    assert load_bundle(folder.out).card == card


def test_a_damaged_bundle_is_not_packed(model: Path, tmp_path: Path) -> None:
    graph = model / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x01")
    answer = pellucid("export", model, "--out", tmp_path / "a.zip")
    assert answer.code == 2
    assert "differ from the digest" in answer.err
    assert not (tmp_path / "a.zip").exists()


def test_nothing_is_written_over_unasked(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zip"
    export(model, out)
    with pytest.raises(UsageError, match="exists"):
        export(model, out)
    export(model, out, overwrite=True)
    for place in (model, model.parent):
        with pytest.raises(UsageError, match="holds the model itself"):
            export(model, place, overwrite=True)
    plain = tmp_path / "plain"
    plain.write_text("a file where a folder shall be")
    with pytest.raises(UsageError, match="cannot be written"):
        export(model, plain, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="a folder of something else"):
        export(model, other, overwrite=True)
    with pytest.raises(UsageError, match='Did you mean "onnx"'):
        export(model, tmp_path / "x", form="onx")


def test_the_command_says_what_was_checked(model: Path, tmp_path: Path) -> None:
    image = draw_image(tmp_path / "a.png")
    out = tmp_path / "m.onnx"
    answer = pellucid("export", model, "--out", out, "--check", image, "--json")
    document = json.loads(answer.out)
    assert (document["out"], document["form"], document["n_images"]) == (str(out), "onnx", 1)
    assert document["largest_difference"] < 1e-4
    answer = pellucid("export", model, "--out", out, "--check", image, "--overwrite")
    assert answer.out.strip() == str(out)
    assert "Answers like torch: 1 of the images given" in answer.err
    assert runtimes.output_names(load_bundle(model)) == ["probabilities"]
