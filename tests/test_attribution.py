"""Attribution: each method against a definition worked out another way, and what it is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from attribution_cases import GOALS, TASKS, make_bundle, make_pixels
from pellucid.bundle import Bundle
from pellucid.errors import MissingPackage, UsageError
from pellucid.explanation.attribution import attribute as module
from pellucid.explanation.attribution.attribute import METHODS, Attribution, attribute
from pellucid.explanation.attribution.grad_cam import default_layer
from pellucid.explanation.goals import Goal
from pellucid.explanation.layers import capture
from pellucid.network.classifier import build_classifier, normalise
from pellucid.prediction import predict_logits

YES, NO = Goal("label", "yes"), Goal("label", "no")
QUICK = {"integrated_gradients": {"steps": 8}, "occlusion": {"window": 8, "stride": 8}}


@pytest.fixture(autouse=True)
def _captum(request):
    """Occlusion is captum's: its tests are skipped where the extra is not installed."""
    if "occlusion" in request.node.name:
        pytest.importorskip("captum")


def logits_of(bundle: Bundle, pixels: np.ndarray) -> np.ndarray:
    return predict_logits(bundle.classifier, pixels, bundle.preprocessing).astype(np.float64)


# --- each method, by its definition ---------------------------------------------------------------


def test_grad_cam_before_average_pooling_is_the_class_activation_map():
    """Selvaraju et al. 2017, section 3.1: there the weights are the head's, divided by h · w."""
    bundle = make_bundle(task="four classes")
    pixels = make_pixels(bundle)
    x = normalise(torch.from_numpy(pixels), (0.4,), (0.25,))
    maps = capture(bundle.classifier, x, ["backbone"])["backbone"]
    upsample = torch.nn.Upsample(size=(16, 16), mode="bilinear")
    n_positive = 0
    for code, label in enumerate("abcd"):
        values = attribute(bundle, pixels, Goal("label", label), layer="backbone").values
        weight = bundle.classifier.heads["label"].weight[code].detach() / maps[0, 0].numel()
        coarse = torch.relu(torch.einsum("k,nkij->nij", weight, maps))
        np.testing.assert_allclose(values, upsample(coarse[:, None])[:, 0], atol=1e-6)
        n_positive += int((coarse > 0).sum())
    assert n_positive > 30


def test_occlusion_is_the_fall_of_the_score_under_a_cover():
    """Quarters covered by hand in the pixels, and predicted as any image is."""
    bundle = make_bundle(channels=3, task="four classes")
    pixels = make_pixels(bundle)
    goal = Goal("label", "c")
    got = attribute(bundle, pixels, goal, "occlusion", window=8, stride=8, baseline="black")
    scores = logits_of(bundle, pixels)[:, 2]
    np.testing.assert_allclose(got.scores, scores, atol=1e-5)
    for rows in (slice(0, 8), slice(8, 16)):
        for columns in (slice(0, 8), slice(8, 16)):
            covered = pixels.copy()
            covered[:, :, rows, columns] = 0
            fall = scores - logits_of(bundle, covered)[:, 2]
            expected = np.broadcast_to(fall[:, None, None], (3, 8, 8))
            np.testing.assert_allclose(got.values[:, rows, columns], expected, atol=1e-5)


def test_where_windows_of_occlusion_overlap_the_mean_counts():
    bundle = make_bundle()
    pixels = make_pixels(bundle, 1)
    got = attribute(bundle, pixels, YES, "occlusion", window=8, stride=4, baseline=1.0)
    score = logits_of(bundle, pixels)[0, 0]
    falls = []
    for row in (0, 4):
        for column in (0, 4):
            covered = pixels.copy()
            covered[:, :, row : row + 8, column : column + 8] = 255
            falls.append(score - logits_of(bundle, covered)[0, 0])
    np.testing.assert_allclose(got.values[0, 4:8, 4:8], np.mean(falls), atol=1e-5)
    np.testing.assert_allclose(got.values[0, 0:4, 0:4], falls[0], atol=1e-5)


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients"])
def test_of_a_linear_network_every_pixel_has_its_exact_share(method):
    linear = {"activation": "identity", "pooling": "average"}
    bundle = make_bundle(blocks=({"channels": 3, **linear}, {"channels": 4, **linear}))
    pixels = make_pixels(bundle)
    got = attribute(bundle, pixels, NO, method, baseline="black")
    assert np.abs(got.completeness_errors).max() < 1e-5
    without = pixels.copy()
    without[:, :, :8] = 0
    upper = -(logits_of(bundle, pixels) - logits_of(bundle, without))[:, 0]
    np.testing.assert_allclose(got.values[:, :8].sum(axis=(1, 2)), upper, atol=1e-5)


