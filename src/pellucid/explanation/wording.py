"""Logits to words: what a network's numbers for one image mean, and what one more would change.

By the lecture's formulas (section "Output layers"): odds e^z, probabilities by sigmoid or softmax,
log-probabilities; all without overflow. Knows one target's logits; it does not know of what image
or network they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.network.formulas import (
    log_probabilities_from_logits,
    log_probability_from_logit,
    odds_from_logits,
)
from pellucid.task import Target

Array = npt.NDArray[np.float64]

STEP = 1.0  # the change of one logit that is asked about; it multiplies the odds by e
_SMALLEST = 0.0005  # what rounds to 0.000; 1 minus it rounds to 1.000
_MILLION = math.log(1e6)
_LARGEST_EXPONENT = 700.0  # e^709 is the largest odds that a float holds


@dataclass(frozen=True)
class Wording:
    """One target's output for one image in every form; arrays (K,) have an entry a class.

    `logits` of a one-logit target are (-z, z): the log-odds of either class. `log_odds` are against
    all other classes together, natural logarithm. `raised` (n_logits, K) are the probabilities if
    one logit were larger by `STEP`, a row a logit; row j raises the logit of `raised_classes[j]`.
    """

    target: str
    classes: tuple[str, ...]
    logits: Array
    log_odds: Array
    probabilities: Array
    log_probabilities: Array
    raised_classes: tuple[str, ...]
    raised: Array
    sentences: tuple[str, ...]

    @property
    def called(self) -> int:
        """The code of the class called: of two the second from 0.5 on, of more the likeliest."""
        if len(self.classes) == 2:
            return int(self.log_odds[1] >= 0)
        return int(np.argmax(self.log_probabilities))

    def to_json(self) -> dict[str, Any]:
        """Plain data with the texts that a page shows; odds too large for a float are null."""
        return {
            "target": self.target,
            "called": self.classes[self.called],
            "is_one_logit": len(self.raised_classes) == 1,
            "classes": [self._class(code) for code in range(len(self.classes))],
            "raised": [self._raised(row) for row in range(len(self.raised))],
            "sentences": list(self.sentences),
        }

    def _class(self, code: int) -> dict[str, Any]:
        z, log_odds = float(self.logits[code]), float(self.log_odds[code])
        q = float(self.log_probabilities[code])
        return {
            "label": self.classes[code],
            "logit": z,
            "logit_text": _signed(z),
            "odds": float(odds_from_logits(z)) if z < _LARGEST_EXPONENT else None,
            "odds_text": power_words(z),
            "odds_against_rest": odds_words(log_odds),
            "probability": float(self.probabilities[code]),
            "probability_text": probability_words(float(self.probabilities[code])),
            "log_probability": q,
            "log_probability_text": "> −0.001" if -_SMALLEST < q < 0 else _signed(q, 3),
        }

    def _raised(self, row: int) -> dict[str, Any]:
        label = self.raised_classes[row]
        return {
            "label": label,
            "odds_factor": math.exp(STEP),
            "probabilities": [float(p) for p in self.raised[row]],
            "texts": [probability_words(float(p)) for p in self.raised[row]],
        }


def word_logits(logits: npt.ArrayLike, target: Target) -> Wording:
    """Every form of one target's logits (n_logits,) for one image, with sentences in plain words.

    Raises `UsageError` when the numbers are not finite, or not as many as the target has logits.
    """
    z = np.asarray(logits, dtype=np.float64).reshape(-1)
    if len(z) != target.n_logits or not np.isfinite(z).all():
        rule = f"Target {target.name!r} has {target.n_logits} finite logits"
        raise UsageError(rule, str(z.tolist()))
    log_p = _log_probabilities(z)
    raised = np.stack([_log_probabilities(z + STEP * unit) for unit in np.eye(len(z))])
    wording = Wording(
        target=target.name,
        classes=target.classes,
        logits=np.array([-z[0], z[0]]) if len(z) == 1 else z,
        log_odds=_log_odds(z),
        probabilities=np.exp(log_p),
        log_probabilities=log_p,
        raised_classes=target.classes[-1:] if len(z) == 1 else target.classes,
        raised=np.exp(raised),
        sentences=(),
    )
    say = _of_one_logit if len(z) == 1 else _of_several
    return Wording(**{**wording.__dict__, "sentences": tuple(say(wording))})


def _log_probabilities(z: Array) -> Array:
    """The log-probability of each class: log-sigmoid of one logit, log-softmax of several."""
    if len(z) == 1:
        return np.concatenate([log_probability_from_logit(-z), log_probability_from_logit(z)])
    return log_probabilities_from_logits(z)


def _log_odds(z: Array) -> Array:
    """log(p / (1 - p)) of each class: z against the log of the sum of the others' e^z."""
    if len(z) == 1:
        return np.array([-z[0], z[0]])
    others = [np.delete(z, k) for k in range(len(z))]
    rest = [rest.max() + np.log(np.exp(rest - rest.max()).sum()) for rest in others]
    return np.asarray(z - np.array(rest))


