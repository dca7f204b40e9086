"""Pseudonyms: stable for one key, unlike for another, and plain about key files."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pandas as pd
import pytest

from pellucid.data.pseudonyms import Pseudonyms, load_pseudonyms
from pellucid.errors import UsageError


def test_a_keyed_hash_of_kind_and_id() -> None:
    key = bytes(range(32))
    expected = hmac.new(key, b"patient_id\0P7", hashlib.sha256).hexdigest()[:16]
    assert Pseudonyms(key).of("patient_id", "P7") == expected
    assert Pseudonyms(key).of("study", "P7") != expected
    assert Pseudonyms(b"x" * 32).of("patient_id", "P7") != expected


def test_missing_ids_stay_missing() -> None:
    column = Pseudonyms(b"k" * 32).of_column("patient_id", pd.Series(["a", None, "a", "b"]))
    assert column.isna().tolist() == [False, True, False, False]
    assert column[0] == column[2] != column[3]


def test_a_key_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first, notes = load_pseudonyms(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "A new key was written" in notes[0]
    again, notes = load_pseudonyms(path)
    assert notes == []
    assert first.of("patient_id", "7") == again.of("patient_id", "7")
    path.chmod(0o644)
    assert "chmod 600" in load_pseudonyms(path)[1][0]


@pytest.mark.parametrize("text", ["", "no key", "ab" * 31, "zz" * 32])
def test_what_is_no_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        load_pseudonyms(path)
    assert path.read_text() == text


def test_a_key_that_cannot_be_made_or_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can be written"):
        load_pseudonyms(tmp_path / "no" / "key")
    with pytest.raises(UsageError, match="no regular file"):
        load_pseudonyms(tmp_path)
    with pytest.raises(UsageError, match="at least 32 bytes"):
        Pseudonyms(b"short")