def test_integrated_gradients_add_up_to_the_score():
    """Completeness: within 1e-5 of the score of a smooth network, within 2 % of one with kinks."""
    smooth = {"activation": "gelu", "pooling": "average"}
    kinks = {"activation": "relu", "pooling": "max"}
    for kind, share in ((smooth, 1e-5), (kinks, 0.02)):
        bundle = make_bundle(blocks=({"channels": 6, **kind}, {"channels": 8, **kind}))
        got = attribute(bundle, make_pixels(bundle), YES, "integrated_gradients", steps=100)
        difference = got.scores - got.baseline_scores
        assert np.abs(difference).min() > 0.05
        assert np.all(np.abs(got.completeness_errors) < share * np.abs(difference))


def test_the_baseline_scores_are_those_of_the_baseline_image():
    bundle = make_bundle(channels=3, task="targets")
    goals = [*GOALS["targets"]]
    got = attribute(bundle, make_pixels(bundle), goals, "gradient_x_input", baseline="black")
    logits = logits_of(bundle, np.zeros((1, 3, 16, 16), np.uint8))[0]
    expected = [sign * logits[column] for sign, column in GOALS["targets"].values()]
    np.testing.assert_allclose(got.baseline_scores, expected, atol=1e-5)


# --- equal to captum, for every network, head and number of channels ------------------------------

NETWORKS = {"plain": 32, "vgg11": 32, "resnet34": 64, "timm:test_efficientnet": 64}


def oracle(bundle: Bundle, x: torch.Tensor, sign: int, column: int, layer: str) -> dict:
    """What captum gives for one column of the output, summed over channels."""
    from captum.attr import (
        InputXGradient,
        IntegratedGradients,
        LayerAttribution,
        LayerGradCam,
        Occlusion,
    )

    def score(images):
        return sign * bundle.classifier(images)[:, column]

    size, n_channels = bundle.spec.image_size, bundle.spec.channels
    place = bundle.classifier.get_submodule(f"backbone.{layer}")
    coarse = LayerGradCam(score, place).attribute(x, relu_attributions=True)
    window = (n_channels, size // 2, size // 2)
    return {
        "grad_cam": LayerAttribution.interpolate(coarse, (size, size), "bilinear")[:, 0],
        "integrated_gradients": IntegratedGradients(score).attribute(x, n_steps=4).sum(dim=1),
        "gradient_x_input": InputXGradient(score).attribute(x).sum(dim=1),
        "occlusion": Occlusion(score).attribute(x, window, strides=window).mean(dim=1),
    }


def pairings() -> list[tuple[str, str, int]]:
    """Every network with every task and both channels; the deep ones with one of them a task."""
    both = [(name, task, n) for name in ("plain", "vgg11") for task in TASKS for n in (1, 3)]
    deep = ("resnet34", "timm:test_efficientnet")
    return both + [(name, task, 1 + 2 * (i % 2)) for name in deep for i, task in enumerate(TASKS)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task", "channels"), pairings())
def test_equal_to_captum_within_1e4_of_the_largest_value(name, task, channels):
    pytest.importorskip("captum")
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    bundle = make_bundle(name, NETWORKS[name], channels, task)
    pixels, half = make_pixels(bundle, 1), NETWORKS[name] // 2
    x = normalise(torch.from_numpy(pixels), bundle.preprocessing.mean, bundle.preprocessing.std)
    layer = default_layer(bundle.classifier)
    options = {"integrated_gradients": {"steps": 4}, "occlusion": {"window": half, "stride": half}}
    speaking = 0
    for goal, (sign, column) in GOALS[task].items():
        expected = oracle(bundle, x.clone().requires_grad_(), sign, column, layer)
        for method in METHODS:
            got = attribute(bundle, pixels, goal, method, **options.get(method, {}))
            theirs = expected[method].detach().numpy()
            scale = np.abs(theirs).max()
            assert got.values.shape == theirs.shape
            assert np.abs(got.values - theirs).max() <= 1e-4 * scale
            assert method == "grad_cam" or scale > 0
            speaking += method == "grad_cam" and scale > 0
    assert speaking, "every Grad-CAM was 0, so that their being equal says nothing"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("plain", ["0", "0.conv", "1.activation", "backbone"]),
        ("vgg11", ["features.0", "backbone.features.8", "features.20"]),
        ("resnet34", ["relu", "layer1.0.conv1", "backbone.layer3.5.bn2", "layer4.2.relu"]),
        ("timm:test_efficientnet", ["conv_stem", "model.blocks.1", "blocks.3"]),
    ],
)
def test_grad_cam_of_any_layer_by_its_name(name, layers):
    captum = pytest.importorskip("captum.attr")
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    bundle = make_bundle(name, NETWORKS[name], 1, "one logit")
    pixels = make_pixels(bundle, 2)
    x = normalise(torch.from_numpy(pixels), (0.4,), (0.25,)).requires_grad_()

    def score(images):
        return torch.tensor([1.0, -1.0]) * bundle.classifier(images)[:, 0]

    for layer in layers:
        got = attribute(bundle, pixels, [YES, NO], layer=layer)
        short = layer.removeprefix("backbone.")
        inside = "backbone.model." if name.startswith("timm:") else "backbone."
        full = short if short == "backbone" else inside + short.removeprefix("model.")
        place = bundle.classifier.get_submodule(full)
        coarse = captum.LayerGradCam(score, place).attribute(x, relu_attributions=True)
        size = NETWORKS[name]
        fine = captum.LayerAttribution.interpolate(coarse, (size, size), "bilinear")[:, 0].detach()
        assert got.layer == layer
        assert got.values.max() > 0
        np.testing.assert_allclose(got.values, fine, atol=1e-4 * float(fine.max()))


