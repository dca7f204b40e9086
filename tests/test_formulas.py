"""The lecture's formulas against torch on random shapes, and small worked cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pellucid.network import formulas
from pellucid.network.layers import PADDING_MODES, build_activation

quick = settings(deadline=None, max_examples=30, derandomize=True)
sizes = st.integers(3, 8)
logit_lists = st.lists(st.floats(-30, 30), min_size=1, max_size=6)


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def close(ours: np.ndarray, torchs: Tensor) -> None:
    assert ours.shape == tuple(torchs.shape)
    np.testing.assert_allclose(ours, torchs.detach().numpy(), rtol=1e-5, atol=1e-5)


@quick
@given(
    seed=st.integers(0, 99),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    image=st.tuples(sizes, sizes),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    mode=st.sampled_from(["zero", "mirror", "wrap"]),
    bias=st.booleans(),
)
def test_cross_correlation_is_torchs_convolution(
    seed, channels, image, kernel, stride, padding, mode, bias
):
    assume(all(n + 2 * padding >= k for n, k in zip(image, kernel, strict=True)))
    X, b = random(seed, channels[0], *image), random(seed + 1, channels[1]) if bias else None
    layer = torch.nn.Conv2d(
        *channels, kernel, stride, padding, padding_mode=PADDING_MODES[mode], bias=bias
    ).double()
    K = layer.weight.detach().numpy()
    if bias:
        layer.bias.data = torch.from_numpy(b)
    Y = formulas.cross_correlation(X, K, b, stride=stride, padding=padding, mode=mode)
    close(Y, layer(torch.from_numpy(X)[None])[0])
    assert Y.shape[1] == formulas.output_size(image[0], kernel[0], stride, padding)
    assert Y.shape[2] == formulas.output_size(image[1], kernel[1], stride, padding)


def test_convolution_flips_the_kernel_and_cross_correlation_does_not():
    impulse = np.zeros((1, 5, 5))
    impulse[0, 2, 2] = 1.0
    K = np.arange(9.0).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(formulas.convolution(impulse, K)[0], K[0, 0])
    np.testing.assert_array_equal(formulas.cross_correlation(impulse, K)[0], K[0, 0, ::-1, ::-1])


def test_convolution_agrees_with_scipy():
    from scipy.signal import convolve2d

    X, K = random(0, 1, 6, 7), random(1, 1, 1, 3, 2)
    expected = convolve2d(X[0], K[0, 0], mode="valid")
    np.testing.assert_allclose(formulas.convolution(X, K)[0], expected)


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        ("zero", [0, 0, 1, 2, 3, 0, 0]),
        ("mirror", [3, 2, 1, 2, 3, 2, 1]),
        ("wrap", [2, 3, 1, 2, 3, 1, 2]),
    ],
)
def test_padding_modes_in_one_row(mode, row):
    X = np.array([[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]])
    assert formulas.pad(X, 2, mode)[0, 2].tolist() == row


@quick
@given(
    seed=st.integers(0, 99),
    image=st.tuples(sizes, sizes),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padded=st.booleans(),
)
def test_pooling_is_torchs(seed, image, kernel, stride, padded):
    X, padding = random(seed, 2, *image), kernel // 2 if padded else 0
    tensor = torch.from_numpy(X)[None]
    close(
        formulas.max_pooling(X, kernel, stride, padding),
        F.max_pool2d(tensor, kernel, stride, padding)[0],
    )
    close(
        formulas.average_pooling(X, kernel, stride, padding),
        F.avg_pool2d(tensor, kernel, stride, padding)[0],
    )
    close(formulas.global_average_pooling(X), F.adaptive_avg_pool2d(tensor, 1)[0, :, 0, 0])
    close(formulas.global_max_pooling(X), F.adaptive_max_pool2d(tensor, 1)[0, :, 0, 0])


def test_pooling_without_a_stride_takes_windows_side_by_side():
    X = np.arange(16.0).reshape(1, 4, 4)
    assert formulas.max_pooling(X, 2).tolist() == [[[5, 7], [13, 15]]]
    assert formulas.average_pooling(X, 2).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]


@quick
@given(seed=st.integers(0, 99), n_in=st.integers(1, 6), n_out=st.integers(1, 6), bias=st.booleans())
def test_affine_is_torchs_linear(seed, n_in, n_out, bias):
    x, W = random(seed, n_in), random(seed + 1, n_out, n_in)
    b = random(seed + 2, n_out) if bias else None
    torchs = F.linear(*map(torch.from_numpy, (x, W)), None if b is None else torch.from_numpy(b))
    close(formulas.affine(x, W, b), torchs)


@pytest.mark.parametrize("name", sorted(formulas.ACTIVATIONS))
@quick
@given(values=st.lists(st.floats(-50, 50), min_size=1, max_size=6))
def test_activations_are_torchs(name, values):
    x = np.array(values)
    torchs = build_activation(name).double().eval()(torch.from_numpy(x))
    close(formulas.ACTIVATIONS[name](x), torchs)


@quick
@given(values=logit_lists)
def test_one_logit_goes_to_odds_and_probability_and_back(values):
    z = np.array(values)
    p, o = formulas.probability_from_logit(z), formulas.odds_from_logits(z)
    np.testing.assert_allclose(p, o / (1 + o), rtol=1e-12)
    close(p, torch.sigmoid(torch.from_numpy(z)))
    close(formulas.log_probability_from_logit(z), F.logsigmoid(torch.from_numpy(z)))
    np.testing.assert_allclose(formulas.logits_from_odds(o), z, atol=1e-9)
    inner = np.clip(z, -15, 15)
    again = formulas.logit_from_probability(formulas.probability_from_logit(inner))
    np.testing.assert_allclose(again, inner, atol=1e-7)
    again = formulas.logit_from_log_probability(formulas.log_probability_from_logit(inner))
    np.testing.assert_allclose(again, inner, atol=1e-7)


@quick
@given(seed=st.integers(0, 99), n=st.integers(1, 4), n_classes=st.integers(2, 5))
def test_k_logits_go_to_probabilities_and_back(seed, n, n_classes):
    z = 5 * random(seed, n, n_classes)
    p, tensor = formulas.probabilities_from_logits(z), torch.from_numpy(z)
    close(p, torch.softmax(tensor, 1))
    close(formulas.log_probabilities_from_logits(z), torch.log_softmax(tensor, 1))
    np.testing.assert_allclose(formulas.probabilities_from_odds(formulas.odds_from_logits(z)), p)
    centred = z - z.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(formulas.logits_from_probabilities(p), centred, atol=1e-9)


@quick
@given(seed=st.integers(0, 99), n=st.integers(1, 5))
def test_binary_losses_are_torchs(seed, n):
    z, y = 4 * random(seed, n), (random(seed + 1, n) > 0).astype(float)
    logits, truth = torch.from_numpy(z), torch.from_numpy(y)
    expected = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    close(formulas.binary_cross_entropy_with_logits(z, y), expected)
    close(formulas.binary_cross_entropy(formulas.sigmoid(z), y), expected)
    poor = F.binary_cross_entropy(torch.sigmoid(logits), truth, reduction="none")
    close(formulas.binary_cross_entropy(formulas.sigmoid(z), y), poor)


@quick
@given(seed=st.integers(0, 99), n=st.integers(1, 5), n_classes=st.integers(2, 5))
def test_losses_of_k_classes_are_torchs(seed, n, n_classes):
    z, k = 4 * random(seed, n, n_classes), np.arange(n) % n_classes
    logits, truth = torch.from_numpy(z), torch.from_numpy(k)
    expected = F.cross_entropy(logits, truth, reduction="none")
    log_p, p = torch.log_softmax(logits, 1), torch.softmax(logits, 1)
    close(formulas.cross_entropy(z, k), expected)
    close(formulas.negative_log_likelihood(log_p.numpy(), k), expected)
    close(formulas.negative_log_likelihood_of_probabilities(p.numpy(), k), expected)
    close(
        formulas.negative_log_likelihood(log_p.numpy(), k),
        F.nll_loss(log_p, truth, reduction="none"),
    )


def test_two_logits_are_one_logit_of_their_difference():
    z, k = random(0, 6, 2), np.array([0, 1, 0, 1, 1, 0])
    one = formulas.binary_cross_entropy_with_logits(z[:, 1] - z[:, 0], k)
    np.testing.assert_allclose(formulas.cross_entropy(z, k), one)


@pytest.mark.parametrize("logit", [200.0, -800.0, 1e6])
def test_losses_from_logits_stay_exact_at_extreme_logits(logit):
    wrong = float(logit < 0)
    assert formulas.binary_cross_entropy_with_logits([logit], [wrong]) == abs(logit)
    assert formulas.binary_cross_entropy_with_logits([logit], [1 - wrong]) < 1e-80
    assert formulas.cross_entropy([[0.0, logit]], [int(wrong)]) == abs(logit)


def test_losses_from_probabilities_lose_extreme_logits():
    """Why the plan refuses these two pairings: the loss becomes infinite and its gradient 0/0."""
    with np.errstate(divide="ignore"):
        assert np.isinf(formulas.binary_cross_entropy(formulas.sigmoid([200.0]), [0.0]))
        p = formulas.probabilities_from_logits([[0.0, -800.0]])
        assert np.isinf(formulas.negative_log_likelihood_of_probabilities(p, [1]))
    p32 = formulas.sigmoid([17.5]).astype(np.float32)
    assert p32 == 1.0
    assert formulas.binary_cross_entropy_with_logits([17.5], [1.0]) > 0


def test_the_naive_softmax_overflows_and_ours_does_not():
    z = np.array([0.0, 800.0])
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(np.exp(z) / np.exp(z).sum()).any()
    assert formulas.probabilities_from_logits(z).tolist() == [0.0, 1.0]
    assert formulas.sigmoid([-800.0, 800.0]).tolist() == [0.0, 1.0]
