"""The lecture's formulas in plain NumPy: what each layer, output and loss is, by definition.

One image at a time, channel first: X has the shape (C, H, W). The loops are the formulas' own, so
that a reader can put a finger on each index; torch's layers are held against them in the tests.
This module is slow on purpose. It knows no torch, no gradients and no training.

Letters: X input, Y output, K kernel, b bias, z logits, p probabilities, y or k the true class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
PaddingMode = Literal["zero", "mirror", "wrap"]

_PAD_MODES = {"zero": "constant", "mirror": "reflect", "wrap": "wrap"}

# --- convolution --------------------------------------------------------------------------------


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Length of one side after a convolution or pooling: floor((n + 2p - k) / s) + 1.

    Source: lecture section "Convolution", output size.

    >>> output_size(224, kernel=7, stride=2, padding=3)
    112
    """
    return (size + 2 * padding - kernel) // stride + 1


def pad(X: npt.ArrayLike, padding: int, mode: PaddingMode = "zero") -> Array:
    """X (C, H, W) with `padding` rows and columns added on each side: (C, H + 2p, W + 2p).

    "zero" adds zeros; "mirror" reflects the image at its border without repeating the border
    itself (torch "reflect", needs p < H, W); "wrap" continues at the opposite side (torch
    "circular", needs p ≤ H, W). Source: lecture section "Convolution", padding.

    >>> pad(np.arange(9.0).reshape(1, 3, 3), 1, "mirror")[0, 0].tolist()
    [4.0, 3.0, 4.0, 5.0, 4.0]
    """
    X = np.asarray(X, dtype=np.float64)
    side = (padding, padding)
    return np.asarray(np.pad(X, ((0, 0), side, side), mode=_PAD_MODES[mode]))  # type: ignore[call-overload]


def cross_correlation(
    X: npt.ArrayLike,
    K: npt.ArrayLike,
    b: npt.ArrayLike | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    mode: PaddingMode = "zero",
) -> Array:
    """Slide the kernels over the image: what deep-learning libraries call a convolution.

    Y[o, i, j] = b[o] + Σ_c Σ_u Σ_v K[o, c, u, v] · X[c, s·i + u, s·j + v]

    X (C_in, H, W), K (C_out, C_in, k_h, k_w), b (C_out,) → Y (C_out, H', W'), X padded first.
    Source: lecture section "Convolution", cross-correlation.
    """
    X, K = pad(X, padding, mode), np.asarray(K, dtype=np.float64)
    n_out, _, k_h, k_w = K.shape
    Y = np.zeros(
        (n_out, output_size(X.shape[1], k_h, stride), output_size(X.shape[2], k_w, stride))
    )
    for i in range(Y.shape[1]):
        for j in range(Y.shape[2]):
            window = X[:, stride * i : stride * i + k_h, stride * j : stride * j + k_w]
            Y[:, i, j] = np.sum(K * window, axis=(1, 2, 3))
    return Y if b is None else Y + np.asarray(b, dtype=np.float64)[:, None, None]


def convolution(
    X: npt.ArrayLike,
    K: npt.ArrayLike,
    b: npt.ArrayLike | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    mode: PaddingMode = "zero",
) -> Array:
    """The mathematician's convolution: cross-correlation with the kernel flipped in both axes.

    Y[o, i, j] = b[o] + Σ_c Σ_u Σ_v K[o, c, k_h-1-u, k_w-1-v] · X[c, s·i + u, s·j + v]

    Shapes as in `cross_correlation`. Source: lecture section "Convolution".
    """
    flipped = np.asarray(K, dtype=np.float64)[:, :, ::-1, ::-1]
    return cross_correlation(X, flipped, b, stride=stride, padding=padding, mode=mode)


# --- pooling and the fully connected layer ------------------------------------------------------


def _pool(X: Array, kernel: int, stride: int, statistic: Callable[..., Array]) -> Array:
    """Apply `statistic` to each channel's windows; X (C, H, W) is already padded."""
    height, width = (output_size(side, kernel, stride) for side in X.shape[1:])
    Y = np.zeros((len(X), height, width))
    for i in range(height):
        for j in range(width):
            window = X[:, stride * i : stride * i + kernel, stride * j : stride * j + kernel]
            Y[:, i, j] = statistic(window, axis=(1, 2))
    return Y


