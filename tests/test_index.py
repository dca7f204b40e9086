"""The dataset and its door: phantoms, what is synthetic, codes, the fixed order of columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pellucid.data import phantoms
from pellucid.data.index import Dataset, read_dataset
from pellucid.data.listing import count, some
from pellucid.errors import DataError, UsageError
from pellucid.task import Target, Task


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The real phantoms, but few; returns the folders that were asked for."""
    folders: list[Path] = []
    write = phantoms.write_phantoms

    def write_few(folder: Path, case: str, progress: Any = None) -> Path:
        folders.append(folder)
        return write(folder, case, n_patients=12, image_size=32, progress=progress)

    monkeypatch.setattr(phantoms, "write_phantoms", write_few)
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path))
    return folders


def test_phantoms_are_drawn_once_and_read_as_a_folder(drawn: list[Path], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = read_dataset("phantom:oct", progress=lambda done, total: seen.append((done, total)))
    drawings = len(seen)
    again = read_dataset("phantom:oct", progress=lambda done, total: seen.append((done, total)))
    assert 0 < drawings == len(seen)
    assert drawn[0].is_relative_to(tmp_path)
    assert (first.name, first.source) == ("phantom:oct", "phantom:oct")
    assert first.synthetic
    assert first.patients_known
    assert first.table["patient_id"].nunique() == 12
    assert set(first.table["label"]) == {"CNV", "DME", "DRUSEN", "NORMAL"}
    assert again.table.equals(first.table)
    assert "phantom:oct (synthetic, not patients): " in first.describe()


def test_an_interrupted_drawing_is_taken_up_again(drawn: list[Path]) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_dataset("phantom:chest", progress=stop)
    assert read_dataset("phantom:chest").table["patient_id"].nunique() == 12


def test_unknown_phantoms_and_kinds() -> None:
    with pytest.raises(UsageError, match=r"got phantom:brest\. Did you mean .phantom:breast."):
        read_dataset("phantom:brest")
    with pytest.raises(DataError, match=r"got 'fantom:oct'\. Did you mean .phantom:oct."):
        read_dataset("fantom:oct")


def test_phantoms_know_their_patients(drawn: list[Path]) -> None:
    with pytest.raises(UsageError, match="--patient-pattern has no meaning for phantoms"):
        read_dataset("phantom:oct", patient_pattern="x")


def test_a_first_picture_that_cannot_be_read_is_not_synthetic(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_text("no picture")
    dataset = read_dataset(tmp_path)
    assert not dataset.synthetic
    assert len(dataset.table) == 2


def test_codes() -> None:
    table = pd.DataFrame({"a": ["x", None, "y"], "b": ["q", "p", "r"]})
    targets = (
        Target(name="a", classes=("x", "y"), positive="x"),
        Target(name="b", classes=tuple("pqr")),
    )
    codes = Dataset(table, Task(targets=targets), "made", "made").codes()
    assert codes.dtype == np.int64
    assert codes.tolist() == [[1, 1], [-1, 0], [0, 2]]


def test_counting_words() -> None:
    assert [count(n, "patient") for n in (0, 1, 1234)] == [
        "0 patients",
        "1 patient",
        "1,234 patients",
    ]
    assert some([]) == ""
    assert some(range(7), 3) == "0, 1, 2 and 4 more"