def _of_one_logit(wording: Wording) -> Iterator[str]:
    positive, other = wording.classes[1], wording.classes[0]
    z, p = float(wording.logits[1]), float(wording.probabilities[1])
    yield (
        f"The network gives one number, the logit {_signed(z)} of {positive}. Its odds are "
        f"e^z: {odds_words(z)} for {positive} against {other}. Its probability is "
        f"odds / (1 + odds): {probability_words(p)}."
    )
    yield _reading(wording)
    yield (
        f"One more on this logit would multiply the odds by e, about 2.72: "
        f"{_change(positive, p, float(wording.raised[0, 1]))}."
    )
    yield _distance(z, positive, other)


def _of_several(wording: Wording) -> Iterator[str]:
    order = np.argsort(-wording.logits, kind="stable")
    first, second = int(order[0]), int(order[1])
    lead = float(wording.logits[first] - wording.logits[second])
    one, two = wording.classes[first], wording.classes[second]
    yield (
        f"The network gives {len(wording.classes)} numbers. The largest logit is that of {one}, "
        f"{_signed(float(wording.logits[first]))}; next comes {two}, "
        f"{_signed(float(wording.logits[second]))}. Only differences count: {one} is e^{lead:.2f}"
        f" = {times_words(lead)} as probable as {two}."
    )
    yield _reading(wording)
    for code in (second, first):
        before, after = wording.probabilities[code], wording.raised[code, code]
        yield (
            f"One more on the logit of {wording.classes[code]} would multiply its odds by e, about "
            f"2.72: {_change(wording.classes[code], float(before), float(after))}. The "
            "probabilities of all other classes would shrink by one common factor."
        )
    if lead > 0:
        yield f"{two} would draw level with {one} if its logit were {lead:.2f} larger."


def _change(label: str, before: float, after: float) -> str:
    """How a probability would move, in the digits that are shown."""
    first, then = probability_words(before), probability_words(after)
    if first == then:
        return f"the probability of {label} would stay {first}"
    return f"the probability of {label} would go from {first} to {then}"


def _reading(wording: Wording) -> str:
    """What a probability says, and what it does not."""
    code = wording.called
    p, label = float(wording.probabilities[code]), wording.classes[code]
    q = -float(wording.log_probabilities[code])
    loss = "less than 0.001" if q < _SMALLEST else f"{q:.3f}"
    return (
        f"It calls {label} with probability {probability_words(p)}; if its probabilities are well "
        f"calibrated, {_in_hundred(p)} of 100 such calls are right. Were {label} the truth, the "
        f"cross-entropy of this image would be −log p = {loss} nats."
    )


def _distance(z: float, positive: str, other: str) -> str:
    if z == 0:
        return f"The logit is 0: the network is undecided between {positive} and {other}."
    direction = "smaller" if z > 0 else "larger"
    return f"At a logit {abs(z):.2f} {direction} it would be undecided (odds 1 to 1)."


def probability_words(p: float) -> str:
    """A probability with three decimals, never rounded to certainty.

    >>> probability_words(0.91), probability_words(0.99996), probability_words(1e-9)
    ('0.910', '>0.999', '<0.001')
    """
    if p > 1 - _SMALLEST:
        return ">0.999"
    return "<0.001" if p < _SMALLEST else f"{p:.3f}"


def odds_words(log_odds: float) -> str:
    """Odds from their natural logarithm, the larger number first or last.

    >>> odds_words(2.31), odds_words(-1.0), odds_words(900.0)
    ('10 to 1', '1 to 2.7', 'more than a million to 1')
    """
    size = abs(log_odds)
    many = "more than a million" if size > _MILLION else _two_digits(math.exp(size))
    return f"{many} to 1" if log_odds >= 0 else f"1 to {many}"


def power_words(z: float) -> str:
    """e^z with three digits, as a power of ten where it is very large or small.

    >>> power_words(2.31), power_words(-1.0), power_words(1000.0)
    ('10.1', '0.368', '10^434')
    """
    if abs(z) > _MILLION:
        return f"10^{round(z / math.log(10))}".replace("-", "−")
    value = math.exp(z)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def times_words(log_ratio: float) -> str:
    """How many times, from the natural logarithm.

    >>> times_words(2.1), times_words(50.0)
    ('8.2 times', 'more than a million times')
    """
    return f"{odds_words(abs(log_ratio)).removesuffix(' to 1')} times"


def _two_digits(value: float) -> str:
    """A number of at least 1 with two digits that count."""
    if value < 9.95:
        return f"{value:.1f}".removesuffix(".0")
    digits = max(0, math.floor(math.log10(value)) - 1)
    return f"{round(value, -digits):,.0f}"


def _in_hundred(p: float) -> str:
    rounded = round(100 * p)
    return "more than 99" if rounded == 100 else f"about {rounded}"


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:z.{digits}f}".replace("-", "−")