# --- what every method keeps ----------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_its_images_and_a_second_time_the_first(method):
    bundle = make_bundle(channels=3, task="targets")
    pixels, goals = make_pixels(bundle), list(GOALS["targets"])
    options = QUICK.get(method, {})
    together = attribute(bundle, pixels, goals, method, **options)
    again = attribute(bundle, pixels, goals, method, **options)
    np.testing.assert_array_equal(together.values, again.values)
    for i, goal in enumerate(goals):
        alone = attribute(bundle, pixels[i : i + 1], goal, method, **options)
        scale = np.abs(alone.values).max()
        assert np.abs(alone.values[0] - together.values[i]).max() <= 1e-5 * scale
    assert together.values.dtype == np.float32
    assert together.values.shape == (3, 16, 16)
    assert together.scores.dtype == np.float64
    logits = logits_of(bundle, pixels)
    columns = GOALS["targets"].values()
    expected = [sign * logits[i, column] for i, (sign, column) in enumerate(columns)]
    np.testing.assert_allclose(together.scores, expected, atol=1e-5)
    assert together.goals == tuple(goals)
    assert (together.layer == "") == (method != "grad_cam")


@pytest.mark.parametrize("method", METHODS)
def test_small_batches_change_nothing(method, monkeypatch):
    bundle = make_bundle()
    pixels = make_pixels(bundle, 5)
    whole = attribute(bundle, pixels, YES, method, **QUICK.get(method, {}))
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    seen = []
    parts = attribute(
        bundle,
        pixels,
        YES,
        method,
        progress=lambda *counts: seen.append(counts),
        **QUICK.get(method, {}),
    )
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-6)
    done = [2, 4, 5] if method in ("grad_cam", "gradient_x_input") else [1, 2, 3, 4, 5]
    assert seen == [(k, 5) for k in done]


def state_of(bundle: Bundle) -> tuple:
    classifier = bundle.classifier
    return (
        {name: value.clone() for name, value in classifier.state_dict().items()},
        [m.training for m in classifier.modules()],
        [(p.requires_grad, p.grad) for p in classifier.parameters()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in classifier.modules()],
        [len(m._backward_hooks) for m in classifier.modules()],
        torch.is_grad_enabled(),
        torch.random.get_rng_state().tolist(),
    )


def is_same(before: tuple, after: tuple) -> bool:
    weights = all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    return weights and before[1:] == after[1:]