def max_pooling(
    X: npt.ArrayLike, kernel: int, stride: int | None = None, padding: int = 0
) -> Array:
    """Y[c, i, j] = max over u, v < k of X[c, s·i + u, s·j + v]; the padding is -∞, so never wins.

    X (C, H, W) → (C, H', W'); the stride is the kernel's size when none is given.
    Source: lecture section "Pooling".
    """
    side = (padding, padding)
    X = np.pad(np.asarray(X, float), ((0, 0), side, side), constant_values=-np.inf)
    return _pool(X, kernel, stride or kernel, np.max)


def average_pooling(
    X: npt.ArrayLike, kernel: int, stride: int | None = None, padding: int = 0
) -> Array:
    """Y[c, i, j] = 1/k² Σ_u Σ_v X[c, s·i + u, s·j + v]; zeros of the padding count, as in torch.

    X (C, H, W) → (C, H', W'). Source: lecture section "Pooling".
    """
    return _pool(pad(X, padding), kernel, stride or kernel, np.mean)


def global_average_pooling(X: npt.ArrayLike) -> Array:
    """y[c] = 1/(H·W) Σ_i Σ_j X[c, i, j]: X (C, H, W) → (C,). Source: lecture "Global pooling"."""
    return np.asarray(np.mean(np.asarray(X, dtype=np.float64), axis=(1, 2)))


def global_max_pooling(X: npt.ArrayLike) -> Array:
    """y[c] = max over i, j of X[c, i, j]: X (C, H, W) → (C,). Source: lecture "Global pooling"."""
    return np.asarray(np.max(np.asarray(X, dtype=np.float64), axis=(1, 2)))


def affine(x: npt.ArrayLike, W: npt.ArrayLike, b: npt.ArrayLike | None = None) -> Array:
    """Fully connected layer y = W·x + b: x (n_in,), W (n_out, n_in), b (n_out,) → (n_out,).

    Source: lecture section "Fully connected layer".
    """
    y = np.asarray(W, dtype=np.float64) @ np.asarray(x, dtype=np.float64)
    return y if b is None else y + np.asarray(b, dtype=np.float64)


# --- activations: any shape → the same shape; source: lecture section "Activation functions" -----


def identity(x: npt.ArrayLike) -> Array:
    """f(x) = x."""
    return np.asarray(x, dtype=np.float64)


def relu(x: npt.ArrayLike) -> Array:
    """f(x) = max(0, x)."""
    return np.maximum(0.0, identity(x))


def sigmoid(x: npt.ArrayLike) -> Array:
    """f(x) = 1 / (1 + e^-x), written with e^-|x| so that nothing overflows."""
    x = identity(x)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def leaky_relu(x: npt.ArrayLike, slope: float = 0.01) -> Array:
    """f(x) = x for x ≥ 0, else slope · x."""
    x = identity(x)
    return np.where(x >= 0, x, slope * x)


def rrelu(x: npt.ArrayLike, lower: float = 1 / 8, upper: float = 1 / 3) -> Array:
    """Randomised leaky ReLU as it is used for prediction: the slope is (lower + upper) / 2.

    While training the slope is drawn uniformly from [lower, upper] for each element.
    """
    return leaky_relu(x, (lower + upper) / 2)


def prelu(x: npt.ArrayLike, slope: float = 0.25) -> Array:
    """f(x) = x for x ≥ 0, else slope · x; here the slope is a parameter that training learns."""
    return leaky_relu(x, slope)


def gelu(x: npt.ArrayLike) -> Array:
    """f(x) = x · Φ(x), Φ the standard normal distribution, exact: Φ(x) = (1 + erf(x/√2)) / 2."""
    x = identity(x)
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return np.asarray(x * (1.0 + erf(x / math.sqrt(2.0))) / 2.0)


def celu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """f(x) = max(0, x) + min(0, alpha · (e^(x/alpha) - 1))."""
    x = identity(x)
    return relu(x) + alpha * np.expm1(np.minimum(0.0, x) / alpha)


SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def selu(x: npt.ArrayLike) -> Array:
    """f(x) = λ · x for x ≥ 0, else λ · alpha · (e^x - 1); alpha, λ keep mean 0 and variance 1.

    The constants are those of Klambauer et al. 2017, "Self-normalizing neural networks".
    """
    x = identity(x)
    return SELU_SCALE * np.where(x >= 0, x, SELU_ALPHA * np.expm1(np.minimum(0.0, x)))


def silu(x: npt.ArrayLike) -> Array:
    """f(x) = x · sigmoid(x)."""
    return identity(x) * sigmoid(x)


ACTIVATIONS: dict[str, Callable[[npt.ArrayLike], Array]] = {
    "relu": relu,
    "sigmoid": sigmoid,
    "leaky_relu": leaky_relu,
    "rrelu": rrelu,
    "prelu": prelu,
    "gelu": gelu,
    "celu": celu,
    "selu": selu,
    "silu": silu,
    "identity": identity,
}

