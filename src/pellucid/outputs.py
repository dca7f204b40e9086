"""From logits to probabilities: the lecture's output layers, in NumPy, without torch.

Prediction, evaluation and serving share these few lines, so that a probability means the same
wherever it is computed. The training losses start from logits and never come here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from pellucid.task import Target

Floats = npt.NDArray[np.floating]


def probabilities_from_logits(logits: Floats, target: Target) -> npt.NDArray[np.float64]:
    """Probabilities (n, n_classes) from one target's logits (n, n_logits), rows summing to 1.

    One logit z is the log-odds of the positive class, which stands last: p = sigmoid(z). Several
    logits go through softmax. Both are computed without overflow for any finite z.
    Source: lecture, "output layers" (logits, odds, probabilities).
    """
    z = np.asarray(logits, dtype=np.float64).reshape(len(logits), target.n_logits)
    if target.n_logits == 1:
        return np.concatenate([expit(-z), expit(z)], axis=1)
    return np.asarray(softmax(z, axis=1))
