"""Anatomy: totals that are published, stages, the effective field, the pictures, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cli import pellucid
from pellucid.errors import PlanError, UsageError
from pellucid.explanation.anatomy import anatomy, build_network
from pellucid.explanation.effective_field import effective_receptive_field
from pellucid.reporting.drawing.anatomy_plots import (
    draw_anatomy,
    draw_effective_field,
    draw_fields,
    draw_growth,
)


def test_multiply_adds_are_the_published_ones() -> None:
    """Torchvision's cards: ResNet-34 3.66 G with a head of 1,000; VGG-16 15.47 G with its own."""
    resnet = anatomy(build_network("resnet34", 224))
    assert round((resnet.multiply_adds + 512 * 999) / 1e9, 2) == 3.66
    vgg = anatomy(build_network("vgg16", 224))
    its_head = 25_088 * 4_096 + 4_096 * 4_096 + 4_096 * 1_000
    assert round((vgg.multiply_adds - 512 + its_head) / 1e9, 2) == 15.47
    assert resnet.parameters == 21_284_672 + 513


def test_stages_are_what_the_lecture_draws() -> None:
    stages = anatomy(build_network("resnet34", 224)).stages
    assert [stage.name for stage in stages] == [
        "conv1", "maxpool", "layer1", "layer2", "layer3", "layer4", "global pooling", "head",
    ]  # fmt: skip
    assert [stage.n_blocks for stage in stages[2:6]] == [3, 4, 6, 3]
    assert [stage.n_convolutions for stage in stages[2:6]] == [6, 8, 12, 6]
    assert [stage.shape for stage in stages[5:]] == [(512, 7, 7), (512,), (1,)]
    assert stages[5].receptive_field.size == 899
    vgg = anatomy(build_network("vgg16", 224)).stages
    assert [stage.n_convolutions for stage in vgg if stage.kind == "convolution"] == [2, 2, 3, 3, 3]
    assert sum(stage.kind == "pooling" for stage in vgg) == 5


def test_rows_add_up_and_are_json() -> None:
    found = anatomy(build_network("plain", 32, 1))
    document = json.loads(json.dumps(found.to_json()))
    assert sum(row["parameters"] for row in document["rows"]) == document["parameters"]
    assert sum(stage["multiply_adds"] for stage in document["stages"]) == found.multiply_adds
    first, last = document["rows"][0], document["rows"][-1]
    assert first["receptive_field"]["size"] == 3
    assert first["share_of_image"] == pytest.approx((3 / 32) ** 2)
    assert last["share_of_image"] == 1
    assert "multiply-adds an image" in found.describe()


def test_the_effective_field_lies_inside_the_exact_one() -> None:
    classifier = build_network("plain", 48, 1)
    found = effective_receptive_field(classifier, "1", n_random=4)
    assert found.exact is not None
    low, high = found.exact.bounds(found.unit[0])
    inside = found.gradient[int(low) : int(high) + 1, int(low) : int(high) + 1]
    assert inside.sum() == pytest.approx(found.gradient.sum())
    assert 1 < found.size <= found.exact.size + 1
    again = effective_receptive_field(classifier, "1", n_random=4)
    assert np.array_equal(found.gradient, again.gradient)
    assert all(p.grad is None for p in classifier.parameters())


def test_one_convolution_listens_to_all_of_its_kernel() -> None:
    classifier = build_network("plain", 16, 1)
    with torch.no_grad():
        classifier.backbone[0].conv.weight.fill_(1.0)
    found = effective_receptive_field(classifier, "0.conv", n_random=1)
    row, column = found.unit
    expected = np.zeros((16, 16))
    expected[row - 1 : row + 2, column - 1 : column + 2] = 32  # channels
    assert np.allclose(found.gradient, expected)
    assert found.size == 3


@pytest.mark.parametrize(
    ("layer", "options"), [("pooled", {}), ("nothing", {}), ("0", {"n_random": 0})]
)
def test_what_has_no_effective_field_is_refused(layer: str, options: dict) -> None:
    with pytest.raises(UsageError):
        effective_receptive_field(build_network("plain", 16, 1), layer, **options)


def test_pictures_hold_what_they_show() -> None:
    document = anatomy(build_network("resnet18", 64, 1)).to_json()
    words = " ".join(text.get_text() for text in draw_anatomy(document).axes[0].texts)
    for part in ("layer1", "4 conv 3×3", "2 blocks", "sees 7 px", "512 × 2 × 2", "sees all"):
        assert part in words
    curve = draw_growth(document).axes[0].lines[0].get_ydata()
    assert list(curve) == sorted(curve)
    assert curve[-1] == 435  # ResNet-18 by the recursion
    boxes = draw_fields(np.zeros((20, 20)), [("a", 3), ("b", 25)]).axes[0].patches
    assert [box.get_width() for box in boxes] == [3, 25]
    figure = draw_effective_field(np.eye(9), (4, 4), (5, None), "layer1")
    assert figure.axes[0].get_title(loc="left").startswith("layer1")


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    out = tmp_path / "anatomy"
    arguments = ("plain", "--image-size", 32, "--channels", 1, "--effective", "1", "--out", out)
    answer = pellucid("anatomy", *arguments)
    assert answer.code == 0, answer.err
    assert "f = head ∘ global average pooling ∘ plain" in answer.out
    assert "95 %" in answer.out
    names = {path.name for path in out.iterdir()}
    assert names == {
        "anatomy.json", "anatomy.svg", "receptive_field.svg", "effective_field.svg",
    }  # fmt: skip
    assert pellucid("anatomy", *arguments).code == 2
    answer = pellucid("anatomy", *arguments, "--overwrite", "--json")
    assert json.loads(answer.out)["effective"]["layer"] == "1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("resnet43",), "did you mean"),
        (("vgg16", "--image-size", 8), "32×32"),
        (("plain", "--effective", "layer9"), "layer9"),
    ],
)
def test_bad_input_gets_one_plain_message(arguments: tuple, words: str) -> None:
    answer = pellucid("anatomy", *arguments)
    assert answer.code == 2
    assert answer.err.startswith("Error: ")
    assert words.lower() in answer.err.lower()
    assert "Traceback" not in answer.err


def test_an_unknown_network_is_a_plan_error() -> None:
    with pytest.raises(PlanError):
        build_network("resnet43")


def test_a_file_in_the_place_of_the_folder_is_a_plain_error(tmp_path: Path) -> None:
    place = tmp_path / "taken"
    place.write_text("kept")
    answer = pellucid("anatomy", "plain", "--image-size", "32", "--out", place, "--overwrite")
    assert answer.code == 2
    assert "cannot be written" in answer.err
    assert "Traceback" not in answer.err
    assert place.read_text() == "kept"
