"""A predictions table of other patients beside a run's own: whether the two fit together.

What `data/external` asks of datasets, asked of predictions. It reads and judges nothing.
"""

from __future__ import annotations

import pandas as pd

from pellucid.errors import PredictionsError, SplitError, did_you_mean
from pellucid.evaluation.predictions import UNNAMED, classes_of


def fit_external(own: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """An external table with the targets and classes of the run's own, or it is refused.

    A table that names no target answers the only one there is.
    """
    targets = list(dict.fromkeys(own["target"]))
    if len(targets) == 1 and set(table["target"]) == {UNNAMED}:
        table = table.assign(target=targets[0])
    strange = sorted(set(table["target"]) - set(targets))
    if strange:
        raise PredictionsError(
            "An external test has the targets of the run",
            repr(strange[0]),
            did_you_mean(strange[0], targets),
        )
    for name, part in table.groupby("target", sort=False):
        expected, found = classes_of(own[own["target"] == name]), classes_of(part)
        if set(expected) != set(found):
            raise PredictionsError(
                f"An external test has the classes of the run (target {name!r})",
                f"{', '.join(found)} instead of {', '.join(expected)}",
                "Name the columns and the labels as the run does.",
            )
    if table["y_true"].isna().all():
        raise PredictionsError("An external test needs labels", "no y_true")
    return table


def check_other_patients(own: pd.DataFrame, table: pd.DataFrame) -> None:
    """Raise `SplitError` where patients are known in both and some stand in both."""
    if any((each["patient_id"] == each["image_id"]).all() for each in (own, table)):
        return
    both = set(own["patient_id"]) & set(table["patient_id"])
    if both:
        who = "1 patient" if len(both) == 1 else f"{len(both):,} patients"
        raise SplitError(
            "A patient of the external test must not stand in the run",
            f"{who} in both",
            "Leave them out. If equal ids are different people, make the ids differ.",
        )