# --- output layers: source: lecture section "Output layers" ---------------------------------------
# One logit z describes the positive class against the other; K logits have shape (..., K).


def odds_from_logits(z: npt.ArrayLike) -> Array:
    """Odds o = e^z. One logit: p / (1 - p). K logits: odds up to a common factor."""
    return np.exp(identity(z))


def logits_from_odds(o: npt.ArrayLike) -> Array:
    """Logits z = log o, the inverse of `odds_from_logits`."""
    return np.log(identity(o))


def probability_from_logit(z: npt.ArrayLike) -> Array:
    """Probability p = sigmoid(z) = o / (1 + o), of the positive class."""
    return sigmoid(z)


def logit_from_probability(p: npt.ArrayLike) -> Array:
    """Logit z = log p - log(1 - p), the inverse of `probability_from_logit` for 0 < p < 1."""
    p = identity(p)
    return np.log(p) - np.log1p(-p)


def log_probability_from_logit(z: npt.ArrayLike) -> Array:
    """log-sigmoid: log p = min(z, 0) - log(1 + e^-|z|), exact where log(sigmoid(z)) is -∞."""
    z = identity(z)
    return np.minimum(z, 0.0) - np.log1p(np.exp(-np.abs(z)))


def logit_from_log_probability(q: npt.ArrayLike) -> Array:
    """Logit z = q - log(1 - e^q), the inverse of `log_probability_from_logit` for q < 0."""
    q = identity(q)
    return q - np.log(-np.expm1(q))


def probabilities_from_logits(z: npt.ArrayLike) -> Array:
    """softmax: p_k = e^z_k / Σ_j e^z_j over the last axis; shifted by max z, which cancels."""
    return np.exp(log_probabilities_from_logits(z))


def log_probabilities_from_logits(z: npt.ArrayLike) -> Array:
    """log-softmax: log p_k = z_k - log Σ_j e^z_j over the last axis, shifted by max z."""
    z = identity(z)
    z = z - z.max(axis=-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))


def probabilities_from_odds(o: npt.ArrayLike) -> Array:
    """p_k = o_k / Σ_j o_j over the last axis."""
    o = identity(o)
    return np.asarray(o / o.sum(axis=-1, keepdims=True))


def logits_from_probabilities(p: npt.ArrayLike) -> Array:
    """The logits of mean 0 that give p; softmax forgets a common shift, so others do too."""
    z = np.log(identity(p))
    return np.asarray(z - z.mean(axis=-1, keepdims=True))


# --- losses: source: lecture section "Loss functions", the table of output × loss -----------------
# All five are the same cross-entropy, -log p[true class], from five representations of the output.
# The two that start from probabilities lose what rounding took: p is 0 or 1 where |z| is large.


def binary_cross_entropy_with_logits(z: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """One logit: -y·log sigmoid(z) - (1 - y)·log sigmoid(-z); z and y (n,), y in {0, 1} → (n,)."""
    z, y = identity(z), identity(y)
    return -y * log_probability_from_logit(z) - (1.0 - y) * log_probability_from_logit(-z)


def binary_cross_entropy(p: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """Sigmoid probability: -log p where y = 1, -log(1 - p) where y = 0; numerically poor.

    p and y (n,) → (n,). In 32 bit sigmoid(z) is 1 from z = 17 on, and the loss infinite or 0.
    """
    p, y = identity(p), identity(y)
    return -np.log(np.where(y == 1, p, 1.0 - p))


def cross_entropy(z: npt.ArrayLike, k: npt.ArrayLike) -> Array:
    """K logits, softmax inside: -z_k + log Σ_j e^z_j; z (n, K), k (n,) class codes → (n,)."""
    return negative_log_likelihood(log_probabilities_from_logits(z), k)


def negative_log_likelihood(log_p: npt.ArrayLike, k: npt.ArrayLike) -> Array:
    """Log-softmax output: -log p_k; log_p (n, K), k (n,) class codes → (n,)."""
    codes = np.asarray(k, dtype=np.int64)
    return -np.take_along_axis(identity(log_p), codes[:, None], axis=1)[:, 0]


def negative_log_likelihood_of_probabilities(p: npt.ArrayLike, k: npt.ArrayLike) -> Array:
    """Softmax output: -log p_k taken after the softmax; numerically poor; p (n, K), k (n,) → (n,).

    Where p_k has underflowed to 0 the loss is infinite and its gradient is lost.
    """
    return negative_log_likelihood(np.log(identity(p)), k)
