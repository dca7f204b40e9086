"""The classifier and its spec: shapes, seeds, names, mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from pellucid.errors import PlanError
from pellucid.network.classifier import (
    Block,
    NetworkSpec,
    build_classifier,
    head_name,
    minimum_image_size,
    normalise,
    target_name,
)
from pellucid.task import Target, Task

TASKS = {
    "one logit": Task(targets=(Target(name="label", classes=("no", "yes")),)),
    "two logits": Task(targets=(Target(name="label", classes=("no", "yes"), n_logits=2),)),
    "four classes": Task(
        targets=(Target(name="label", classes=("CNV", "DME", "DRUSEN", "NORMAL")),)
    ),
    "targets": Task(
        targets=(
            Target(name="label", classes=("no", "yes")),
            Target(name="view.side", classes=("a", "b", "c")),
            Target(name="type", classes=("no", "yes"), n_logits=2),
        )
    ),
}
ONE = TASKS["one logit"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads on cores that other tests use too wait for each other ten times longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def spec(name: str = "plain", size: int = 16, channels: int = 1, **options) -> NetworkSpec:
    return NetworkSpec(name=name, channels=channels, image_size=size, **options)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_plain_forward_and_backward_at_the_minimum_size(channels, task):
    check_forward_and_backward("plain", channels, task)


@pytest.mark.parametrize(
    ("name", "channels"), [("vgg11", 1), ("vgg11_bn", 3), ("resnet18", 1), ("resnet50", 3)]
)
def test_forward_and_backward_at_the_minimum_size(name, channels):
    check_forward_and_backward(name, channels, TASKS["targets"])


def check_forward_and_backward(name: str, channels: int, task: Task) -> None:
    size = minimum_image_size(spec(name, 32))
    classifier = build_classifier(spec(name, size, channels, dropout=0.2), task)
    logits = classifier(torch.randn(2, channels, size, size))
    assert logits.shape == (2, task.n_logits)
    logits.square().sum().backward()
    gradients = [p.grad for p in classifier.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_logits_stand_in_the_order_of_the_tasks_slices():
    task = TASKS["targets"]
    classifier = build_classifier(spec(), task).eval()
    x = torch.randn(2, 1, 16, 16)
    logits, pooled = classifier(x), classifier.pooling(classifier.features(x))
    for name, columns in task.slices().items():
        torch.testing.assert_close(logits[:, columns], classifier.heads[head_name(name)](pooled))


def test_features_are_the_map_before_pooling():
    classifier = build_classifier(spec("resnet18", 28), ONE)
    assert classifier.features(torch.randn(2, 1, 28, 28)).shape == (2, 512, 4, 4)


def test_global_pooling_is_as_asked():
    maximum = build_classifier(spec(global_pooling="max"), ONE).eval()
    average = build_classifier(spec(), ONE).eval()
    x = torch.randn(2, 1, 16, 16)
    assert torch.equal(maximum.features(x), average.features(x))
    assert not torch.equal(maximum(x), average(x))


def test_the_seed_decides_the_weights_and_leaves_the_global_state():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (build_classifier(spec(), ONE, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.heads["label"].weight, other.heads["label"].weight)


def test_weights_are_taken_over_and_reported(tmp_path):
    source = build_classifier(spec(), ONE, seed=1)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    classifier = build_classifier(spec(), ONE, weights=str(tmp_path / "w.pt"), seed=2)
    for name, value in classifier.backbone.named_parameters():
        assert torch.equal(value, source.backbone.get_parameter(name))
    assert not torch.equal(classifier.heads["label"].weight, source.heads["label"].weight)
    assert classifier.loaded is not None
    assert "tensors from" in classifier.loaded.describe()


@pytest.mark.parametrize(
    "name",
    ["label", "a.b", "type", "keys", "training", "100 %", "%2E", "%74ype", "", "%", "größe", "a/b"],
)
def test_any_target_name_can_be_a_head(name):
    assert target_name(head_name(name)) == name
    module = torch.nn.ModuleDict({head_name(name): torch.nn.Linear(1, 1)})
    assert head_name(name) in module


def test_head_names_differ_where_target_names_differ():
    names = ["", "%", "%25", ".", "%2E", "type", "%74ype"]
    assert len({head_name(name) for name in names}) == len(names)


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (0.25,)), ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))])
def test_normalise_is_its_formula_and_its_numpy_twin(mean, std):
    preprocessing = pytest.importorskip("pellucid.images.preprocessing")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    ours = normalise(torch.from_numpy(pixels), mean, std)
    assert ours.dtype == torch.float32
    by_hand = (pixels / 255 - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))
    np.testing.assert_allclose(ours.numpy(), by_hand, rtol=1e-5, atol=1e-6)
    settings = preprocessing.Preprocessing(image_size=4, channels=3, mean=mean, std=std)
    twin = preprocessing.normalise(pixels, settings)
    np.testing.assert_allclose(ours.numpy(), twin, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("vgg11", 28, "vgg11 needs images of at least 32×32 pixels, got 28. "
         "Use --set image_size=32 or --set network=resnet18."),
        ("resnet18", 7, "resnet18 needs images of at least 8×8 pixels, got 7. "
         "Use --set image_size=8."),
        ("plain", 7, "plain needs images of at least 8×8 pixels, got 7. Use --set image_size=8."),
    ],
)  # fmt: skip
def test_an_image_smaller_than_the_network_needs(name, size, message):
    with pytest.raises(PlanError) as caught:
        build_classifier(spec(name, size), ONE)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "resnet81"}, 'Did you mean "resnet18"'),
        ({"name": "netwrok"}, "Known: plain"),
        ({"name": "plain", "chanels": 1}, 'Did you mean "channels"'),
        ({"name": "plain", "channels": 0}, "channels: .* got 0"),
        ({"name": "plain", "dropout": 1.0}, "dropout: .* got 1.0"),
        ({"name": "plain", "global_pooling": "median"}, "global_pooling: .*'average' or 'max'"),
        ({"name": "vgg11", "small_stem": True}, "Only a ResNet has a small stem"),
        ({"name": "vgg11", "blocks": [{"channels": 3}]}, "made of blocks"),
        ({"name": "plain", "blocks": [{"channels": 3, "kernal": 3}]}, 'Did you mean "kernel"'),
        ({"name": "plain", "blocks": [{"channels": 3, "kernel": 4}]}, "odd kernel, got 4"),
        ({}, "NetworkSpec needs 'name'"),
    ],
)
def test_mistakes_in_a_spec(fields, message):
    with pytest.raises(PlanError, match=message):
        NetworkSpec.model_validate({"channels": 1, "image_size": 32, **fields})


def test_a_missing_field_is_named():
    with pytest.raises(PlanError, match="NetworkSpec needs 'channels'"):
        NetworkSpec(name="plain", image_size=32)


def test_blocks_that_fit_no_image():
    impossible = [Block(channels=1, kernel=3, padding=0, stride=16)] * 6
    with pytest.raises(PlanError, match="fit no image"):
        minimum_image_size(spec(blocks=impossible))


def test_a_spec_survives_json_and_builds_the_same_network():
    for original in (spec(), spec("resnet18", 28), spec("plain", 32, blocks=[Block(channels=3)])):
        again = NetworkSpec.model_validate_json(original.model_dump_json())
        assert again == original
        build_classifier(again, ONE).load_state_dict(build_classifier(original, ONE).state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "rate"), [("plain", 16, 0.05), ("vgg11", 32, 0.01), ("resnet18", 8, 0.05)]
)
def test_each_network_learns(name, size, rate):
    """Bright against dark upper halves, a few steps of SGD at the rates that suit each network."""
    torch.manual_seed(0)
    y = torch.arange(16) % 2
    x = torch.randn(16, 1, size, size)
    x[:, :, : size // 2] += 2 * y.view(-1, 1, 1, 1) - 1
    classifier = build_classifier(spec(name, size), ONE)
    optimiser = torch.optim.SGD(classifier.parameters(), rate, momentum=0.9)
    for _ in range(12):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(classifier(x)[:, 0], y.float())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        optimiser.step()
    assert loss < 0.3
