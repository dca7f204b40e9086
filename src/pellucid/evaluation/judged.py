"""What is judged: the labelled rows of one target and split, as arrays of n images.

Every measure of this room takes a `Judged`; it knows no file and computes no figure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import PredictionsError
from pellucid.evaluation.measures.metrics import Ranking
from pellucid.evaluation.predictions import LOGIT, PROBABILITY, REQUIRED, SPLITS
from pellucid.evaluation.uncertainty.intervals import Patients, group_patients
from pellucid.task import Target

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """The labelled rows of one target and split.

    `probabilities` (n, K) are in the order of `target.classes`, `codes` (n,) are the true classes,
    and `table` (n rows) holds what else the predictions table says of these images.
    """

    target: Target
    split: str
    probabilities: Floats
    codes: Ints
    table: pd.DataFrame

    @property
    def n(self) -> int:
        """How many images there are."""
        return len(self.codes)

    @property
    def image_ids(self) -> npt.NDArray[np.object_]:
        """The name of each image (n,)."""
        return self.table["image_id"].to_numpy(dtype=object)

    @property
    def patient_ids(self) -> npt.NDArray[np.object_]:
        """The patient of each image (n,)."""
        return self.table["patient_id"].to_numpy(dtype=object)

    @cached_property
    def patients_known(self) -> bool:
        """Whether any image has a patient other than itself."""
        return bool((self.patient_ids != self.image_ids).any())

    @property
    def facts(self) -> pd.DataFrame:
        """The fact columns (n rows) that came with the predictions."""
        known = [
            name
            for name in self.table.columns
            if name not in REQUIRED and not str(name).startswith((PROBABILITY, LOGIT))
        ]
        return self.table[known]

    @cached_property
    def patients(self) -> Patients:
        """Patients as clusters, in strata of their classes."""
        return group_patients(self.patient_ids, self.codes, len(self.target.classes))

    @cached_property
    def rankings(self) -> list[Ranking]:
        """Each class's scores, sorted."""
        return [
            Ranking(self.probabilities[:, k], self.codes == k)
            for k in range(len(self.target.classes))
        ]

    def rows(self, inside: npt.NDArray[np.bool_]) -> Judged:
        """The images for which `inside` (n,) holds."""
        return replace(
            self,
            probabilities=self.probabilities[inside],
            codes=self.codes[inside],
            table=self.table[inside].reset_index(drop=True),
        )


def judged_splits(table: pd.DataFrame, target: Target) -> list[Judged]:
    """The splits of a checked predictions table in which the target has labels, test first."""
    rows = table[(table["target"] == target.name) & table["y_true"].notna()]
    absent = [name for name in target.classes if PROBABILITY + name not in rows]
    if absent:
        raise PredictionsError(
            f"The table needs the column {PROBABILITY}{absent[0]} for target {target.name!r}"
        )
    return [
        _judged(rows[rows["split"] == split], target, split)
        for split in SPLITS
        if (rows["split"] == split).any()
    ]


def _judged(rows: pd.DataFrame, target: Target, split: str) -> Judged:
    return Judged(
        target=target,
        split=split,
        probabilities=rows[[PROBABILITY + name for name in target.classes]].to_numpy(dtype=float),
        codes=pd.Index(target.classes).get_indexer(pd.Index(rows["y_true"])).astype(np.int64),
        table=rows.reset_index(drop=True),
    )
