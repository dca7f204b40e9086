"""The network layer by layer."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from pellucid.network.classifier import NetworkSpec, build_classifier
from pellucid.network.receptive_field import ReceptiveField
from pellucid.network.summary import LayerRow, network_formula, summarise, summary_text
from pellucid.task import Target, Task

TASK = Task(
    targets=(
        Target(name="label", classes=("no", "yes")),
        Target(name="view.side", classes=("a", "b", "c")),
    )
)


def rows_of(name: str, size: int, **options) -> tuple[list[LayerRow], torch.nn.Module, NetworkSpec]:
    spec = NetworkSpec(name=name, channels=3, image_size=size, **options)
    classifier = build_classifier(spec, TASK)
    return summarise(classifier, spec), classifier, spec


@pytest.mark.parametrize("name", ["plain", "resnet18", "vgg11"])
def test_parameters_add_up_and_shapes_follow(name):
    rows, classifier, _ = rows_of(name, 48)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in classifier.parameters())
    assert rows[0].output_shape[1:] == (48, 48)
    pooling = next(row for row in rows if row.name == "pooling")
    assert pooling.output_shape == (classifier.backbone.n_features,)
    assert [row.output_shape for row in rows[-2:]] == [(1,), (3,)]


def test_rows_say_what_the_lecture_says():
    rows, _, _ = rows_of("resnet18", 128)
    first = rows[0]
    assert first == LayerRow(
        "backbone.conv1",
        "Convolution",
        "3→64, kernel 7×7, stride 2, padding 3 (zero), no bias",
        (64, 64, 64),
        9408,
        64 * 64 * 64 * 3 * 7 * 7,
        ReceptiveField(size=7, stride=2, start=0),
    )
    assert [row.kind for row in rows[1:4]] == ["Batch normalisation", "ReLU", "Max pooling"]
    assert rows[3].hyperparameters == "kernel 3×3, stride 2, padding 1"
    assert rows[-3].kind == "Global average pooling"
    assert rows[-1].name == "head of view.side"
    assert rows[-1].hyperparameters == "512→3, bias"


def test_a_layer_used_twice_has_two_rows():
    rows, _, _ = rows_of("resnet18", 64)
    assert [row.name for row in rows].count("backbone.layer1.0.relu") == 2


def test_every_setting_of_a_block_shows():
    blocks = [
        {"channels": 4, "padding_mode": "mirror", "norm": "group", "activation": "leaky_relu"},
        {"channels": 6, "padding_mode": "wrap", "norm": "instance", "pooling": "average"},
        {"channels": 6, "kernel": 1, "norm": "none", "activation": "identity", "pooling": "none"},
    ]
    rows, _, _ = rows_of("plain", 32, blocks=blocks, dropout=0.2, global_pooling="max")
    text = "\n".join(f"{row.kind} {row.hyperparameters}" for row in rows)
    for part in (
        "padding 1 (mirror)", "padding 1 (wrap)", "Group normalisation 4, groups 4",
        "Leaky ReLU slope 0.01", "Instance normalisation 6", "Average pooling kernel 2×2, stride 2",
        "6→6, kernel 1×1, stride 1, padding 0, bias", "Dropout probability 0.2",
        "Global max pooling",
    ):  # fmt: skip
        assert part in text


def test_summary_leaves_the_classifier_as_it_was():
    spec = NetworkSpec(name="plain", channels=3, image_size=32)
    classifier = build_classifier(spec, TASK)
    classifier.backbone[0].eval()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    summarise(classifier, spec)
    assert classifier.training
    assert not classifier.backbone[0].training
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())
    assert not any(module._forward_hooks for module in classifier.modules())
    assert all(p.grad is None for p in classifier.parameters())


def test_the_formula_is_read_from_right_to_left():
    spec = NetworkSpec(name="vgg11", channels=1, image_size=64, dropout=0.5, global_pooling="max")
    assert network_formula(spec) == "f = head ∘ dropout ∘ global max pooling ∘ vgg11"


@pytest.mark.parametrize(("name", "size"), [("plain", 28), ("resnet50", 224), ("vgg11", 224)])
def test_the_table_is_aligned_and_at_most_100_columns(name, size):
    rows, _, spec = rows_of(name, size)
    lines = summary_text(rows, network_formula(spec)).splitlines()
    assert lines[0] == f"f = head ∘ global average pooling ∘ {name}"
    assert len(lines) == len(rows) + 3
    assert max(map(len, lines)) <= 100
    assert "…" not in "".join(lines)
    assert len({len(line) for line in lines[1:]}) == 2  # rows with parameters, rows without
    assert lines[-1].startswith("total")


def test_long_names_are_shortened_from_the_left():
    row = LayerRow("backbone." + "stage." * 30 + "conv", "Convolution", "3→4, " * 20, (4, 8, 8), 12)
    lines = summary_text([row]).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].startswith("…")
    assert "stage.conv " in lines[1]


def test_rows_are_json():
    rows, _, _ = rows_of("plain", 32)
    assert json.loads(json.dumps([asdict(row) for row in rows]))[0]["output_shape"] == [32, 32, 32]
