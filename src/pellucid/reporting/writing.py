"""Numbers, lists and estimates as people write them.

Knows the field's names for metrics. It does not know where a number comes from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.reporting.metric_words import METRIC_NAMES

SPLIT_NAMES = {"external_test": "external test"}
_METHOD_NUMBERS = re.compile(r"(?:,| over) [\d,]+ (?:images|patients)[^,]*")


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; `value` is None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""

    @classmethod
    def of(cls, metric: Mapping[str, Any] | float | None) -> Estimate:
        """From an entry of evaluation.json: an object with its interval, a bare number or null."""
        if isinstance(metric, Mapping):
            value, low, high = (_finite(metric.get(key)) for key in ("value", "low", "high"))
            return cls(value, low, high, str(metric.get("method") or ""))
        return cls(_finite(metric))

    @property
    def is_defined(self) -> bool:
        """Whether there is a value."""
        return self.value is not None

    @property
    def state(self) -> str:
        """Why no number is shown, in two words."""
        return "suppressed" if self.method.startswith("suppressed") else "not defined"

    @property
    def number(self) -> str:
        """The value alone: 0.982."""
        return self.state if self.value is None else decimal(self.value)

    @property
    def interval(self) -> str:
        """The interval alone: 0.971–0.991; empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        between = "–" if self.low >= 0 else " to "
        return f"{decimal(self.low)}{between}{decimal(self.high)}"

    @property
    def text(self) -> str:
        """The value, and its interval in brackets: 0.982 (0.971–0.991)."""
        return f"{self.number} ({self.interval})" if self.interval else self.number

    @property
    def sentence(self) -> str:
        """As in a sentence: 0.982 (95 % interval 0.971–0.991), or why it is not defined."""
        if self.value is None:
            return f"{self.number} ({self.reason})"
        if self.interval:
            return f"{self.number} (95 % interval {self.interval})"
        return f"{self.number} ({self.remark})" if self.remark else self.number

    @property
    def remark(self) -> str:
        """Why there is a value and no interval; empty where nothing need be said."""
        return self.method if self.method.startswith("no interval") else ""

    @property
    def footnote(self) -> str:
        """What stands below a table of this figure: why it has no interval, or no value."""
        return self.remark if self.is_defined else f"{self.state}: {self.reason}"

    @property
    def reason(self) -> str:
        """Why there is no value."""
        text = self.method.removeprefix("undefined").removeprefix("suppressed").lstrip(": ")
        return text or "no reason was recorded"


def without_numbers(method: str) -> str:
    """How an interval was found, without the numbers of one figure, which its CSV keeps.

    >>> without_numbers("jackknife over 81 patients, logit scale")
    'jackknife, logit scale'
    """
    return _METHOD_NUMBERS.sub("", method)


def metric_name(key: str) -> str:
    """The field's name of a metric: `ppv` is "PPV (precision)"."""
    return METRIC_NAMES.get(key, key.replace("_", " "))


def split_name(split: str) -> str:
    """A split as it stands in a sentence."""
    return SPLIT_NAMES.get(split, split)


def decimal(value: float, digits: int = 3) -> str:
    """A number with three decimals, and a true minus before a negative one.

    >>> decimal(0.98249), decimal(-0.0701), decimal(-0.0001)
    ('0.982', '−0.070', '0.000')
    """
    return f"{value:z.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """A share as a percentage with a space, as ISO 31-0 writes it.

    >>> percent(0.254), percent(0.0004)
    ('25 %', '0.04 %')
    """
    shown = 100 * share
    return f"{shown:.0f} %" if shown >= 1 or shown == 0 else f"{shown:.2g} %"


def count(number: int, what: str) -> str:
    """How many of a thing.

    >>> count(1, "image"), count(4436, "image")
    ('1 image', '4,436 images')
    """
    return f"{number:,} {what if number == 1 else what + 's'}"


def in_hundred(share: float) -> str:
    """A share as so many of a hundred, never rounded to none or all where it is not.

    >>> in_hundred(0.954), in_hundred(0.9991), in_hundred(1.0)
    ('95', 'more than 99', '100')
    """
    rounded = round(100 * share)
    if rounded == 100 and share < 1:
        return "more than 99"
    if rounded == 0 and share > 0:
        return "fewer than 1"
    return str(rounded)


def capitalise(text: str) -> str:
    """A text as the beginning of a sentence; the rest stays as it is.

    >>> capitalise("external AUROC")
    'External AUROC'
    """
    return text[:1].upper() + text[1:]


def sentence_of(text: str) -> str:
    """A text as one sentence, closed by one full stop."""
    closed = capitalise(text.strip())
    return closed if not closed or closed[-1] in ".!?" else f"{closed}."


def listing(items: Sequence[str], last: str = "and") -> str:
    """Items in a sentence.

    >>> listing(["CNV", "DME", "DRUSEN"], "or")
    'CNV, DME or DRUSEN'
    """
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def shorten(label: str, limit: int = 24) -> str:
    """A name that fits into a legend.

    >>> shorten("a class with a very long name", 12)
    'a class wit…'
    """
    return label if len(label) <= limit else f"{label[: limit - 1]}…"


def _finite(value: Any) -> float | None:
    if value is None or isinstance(value, str | bool):
        return None
    number = float(value)
    return number if math.isfinite(number) else None