@pytest.mark.parametrize("mode", ["grad", "no_grad", "inference"])
@pytest.mark.parametrize("method", METHODS)
def test_the_classifier_is_left_as_it_was(method, mode):
    bundle = make_bundle()
    bundle.classifier.train()
    bundle.classifier.backbone[0].eval()
    for parameter in bundle.classifier.backbone[1].parameters():
        parameter.requires_grad_(False)
    pixels = make_pixels(bundle)
    expected = attribute(bundle, pixels, YES, method, **QUICK.get(method, {})).values
    contexts = {"grad": torch.enable_grad, "no_grad": torch.no_grad}
    with contexts.get(mode, torch.inference_mode)():
        before = state_of(bundle)
        got = attribute(bundle, pixels, YES, method, **QUICK.get(method, {})).values
        assert is_same(before, state_of(bundle))
        assert torch.is_inference_mode_enabled() == (mode == "inference")
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("method", METHODS)
def test_also_when_an_error_ends_it(method):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    bundle = make_bundle()
    bundle.classifier.train()
    before = state_of(bundle)
    pixels = make_pixels(bundle)
    with pytest.raises(KeyboardInterrupt):
        attribute(bundle, pixels, YES, method, progress=interrupt, **QUICK.get(method, {}))
    assert is_same(before, state_of(bundle))
    handle = bundle.classifier.pooling.register_forward_hook(lambda *_: 1 / 0)
    before = state_of(bundle)
    with pytest.raises(ZeroDivisionError):
        attribute(bundle, pixels, YES, method, **QUICK.get(method, {}))
    assert is_same(before, state_of(bundle))
    handle.remove()


@pytest.mark.parametrize("method", METHODS)
def test_a_classifier_made_in_inference_mode_can_be_explained(method):
    usual = make_bundle()
    with torch.inference_mode():
        classifier = build_classifier(usual.spec, usual.task).eval()
        classifier.load_state_dict(usual.classifier.state_dict())
    assert all(parameter.is_inference() for parameter in classifier.parameters())
    frozen = Bundle(classifier, usual.spec, usual.task, usual.preprocessing, {})
    pixels = make_pixels(usual)
    expected = attribute(usual, pixels, YES, method, **QUICK.get(method, {}))
    got = attribute(frozen, pixels, YES, method, **QUICK.get(method, {}))
    np.testing.assert_array_equal(got.values, expected.values)


def test_read_only_pixels_will_do():
    bundle = make_bundle()
    pixels = make_pixels(bundle)
    expected = attribute(bundle, pixels, YES).values
    pixels.flags.writeable = False
    np.testing.assert_array_equal(attribute(bundle, pixels, YES).values, expected)


# --- where a map says nothing ---------------------------------------------------------------------


def test_a_map_that_the_relu_cut_to_nothing_is_told():
    bundle = make_bundle()
    with torch.no_grad():
        bundle.classifier.heads["label"].weight.fill_(1.0)  # features are above 0 after ReLU
    pixels = make_pixels(bundle)
    got = attribute(bundle, pixels, [YES, NO, YES], layer="backbone")
    assert got.says_nothing.tolist() == [False, True, False]
    assert not got.values[1].any()


def test_a_map_of_one_pixel_points_nowhere():
    bundle = make_bundle("plain", 16, blocks=({"channels": 4, "pooling": "none"},) * 4)
    assert not attribute(bundle, make_pixels(bundle), YES).says_nothing.all()
    small = make_bundle("plain", 16, blocks=({"channels": 8},) * 4)
    got = attribute(small, make_pixels(small), [YES, NO, YES], layer="3")
    assert got.says_nothing.all()


def test_signed_and_undefined_maps_that_say_nothing():
    values = np.zeros((4, 2, 2), np.float32)
    values[1] = -3.0
    values[2, 0, 0] = -1e-30
    values[3] = np.nan
    zeros = np.zeros(4)
    got = Attribution("gradient_x_input", "", (YES,) * 4, values, zeros, {}, zeros)
    assert got.says_nothing.tolist() == [True, True, False, True]


# --- defaults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("resnet18", 28, "layer3"),  # 28, 14, 7, 4 rows with the small stem
        ("resnet18", 64, "layer2"),  # 16, 8, 4, 2
        ("resnet18", 224, "layer4"),  # 56, 28, 14, 7
        ("vgg11", 64, "features.14"),  # 64, 32, 16, 8 rows before each pooling
        ("plain", 16, "0"),  # 8 rows, then 4
        ("plain", 8, "0"),  # none has 7
    ],
)
def test_the_default_layer_is_the_deepest_that_is_fine_enough(name, size, layer):
    assert default_layer(make_bundle(name, size).classifier) == layer


