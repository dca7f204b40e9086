"""Whom a model was trained on, kept so that nobody is called a test patient who was not one.

A bundle holds a 32-bit keyed fingerprint of each patient of train and validation, and the key. Who
has a patient's id can ask whether it was among them. That is all they are for, and they are still
pseudonymous data: nobody reads an id from them, but who can try every id there may be (eight digits
are soon tried) finds those that fit, among wrong ones. A stranger is mistaken for one of n patients
with a chance of n / 2³²: 1 in 43,000 for 100,000 patients. So as many as chance explains are not
held against a test. Knows ids; it does not know images or models.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.bundle import files
from pellucid.data.listing import count
from pellucid.errors import BundleError, SplitError
from pellucid.storage import write_json

FILE = files.TRAINED_ON
FORMAT = "pellucid-trained-on"
USED = ("train", "validation")  # validation chose the epoch and the operating point
_JUDGED = ("test", "external_test")
_SALT_BYTES = 16
_MOST_SALT_BYTES = 64  # the longest key of BLAKE2b
_BY_CHANCE = 0.001  # how rarely strangers may be refused

Fingerprints = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class TrainedOn:
    """The fingerprints of the patients a model was trained on, sorted, and their key."""

    salt: bytes
    fingerprints: Fingerprints

    def to_json(self) -> dict[str, Any]:
        """The document of `trained_on.json`."""
        packed = base64.b64encode(self.fingerprints.astype("<u4").tobytes()).decode("ascii")
        return {"format": FORMAT, "version": 1, "salt": self.salt.hex(), "fingerprints": packed}


def fingerprint_patients(patient_ids: Iterable[str], salt: bytes) -> Fingerprints:
    """A 32-bit fingerprint (n,) of each patient id, keyed by the salt (BLAKE2b, RFC 7693)."""
    digests = [
        hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=4, key=salt).digest()
        for name in patient_ids
    ]
    return np.frombuffer(b"".join(digests), dtype="<u4").astype(np.uint32)


def fingerprint_training(table: pd.DataFrame, salt: bytes | None = None) -> TrainedOn:
    """The fingerprints of everybody in train and validation of a split table."""
    salt = salt or secrets.token_bytes(_SALT_BYTES)
    used = table.loc[table["split"].isin(USED), "patient_id"].astype(str).unique()
    return TrainedOn(salt, np.unique(fingerprint_patients(used, salt)))


def save_trained_on(trained_on: TrainedOn, folder: Path) -> Path:
    """Write `trained_on.json` into a bundle."""
    return write_json(folder / FILE, trained_on.to_json())


def load_trained_on(model: Path) -> TrainedOn | None:
    """What a bundle (a folder or a .zip), or the bundle of a run, says; None for nothing.

    Raises `BundleError` when the file is damaged.
    """
    data = files.read_unlisted(model, FILE)
    return None if data is None else _parse(data, model)


def check_not_trained_on(table: pd.DataFrame, trained_on: TrainedOn) -> None:
    """Raise `SplitError` when predictions call patients test that the model was trained on.

    One known patient is enough, unless there are so many of both that strangers would be mistaken
    for them more often than once in 1,000 tests (Poisson).
    """
    from scipy.special import gammainc  # of (n, mean): the chance of n or more by Poisson

    judged = table.loc[table["split"].isin(_JUDGED), "patient_id"].dropna().astype(str).unique()
    known = fingerprint_patients(judged, trained_on.salt)
    n = int(np.isin(known, trained_on.fingerprints).sum())
    strangers = len(judged) * len(trained_on.fingerprints) / 2**32
    if n and gammainc(n, strangers) < _BY_CHANCE:
        raise SplitError(
            "A patient that the model was trained on is no test patient",
            f"{count(n, 'patient')} of {len(judged):,} called test",
            "Leave them out, or call their split train. If equal ids are different people, make "
            "the ids differ.",
        )


def _parse(data: bytes, model: Path) -> TrainedOn:
    try:
        document = json.loads(data.decode("utf-8"))
        if document["format"] != FORMAT or document["version"] != 1:
            rule = f"The {FILE} of {model} was written by another program or a newer Pellucid"
            raise BundleError(rule)
        salt = bytes.fromhex(document["salt"])
        if not _SALT_BYTES <= len(salt) <= _MOST_SALT_BYTES:
            raise ValueError("the length of the key")
        packed = base64.b64decode(document["fingerprints"], validate=True)
        fingerprints = np.frombuffer(packed, dtype="<u4").astype(np.uint32)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"The {FILE} of {model} is damaged", type(error).__name__) from error
    return TrainedOn(salt, fingerprints)
