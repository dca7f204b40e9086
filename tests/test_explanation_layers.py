"""Layers by name: found, listed as stages, and captured without leaving a trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attribution_cases import make_bundle
from pellucid.errors import UsageError
from pellucid.explanation.layers import (
    BACKBONE,
    LOGITS,
    POOLED,
    capture,
    find_modules,
    full_name,
    last_convolutional_layer,
    layer_names,
    stages,
)
from pellucid.network.classifier import evaluating, head_name

STAGES = {
    "plain": ["0", "1"],
    "vgg11": [f"features.{k}" for k in (1, 4, 9, 14, 19, 20)],
    "resnet18": ["relu", "layer1", "layer2", "layer3", "layer4"],
    "timm:resnet10t": ["model.act1", *(f"model.layer{k}" for k in (1, 2, 3, 4))],
}


def image_for(bundle, n=2):
    size = bundle.spec.image_size
    shape = (n, bundle.spec.channels, size, size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", STAGES)
def test_stages_lead_from_the_first_layer_to_what_is_pooled(name):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    bundle = make_bundle(name, size=32, channels=3)
    x = image_for(bundle)
    found = stages(bundle.classifier, bundle.spec)
    assert found == STAGES[name]
    assert last_convolutional_layer(bundle.classifier) == found[-1]
    outputs = capture(bundle.classifier, x, [*found, POOLED, LOGITS, BACKBONE])
    sides = [outputs[stage].shape[2] for stage in found]
    assert sides == sorted(sides, reverse=True)
    with torch.no_grad():
        assert torch.equal(outputs[found[-1]], bundle.classifier.features(x))
        assert torch.equal(outputs[LOGITS], bundle.classifier(x))
    assert torch.equal(outputs[POOLED], outputs[found[-1]].mean(dim=(2, 3)))


def test_a_layer_is_found_by_its_short_and_its_full_name():
    classifier = make_bundle("resnet18", size=32).classifier
    assert find_modules(classifier, "layer4.1.bn2") == [classifier.backbone.layer4[1].bn2]
    assert find_modules(classifier, "backbone.layer4.1.bn2") == [classifier.backbone.layer4[1].bn2]
    assert full_name(classifier, "layer1") == "backbone.layer1"
    assert "layer1.0.conv1" in layer_names(classifier)


def test_a_wrong_name_tells_the_nearest_and_the_stages():
    classifier = make_bundle("resnet18", size=32).classifier
    with pytest.raises(UsageError, match=r'"layer4".*relu, layer1, layer2, layer3, layer4'):
        find_modules(classifier, "layr4")
    with pytest.raises(UsageError, match="no such layer"):
        find_modules(classifier, "")


def test_the_classifier_is_left_as_it_was_also_when_it_fails():
    classifier = make_bundle().classifier.train()
    classifier.backbone[0].eval()
    modes = [module.training for module in classifier.modules()]
    capture(classifier, image_for(make_bundle()), ["0", LOGITS], gradients=True)
    with pytest.raises(RuntimeError):
        capture(classifier, torch.zeros(1, 7, 16, 16), ["0"])
    assert [module.training for module in classifier.modules()] == modes
    assert not any(module._forward_hooks for module in classifier.modules())
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_what_runs_later_in_place_does_not_reach_an_output():
    classifier = make_bundle().classifier
    x = image_for(make_bundle())
    before = capture(classifier, x, ["0.norm"])["0.norm"]
    assert (before < 0).any()
    classifier.backbone[0].activation = nn.ReLU(inplace=True)
    assert torch.equal(capture(classifier, x, ["0.norm"])["0.norm"], before)
    outputs = capture(classifier, x, ["0.norm", LOGITS], gradients=True)
    (slope,) = torch.autograd.grad(outputs[LOGITS].sum(), [outputs["0.norm"]])
    assert torch.equal(outputs["0.norm"], before)
    assert slope.abs().sum() > 0


def test_gradients_reach_a_layer_where_all_parameters_are_frozen():
    bundle = make_bundle()
    bundle.classifier.requires_grad_(False)
    outputs = capture(bundle.classifier, image_for(bundle), ["1", LOGITS], gradients=True)
    (slope,) = torch.autograd.grad(outputs[LOGITS].sum(), [outputs["1"]])
    weight = bundle.classifier.heads[head_name("label")].weight
    expected = weight[0] / outputs["1"][0, 0].numel()
    assert torch.allclose(slope[0, :, 0, 0], expected)


def test_gradients_reach_an_image_that_asks_for_them():
    bundle = make_bundle()
    x = image_for(bundle).requires_grad_()
    outputs = capture(bundle.classifier, x, ["0"], gradients=True)
    (slope,) = torch.autograd.grad(outputs["0"].sum(), [x])
    assert slope.shape == x.shape
    assert not capture(bundle.classifier, x, ["0"])["0"].requires_grad


def test_of_a_layer_that_runs_twice_the_last_run_counts():
    bundle = make_bundle("resnet18", size=32)
    outputs = capture(bundle.classifier, image_for(bundle), ["layer1.0.relu", "layer1.0"])
    assert torch.equal(outputs["layer1.0.relu"], outputs["layer1.0"])


def test_a_layer_without_a_map_is_refused():
    classifier = make_bundle().classifier
    x = image_for(make_bundle())
    classifier.backbone[0].spare = nn.Conv2d(1, 1, 1)
    with pytest.raises(UsageError, match="does not run"):
        capture(classifier, x, ["0.spare"])
    classifier.backbone.append(nn.Flatten(2))
    classifier.backbone.append(nn.Unflatten(2, (1, -1)))
    with pytest.raises(UsageError, match=r"gives no map .* the shape"):
        capture(classifier, x, ["2"])


def test_evaluating_puts_each_mode_back():
    block = nn.Sequential(nn.Dropout(), nn.Dropout()).train()
    block[0].eval()
    with evaluating(block):
        assert not any(module.training for module in block.modules())
    assert [module.training for module in block] == [False, True]