def test_settings_are_recorded_complete():
    bundle = make_bundle(channels=3)
    pixels = make_pixels(bundle, 1)
    assert attribute(bundle, pixels, YES).settings == {}
    got = attribute(bundle, pixels, YES, "occlusion")
    assert got.settings == {"baseline": [0.4, 0.5, 0.6], "window": 2, "stride": 1}
    got = attribute(bundle, pixels, YES, "occlusion", window=5, baseline=0.25)
    assert got.settings == {"baseline": [0.25] * 3, "window": 5, "stride": 2}
    got = attribute(bundle, pixels, YES, "integrated_gradients", baseline=(0, 1, 0.5), steps=3)
    assert got.settings == {"baseline": [0.0, 1.0, 0.5], "steps": 3}


def test_memory_is_bounded_by_smaller_batches_of_larger_images():
    assert [module._batch_size(size) for size in (28, 64, 224, 4096)] == [32, 32, 7, 1]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "gradcam"}, "Unknown method, got 'gradcam'. Did you mean \"grad_cam\""),
        ({"goals": Goal("labell", "yes")}, 'Unknown target.*Did you mean "label"'),
        ({"goals": Goal("label", "yess")}, 'Unknown class.*Did you mean "yes"'),
        ({"goals": [YES, NO]}, "one for each of 3, got 2"),
        ({"layer": "0.cnov"}, 'no such layer.*Did you mean "0.conv".*stages are 0, 1'),
        ({"layer": "heads.label"}, "no such layer.*stages are 0, 1"),
        ({"layer": "pooled"}, "needs a layer with a map.*'pooled'.*stages are 0, 1"),
        ({"layer": "logits"}, "needs a layer with a map.*'logits'.*stages are 0, 1"),
        ({"method": "occlusion", "layer": "1"}, "occlusion looks at the pixels .* no layer"),
        ({"steps": 5}, "grad_cam has no option of that name, got 'steps'"),
        ({"method": "occlusion", "windw": 5}, 'no option of that name.*Did you mean "window"'),
        ({"method": "occlusion", "window": 17}, "window is between 1 and 16, got 17"),
        ({"method": "occlusion", "window": 4, "stride": 5}, "stride is between 1 and 4, got 5"),
        ({"method": "occlusion", "stride": -1}, "stride is between 1 and 2, got -1"),
        ({"method": "occlusion", "window": 0}, "window is between 1 and 16, got 0"),
        ({"method": "integrated_gradients", "steps": 0}, "steps is between 1 and 10000, got 0"),
        ({"method": "integrated_gradients", "steps": 2.5}, "steps is a whole number, got 2.5"),
        ({"method": "integrated_gradients", "steps": True}, "steps is a whole number, got True"),
        ({"method": "gradient_x_input", "baseline": "blak"}, 'Did you mean "black"'),
        ({"method": "gradient_x_input", "baseline": 255}, r"one number in \[0, 1\].*got 255"),
        ({"method": "gradient_x_input", "baseline": float("nan")}, "got nan"),
        ({"method": "gradient_x_input", "baseline": (0.1, 0.2)}, r"got \(0.1, 0.2\)"),
        ({"method": "gradient_x_input", "baseline": None}, "got None"),
        ({"pixels": np.zeros((0, 1, 16, 16), np.uint8)}, "no image"),
        ({"pixels": np.zeros((3, 1, 16, 16))}, "float64"),
    ],
)
def test_mistakes_get_one_plain_message(arguments, message):
    bundle = make_bundle()
    given = {"pixels": make_pixels(bundle), "goals": YES, **arguments}
    with pytest.raises(UsageError, match=message):
        attribute(bundle, **given)


def test_without_captum_only_the_covering_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    bundle = make_bundle()
    pixels = make_pixels(bundle, 1)
    with pytest.raises(MissingPackage, match=r'occlusion.*pip install "pellucid\[explain\]"'):
        attribute(bundle, pixels, YES, "occlusion")
    for method in ("grad_cam", "integrated_gradients", "gradient_x_input"):
        assert attribute(bundle, pixels, YES, method, **QUICK.get(method, {})).values.any()
