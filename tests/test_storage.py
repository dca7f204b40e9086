"""Our own small files are replaced in one step, or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pellucid.errors import UsageError
from pellucid.storage import write_json, write_text


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = write_json(tmp_path / "deep" / "a.json", {"ü": [1, None]})
    write_json(path, {"ü": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ü": 2}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", {"auroc": 1.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"auroc": float("nan")})
    assert json.loads(path.read_text()) == {"auroc": 1.0}


def test_a_full_disk_is_said_plainly_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text(tmp_path / "a.txt", "old")

    def full(descriptor: int) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"The disk is full: .*a\.txt could not be written"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_text(tmp_path / "runs" / "a.txt", "x")
