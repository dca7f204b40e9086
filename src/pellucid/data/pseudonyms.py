"""Pseudonyms: ids replaced by keyed hashes, so that runs can be joined by who holds the key.

HMAC-SHA256 (RFC 2104) of the kind of id and the id, of which the first 16 hexadecimal digits are
kept: 64 bits, so that among a million ids two would share a pseudonym once in 37 million datasets.
It knows ids and a key; it knows no table, and it hides nothing that a picture itself shows.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

import pandas as pd

from pellucid.errors import UsageError

KEY_BYTES = 32
_DIGITS = 16
_MOST_BYTES = 4096  # of a key file: whatever is larger is no key


class Pseudonyms:
    """The pseudonyms that one key gives.

    The same id of the same kind always has the same pseudonym; a patient "7" and a study "7" have
    different ones.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise UsageError(f"A key has at least {KEY_BYTES} bytes", f"{len(key)}")
        self._key = key

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of one id, 16 hexadecimal digits."""
        message = f"{kind}\0{value}".encode("utf-8", "surrogateescape")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_DIGITS]

    def of_column(self, kind: str, values: pd.Series[str]) -> pd.Series[str]:
        """The pseudonyms of a column; missing ids stay missing."""
        known = {value: self.of(kind, str(value)) for value in values.dropna().unique()}
        return values.map(known)


def load_pseudonyms(path: Path) -> tuple[Pseudonyms, list[str]]:
    """The pseudonyms of a key file, and notes about it; a file that is missing is made.

    The file holds 64 or more hexadecimal digits; a new one is readable for its owner alone (mode
    600). Raises `UsageError` for what is no key, or cannot be read or made.
    """
    notes = [] if path.exists() else [_make(path)]
    text = _read(path)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise _no_key(path, "something else") from None
    if len(key) < KEY_BYTES:
        raise _no_key(path, f"{len(key)} bytes" if key else "an empty file")
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        notes.append(f"Others on this machine may read the key {path}; chmod 600 protects it.")
    return Pseudonyms(key), notes


def _make(path: Path) -> str:
    """Write a new key; one that another process made in the same moment is left as it is."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
    except FileExistsError:
        return f"The key {path} is used."
    except OSError as error:
        raise UsageError(
            "The file of the key must be in a folder that can be written",
            f"{path} ({error.strerror})",
        ) from error
    return (
        f"A new key was written to {path}, readable for you alone. Keep it, and keep it apart from "
        "the data: with it ids can be joined again."
    )


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise _no_key(path, "no regular file")
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1).strip()
    except OSError as error:
        raise UsageError("The key must be readable", f"{path} ({error.strerror})") from error


def _no_key(path: Path, found: str) -> UsageError:
    return UsageError(
        f"A key file holds {2 * KEY_BYTES} hexadecimal digits or more",
        f"{found} in {path}",
        "Name a file that does not exist, and a key is made.",
    )
