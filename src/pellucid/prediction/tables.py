"""The predictions table of images whose labels and patients nobody knows.

For another prevalence than that of the validation images, which the bundle's card tells, the
probabilities are shifted; the logits stay the network's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import UsageError
from pellucid.evaluation.predictions import PROBABILITY, build_predictions
from pellucid.evaluation.probabilities.prior_shift import complete_prevalence, shift_prevalence
from pellucid.task import Target, Task

Shift = tuple[tuple[float, ...], tuple[float, ...]]


def tabulate_unlabelled(
    image_ids: Sequence[str],
    logits: npt.NDArray[np.float32],
    task: Task,
    shifts: Mapping[str, Shift] | None = None,
    *,
    patient_ids: Sequence[str] | None = None,
    cautions: Sequence[str] | None = None,
) -> pd.DataFrame:
    """A row an image and target, from logits (n, task.n_logits); `y_true` is empty.

    `shifts` are those of `find_shifts`, by target. `cautions` become a column of that name.
    """
    about = None if cautions is None else pd.DataFrame({"caution": list(cautions)}, dtype=object)
    tables = []
    for target in task.targets:
        table = build_predictions(
            image_ids=list(image_ids),
            patient_ids=list(patient_ids or [""] * len(image_ids)),
            split="",
            target=target,
            codes=np.full(len(image_ids), -1),
            logits=logits[:, task.slices()[target.name]],
            facts=about,
            keep_unlabelled=True,
        )
        if shifts and target.name in shifts:
            names = [PROBABILITY + name for name in target.classes]
            table[names] = shift_prevalence(table[names].to_numpy(), *shifts[target.name])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def find_shifts(
    prevalence: float | Mapping[str, float] | None, task: Task, card: Mapping[str, Any]
) -> dict[str, Shift]:
    """From which prevalence to which each target's probabilities are shifted; empty for None.

    A number is the positive class's share, of the only target with one; a mapping states some
    classes' shares of the target that has them, or of the one named as in "TARGET:CLASS". Raises
    `UsageError`, also where the card tells no prevalence of the validation images, or that the
    probabilities were not calibrated on them.
    """
    if prevalence is None:
        return {}
    if isinstance(prevalence, float | int):
        positives = [target for target in task.targets if target.positive is not None]
        if len(positives) != 1:
            rule = "One number as prevalence needs one target of two classes"
            raise UsageError(rule, f"{len(positives)} of them", "Say TARGET:CLASS=SHARE.")
        prevalence = {str(positives[0].positive): float(prevalence)}
    target, stated = _owner(prevalence, task)
    given = _prevalence_of(target, card)
    return {target.name: (given, complete_prevalence(stated, target.classes, given))}


def _owner(prevalence: Mapping[str, float], task: Task) -> tuple[Target, dict[str, float]]:
    """The target whose classes are stated, and their shares by class."""
    for target in task.targets:
        prefix = f"{target.name}:"
        if all(name.startswith(prefix) for name in prevalence):
            shares = prevalence.items()
            return target, {name.removeprefix(prefix): share for name, share in shares}
    owners = [target for target in task.targets if set(prevalence) & set(target.classes)]
    if len(owners) == 1 or len(task.targets) == 1:
        return (owners or list(task.targets))[0], dict(prevalence)
    remedy = f"Say TARGET:CLASS=SHARE. Targets: {', '.join(task.names)}."
    raise UsageError(
        "The classes of a prevalence belong to one target", ", ".join(prevalence), remedy
    )


def _prevalence_of(target: Target, card: Mapping[str, Any]) -> tuple[float, ...]:
    """The share of each class among the validation images, as the card tells."""
    done = (card.get("training") or {}).get("calibration") or {}
    for block in (card.get("evaluation") or {}).get("blocks", []):
        if block["target"] == target.name and block["split"] == "validation":
            known = block.get("prevalence") or {}
            shares = tuple(float(known.get(name) or 0) for name in target.classes)
            if all(share > 0 for share in shares) and "method" in done.get(target.name, {}):
                return shares
    raise UsageError(
        "A prevalence can be shifted where the probabilities were calibrated on validation images "
        "that have every class",
        f"the model's card tells nothing of it for {target.name!r}",
        "Train with such a validation split and without calibration=none.",
    )
