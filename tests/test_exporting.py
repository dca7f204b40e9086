"""What is exported answers as Pellucid does, from pixels of any size, or is not exported."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cli import pellucid
from explained_model import BINARY, TWO_TARGETS, draw_image, tiny_bundle, tiny_model
from pellucid.bundle import Bundle, load_bundle, save_bundle
from pellucid.bundle.files import open_files
from pellucid.bundle.trained_on import load_trained_on
from pellucid.errors import CheckFailed, PellucidError, ReadError, UsageError
from pellucid.exporting import runtimes
from pellucid.exporting.parity import check_parity, images_to_ask
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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "image_size"), [(448, 224), (128, 64), (512, 256), (64, 32)])
def test_pictures_of_8_bits_are_halved_as_pillow_halves_them(
    side: int, image_size: int, channels: int
) -> None:
    """A quarter of the sums end in .0, .25, .5 or .75, so that many are rounded from the middle."""
    preprocessing = Preprocessing(image_size=image_size, channels=channels)
    module = FromRawPixels(tiny_bundle(BINARY, channels).classifier, preprocessing)
    drawn = np.random.default_rng(0).integers(0, 256, (1, side, side))
    pixels = drawn.astype(np.float32) / 255
    found = module.preprocess(torch.from_numpy(pixels)[np.newaxis])[0].numpy()
    np.testing.assert_array_equal(found, preprocess(pixels, preprocessing).astype(np.float32))


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("shape", [(64, 64), (300, 300), (408, 512), (97, 160), (1100, 900)])
def test_a_graph_makes_the_same_pixels(fit: Any, shape: tuple[int, int]) -> None:
    """Weights in single precision would be off by 1e-6, and pixels at .5 by one of 255."""
    preprocessing = Preprocessing(image_size=112, channels=1, fit=fit)
    whole = FromRawPixels(tiny_bundle().classifier, preprocessing)
    whole.forward = whole.preprocess  # type: ignore[method-assign, assignment]
    file, example = io.BytesIO(), torch.rand(2, 3, 149, 235)
    names = {"images": {0: "n", 1: "channels", 2: "rows", 3: "columns"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            whole,
            (example,),
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["images"],
            output_names=["pixels"],
            dynamic_axes=names,
        )
    opened = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    drawn = np.random.default_rng(0).integers(0, 256, (1, *shape)).astype(np.float32) / 255
    (found,) = opened.run(None, {"images": drawn[np.newaxis]})
    gaps = np.abs(found[0] - preprocess(drawn, preprocessing).astype(np.float32))
    assert gaps.max() <= 1
    assert (gaps > 0).mean() < 5e-4  # of sums of many pixels, the order decides


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


def test_no_runtimes_file_tells_where_it_was_made(model: Path, tmp_path: Path) -> None:
    for name in ("m.pt2", "m.onnx", "m.zip"):
        out = export(model, tmp_path / name).out
        parts = [out.read_bytes()]
        if zipfile.is_zipfile(out):
            with zipfile.ZipFile(out) as archive:
                parts = [archive.read(inside) for inside in archive.namelist()]
        for data in parts:
            for told in (b"site-packages", b".py", str(Path.home()).encode() + b"/", b"/tests/"):
                assert told not in data, (name, told)


def test_a_runtimes_file_says_what_it_is(model: Path, tmp_path: Path) -> None:
    words = {"licence": "CC BY 4.0", "intended_use": "Teaching only."}
    export(model, tmp_path / "m.onnx", **words)
    told = session(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    export(model, tmp_path / "m.pt2", **words)
    extra = {"pellucid.json": ""}
    torch.export.load(tmp_path / "m.pt2", extra_files=extra)
    for about in (told, json.loads(extra["pellucid.json"])):
        assert about["licence"] == "CC BY 4.0"
        assert about["intended_use"] == "Teaching only."
        assert about["grey_window"] == "the file's own"
        assert about["pellucid_digest"] == open_files(model).digest


def test_a_setting_without_effect_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fingerprints"):
        export(model, tmp_path / "m.onnx", fingerprints=True)
    with pytest.raises(UsageError, match="not checked on images"):
        export(model, tmp_path / "m.zip", check=[tmp_path])


def test_a_folder_is_asked_from_every_class(model: Path, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(40):
            shade = 10 if name == "a" else 200
            Image.new("L", (4, 4), shade).save(tmp_path / "images" / name / f"{number:02}.png")
    pixels, said = images_to_ask(model, [tmp_path / "images"])
    assert said == "the images given"
    assert 20 <= len(pixels) <= 32
    assert {round(float(one.mean()) * 255) for one in pixels} == {10, 200}


@pytest.mark.parametrize("name", ['a"b', "a b", "ä"])
def test_triton_knows_such_names_only(model: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="after its folder"):
        export(model, tmp_path / name, form="triton")


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


def test_images_given_to_check_are_read_or_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ReadError):
        export(model, tmp_path / "m.onnx", check=[tmp_path / "typo.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(PellucidError):
        export(model, tmp_path / "m.onnx", check=[tmp_path / "empty"])
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ReadError):
        export(model, tmp_path / "m.onnx", check=[tmp_path / "bad.png"])
    assert not (tmp_path / "m.onnx").exists()
    with pytest.raises(UsageError, match="checked on images"):
        check_parity(load_bundle(model), lambda _: [], ([], "the images given"))


def test_what_onnxruntime_refuses_is_said(model: Path) -> None:
    with pytest.raises(UsageError, match="cannot be computed"):
        runtimes.ask_onnx(b"junk", load_bundle(model))


@pytest.mark.parametrize("name", ["m.pt2", "m.onnx"])
def test_a_place_that_cannot_be_written_is_said(model: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        export(model, tmp_path / "file" / name)
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="is a folder, so it is not overwritten"):
        export(model, tmp_path / name, overwrite=True)


def test_a_link_is_not_followed(model: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(model)
    with pytest.raises(UsageError, match="is a link"):
        export(model, tmp_path / "link", overwrite=True)


def test_torch_export_takes_images_longer_than_any_screen(model: Path, tmp_path: Path) -> None:
    Image.new("L", (17_000, 3), 100).save(tmp_path / "long.png")
    done = export(model, tmp_path / "m.pt2", check=[tmp_path / "long.png"])
    assert done.n_images == 1


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
    with pytest.raises(UsageError, match="is a file, so it is not overwritten"):
        export(model, plain, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="a folder of something else"):
        export(model, other, overwrite=True)
    (other / "card.json").write_text("{}")
    with pytest.raises(UsageError, match="a folder of something else"):
        export(model, other, overwrite=True)
    assert (other / "thesis.tex").is_file()
    for form in ("bundle", "triton"):
        for _ in range(2):
            export(model, tmp_path / f"twice_{form}", form=form, overwrite=True)
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
