"""The dataset and its door: phantoms, what is synthetic, codes, the fixed order of columns."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, PngImagePlugin

from pellucid.data.index import Dataset, read_dataset
from pellucid.data.listing import count, some
from pellucid.errors import DataError, UsageError
from pellucid.task import Target, Task


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Phantoms that are quick to draw, in the place of `pellucid.data.phantoms`."""
    calls: list[Path] = []

    def write_phantoms(folder: Path, case: str, *, progress: Any = None, **_: Any) -> Path:
        calls.append(folder)
        text = PngImagePlugin.PngInfo()
        text.add_text("Synthetic", "Pellucid phantom, not a patient")
        for row, name in enumerate(["CNV", "DME", "CNV"]):
            path = folder / "images" / name / f"P{row:03d}_0.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), row).save(path, pnginfo=text)
        if progress:
            progress(3, 3)
        return folder / "images"

    module = ModuleType("pellucid.data.phantoms")
    vars(module).update(write_phantoms=write_phantoms, PHANTOM_PATIENT_PATTERN=r"(P\d+)")
    monkeypatch.setitem(sys.modules, "pellucid.data.phantoms", module)
    return calls


def test_phantoms_are_drawn_once_and_read_as_a_folder(
    drawn: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path))
    seen: list[tuple[int, int]] = []
    report: Callable[[int, int], None] = lambda done, total: seen.append((done, total))  # noqa: E731  a one-line listener
    first = read_dataset("phantom:oct", progress=report)
    again = read_dataset("phantom:oct")
    assert len(drawn) == 1
    assert drawn[0].is_relative_to(tmp_path)
    assert seen == [(3, 3)]
    assert (first.name, first.source) == ("phantom:oct", "phantom:oct")
    assert first.synthetic
    assert first.patients_known
    assert first.table["patient_id"].tolist() == ["P000", "P002", "P001"]
    assert again.table.equals(first.table)
    assert "phantom:oct (synthetic, not patients): 3 images, 3 patients" in first.describe()


def test_an_interrupted_drawing_is_taken_up_again(
    drawn: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_dataset("phantom:chest", progress=stop)
    assert len(read_dataset("phantom:chest").table) == 3
    assert len(drawn) == 2


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
