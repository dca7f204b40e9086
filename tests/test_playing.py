"""`pellucid play`: numbers on the screen, a picture where asked for, and plain refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli import Answer, pellucid
from pellucid.cli import playing as playing

COMMANDS = {
    "convolution": ["IMAGE", "--kernel", "patch:4,5,7"],
    "pooling": ["IMAGE", "--size", "3"],
    "activations": ["relu", "gelu"],
    "collapse": ["IMAGE", "--layers", "2", "--padding-pixels", "1"],
    "augmentations": ["IMAGE", "--policy", "retinal_oct", "--image-size", "32"],
    "cross-entropy": ["--classes", "3"],
    "losses": ["-2", "20"],
    "output": ["-1.5", "2", "0.5"],
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    pixels = np.random.default_rng(0).integers(0, 255, (24, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run(name: str, image: Path, *more: object) -> Answer:
    arguments = [str(image) if word == "IMAGE" else word for word in COMMANDS[name]]
    return pellucid("play", name, *arguments, *more)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_numbers_are_printed_and_the_way_to_the_picture(name: str, image: Path) -> None:
    answer = run(name, image)
    assert answer.code == 0, answer.err
    assert len(answer.out.splitlines()) > 4
    assert "Add --out FILE.png" in answer.out
    assert list(image.parent.iterdir()) == [image]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_json_is_one_document_and_out_is_a_picture(name: str, image: Path) -> None:
    out = image.parent / "picture.svg"
    answer = run(name, image, "--json", "--out", out)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["picture"] == str(out)
    text = out.read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    assert "</svg>" in text
    again = run(name, image, "--out", out)
    assert again.code == 2
    assert "--overwrite" in again.err


def test_a_png_is_a_png_and_may_be_replaced(image: Path) -> None:
    out = image.parent / "picture.png"
    for _ in range(2):
        assert run("pooling", image, "--out", out, "--overwrite").code == 0
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1400


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convolution", "phantom:oc"], 'Did you mean "phantom:oct"'),
        (["convolution", "no.png"], "no such file"),
        (["convolution", "IMAGE", "--kernel", "sobell"], "Did you mean"),
        (["convolution", "IMAGE", "--padding-pixels", "x"], 'or "same"'),
        (["convolution", "IMAGE", "--stride", "0"], "at least 1"),
        (["pooling", "IMAGE", "--out", "x.jpg"], ".png or a .svg"),
        (["collapse", "IMAGE", "--layers", "8", "--stride", "2"], "at least one pixel"),
        (["losses", "--jsn"], '"--jsn"'),
        (["output", "one"], "Logits are numbers"),
    ],
)
def test_wrong_use_is_one_plain_message(image: Path, arguments: list[str], words: str) -> None:
    answer = pellucid("play", *(str(image) if word == "IMAGE" else word for word in arguments))
    assert answer.code == 2
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_a_phantom_is_drawn_where_it_is_named() -> None:
    answer = pellucid("play", "pooling", "phantom:chest", "--json")
    assert json.loads(answer.out)["image_size"] == [128, 128]


def test_a_grey_picture_stored_in_colour_is_played_with_as_grey(tmp_path: Path) -> None:
    from pellucid.playground.subject import read_subject

    pixels = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    Image.fromarray(pixels[..., [0, 0, 0]]).save(tmp_path / "grey.png")
    colour, grey = (read_subject(str(tmp_path / f"{name}.png")) for name in ("colour", "grey"))
    assert colour.for_network(16).shape == (3, 16, 16)
    assert grey.for_network(16).shape == (1, 16, 16)
    np.testing.assert_allclose(grey.grey, pixels[..., 0] / 255, atol=1e-6)
    luma = pixels @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(colour.grey, luma, atol=1e-6)
    assert colour.name == "colour.png"
