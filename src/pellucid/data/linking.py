"""What goes to one part as a whole: a patient, or patients who are linked through copied pictures.

Knows patients' ids and groups of rows; it does not know how copies were found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import UsageError

Ints = npt.NDArray[np.int64]


def link_rows(table: pd.DataFrame, linked: Ints | None = None) -> tuple[Ints, Ints, pd.Index]:
    """The unit (n,) of each row, the unit (n_patients,) of each patient, and the patients' ids.

    Rows of one patient are of one unit, and so are rows with equal values in `linked` (n,), with
    all rows of their patients. Raises `UsageError` when `linked` does not have a value a row.
    """
    codes, patients = pd.factorize(table["patient_id"].astype(str))
    row_patient = codes.astype(np.int64)
    if linked is None:
        return row_patient, np.arange(len(patients), dtype=np.int64), patients
    if np.shape(linked) != (len(table),):
        raise UsageError(
            "Linked rows are given as one group a row", f"{np.shape(linked)} for {len(table):,}"
        )
    unit_of_patient = _components(row_patient, len(patients), np.asarray(linked))
    return unit_of_patient[row_patient], unit_of_patient, patients


def _components(row_patient: Ints, n_patients: int, linked: Ints) -> Ints:
    """The component (n_patients,) of each patient in the graph of patients and groups of rows."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    groups, names = pd.factorize(linked)
    nodes = n_patients + len(names)
    edges = np.ones(len(groups), dtype=np.int8), (row_patient, n_patients + groups)
    component = connected_components(coo_matrix(edges, shape=(nodes, nodes)), directed=False)[1]
    return np.unique(component[:n_patients], return_inverse=True)[1].astype(np.int64)
