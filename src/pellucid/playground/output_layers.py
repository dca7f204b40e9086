"""Logits as odds, probabilities and log-probabilities, with what a change of one would do.

The numbers and the sentences are `explanation.wording`'s, by `network.formulas`; here anyone's
logits come in. Source: lecture section "Output layers".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.errors import UsageError
from pellucid.explanation.wording import Wording, word_logits
from pellucid.playground.columns import write_columns
from pellucid.task import Target

_ONE = ("other", "positive")


@dataclass(frozen=True)
class Output:
    """One image's logits, as a network with one output block would give them, in every form."""

    wording: Wording

    def describe(self) -> str:
        """A row a class, then sentences, as text."""
        found = self.wording.to_json()
        heads = ("class", "logit", "e^z", "odds against the rest", "probability", "log-probability")
        keys = ("label", "logit", "odds_text", "odds_against_rest", "probability_text")
        rows = [(*(one[key] for key in keys), one["log_probability"]) for one in found["classes"]]
        layer = "sigmoid of one logit" if found["is_one_logit"] else "softmax of all logits"
        lines = [f"Output layer: {layer}.", write_columns(heads, rows), ""]
        return "\n".join([*lines, *found["sentences"]])

    def to_json(self) -> dict[str, Any]:
        """Every form of the logits, and the sentences."""
        return self.wording.to_json()


def convert_logits(logits: Sequence[float], classes: Sequence[str] = ()) -> Output:
    """One logit (of the positive class against the other) or one a class, in every form.

    `classes` names them, two for one logit with the positive one last; else they are numbered.
    Raises `UsageError` for a wrong number of names and logits that are not finite.
    """
    n_classes = max(2, len(logits))
    if not logits:
        raise UsageError("An output layer has at least one logit", "none")
    names = tuple(classes) or (_ONE if len(logits) == 1 else _numbered(n_classes))
    if len(names) != n_classes or len(set(names)) != n_classes:
        found = ", ".join(names)
        raise UsageError(f"{len(logits)} logits have {n_classes} different classes", found)
    return Output(word_logits(logits, Target(name="output", classes=names, n_logits=len(logits))))


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(1, n + 1))
