"""The files of a bundle, in a folder or a .zip: names known, sizes bounded, every digest checked.

A bundle may come from a stranger. So nothing is read that the card does not announce, nothing that
is larger than such a file can be, and nothing that is not what the card's digest says; who opens a
model checks the files it does not need too, so that a damaged copy is damaged everywhere. The
card's own digest is over all else in it: it finds damage and careless changes, and names the model.
It is no signature: whoever rewrites a bundle on purpose can write another digest too.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pellucid.errors import BundleError

FORMAT, VERSION = "pellucid-bundle", 2
CARD, WEIGHTS, GRAPH, GUARD = "card.json", "weights.safetensors", "model.onnx", "guard.safetensors"
TRAINED_ON = "trained_on.json"  # of nobody's use but `evaluate`, and announced by no card
MOST_BYTES = {CARD: 2**24, WEIGHTS: 2**33, GRAPH: 2**31, GUARD: 2**26, TRAINED_ON: 2**26}
_DEFLATED_BY = 20  # at most; weights hardly shrink, and a file that does is made to fill a memory
_SMALL = 2**20  # bytes that any file may be inflated to
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # Python inflates others without a bound
_ELSEWHERE = b"location"  # stands in an ONNX graph only where a tensor lies in another file
_FINDERS = "__MACOSX/"  # twins of files that macOS adds
_BLOCK = 2**20  # bytes that are hashed at once
_UNREADABLE = (
    OSError,
    EOFError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
_COPY_AGAIN = "The file was damaged or changed; copy the bundle again."


@dataclass(frozen=True)
class BundleFiles:
    """A bundle whose card has been read and checked; `place` is its folder or archive."""

    place: Path
    card: dict[str, Any]

    def has(self, name: str) -> bool:
        """Whether the card announces this file."""
        return name in _announced(self.card)

    def read(self, name: str) -> bytes:
        """The bytes of a file, which are what the card says; raises `BundleError`."""
        data = _read(self.place, name)
        self._compare(name, hashlib.sha256(data))
        if name == GRAPH and _ELSEWHERE in data:
            raise BundleError(f"The graph of the bundle {self.place} names other files")
        return data

    def check(self, *, but: tuple[str, ...]) -> None:
        """Raise `BundleError` for a file that is missing or changed; those of `but` are read."""
        for name in _announced(self.card):
            if name not in but:
                found = hashlib.sha256()
                with _opened(self.place, name) as (file, _):
                    while block := file.read(_BLOCK):
                        found.update(block)
                self._compare(name, found)

    def _compare(self, name: str, found: hashlib._Hash) -> None:
        if found.hexdigest() != _announced(self.card).get(name):
            what = {WEIGHTS: "weights", GRAPH: "graph"}.get(name, name)
            rule = f"The {what} of the bundle {self.place} differ from the digest in its card"
            raise BundleError(rule, remedy=_COPY_AGAIN)

    @property
    def digest(self) -> str:
        """The model's name among all models: 64 hexadecimal digits, the same wherever it lies.

        One that stands in the card was held against it when it was opened.
        """
        return str(self.card.get("digest") or digest_of(self.card))


def open_files(path: str | os.PathLike[str]) -> BundleFiles:
    """The files of a bundle folder, of a run's bundle, or of a bundle's archive.

    Raises `BundleError`, with the plain reason, for what is no bundle, damaged or too new.
    """
    place = _find(Path(path))
    card = _parse(_read(place, CARD), place)  # the first version's had no digest of its own
    if (card["version"] > 1 or "digest" in card) and card.get("digest") != digest_of(card):
        rule = f"The card of the bundle {place} differs from its own digest"
        raise BundleError(rule, remedy=_COPY_AGAIN)
    return BundleFiles(place, card)


def read_unlisted(path: str | os.PathLike[str], name: str) -> bytes | None:
    """The bytes of a file that no card announces, of a model with or without it (None)."""
    model = Path(path)
    run = model / "bundle"
    try:
        return _read(run if (run / name).is_file() else model, name)
    except (_Absent, OSError):  # a name that no file can have is none
        return None


def sign(card: dict[str, Any]) -> dict[str, Any]:
    """A card with the digest of all else that stands in it."""
    return {**card, "digest": digest_of(card)}


def digest_of(card: dict[str, Any]) -> str:
    """SHA-256 of the card without its digest, whatever its layout."""
    rest = {key: value for key, value in card.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def describe_files(files: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """What a card announces of its files: digests and sizes."""
    return {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in files.items()
    }


def _announced(card: dict[str, Any]) -> dict[str, str]:
    """The digests by file; version 1 knew the weights alone."""
    if card["version"] == 1:
        return {WEIGHTS: str(card.get("weights_sha256"))}
    files = card.get("files")
    if not isinstance(files, dict):
        return {}
    return {
        name: str(about.get("sha256")) if isinstance(about, dict) else ""
        for name, about in files.items()
        if name in MOST_BYTES
    }


def _find(path: Path) -> Path:
    """The folder with a card, or the archive."""
    try:
        for folder in (path, path / "bundle"):
            if (folder / CARD).is_file():
                return folder
        if path.is_file():
            return path
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise BundleError(f"There is no model at {path}", _reason(error)) from error
    if not path.exists():
        raise BundleError(f"There is no model at {path}", remedy="Give a bundle or a run folder.")
    raise BundleError(
        f"{path} is neither a bundle nor a finished run: it holds no card.json",
        remedy="If a run was interrupted, finish it with `pellucid train … --resume`.",
    )


class _Absent(BundleError):
    """A file is missing."""


def _read(place: Path, name: str) -> bytes:
    """The bytes of a file, at most as many as it says it has: no more memory is asked for."""
    with _opened(place, name) as (file, size):
        data = file.read(size + 1)
        if len(data) != size:
            raise _too_large(place)
        return data


@contextmanager
def _opened(place: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """A file of a bundle with its size, which is one that such a file can have."""
    try:
        with _open_zipped(place, name) if place.is_file() else _open_plain(place, name) as found:
            yield found
    except FileNotFoundError:
        raise _Absent(f"The bundle {place} has no {name}", remedy=_COPY_AGAIN) from None
    except _UNREADABLE as error:
        raise BundleError(f"{place} cannot be read as a bundle", _reason(error)) from error


@contextmanager
def _open_plain(folder: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    path = folder / name
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise BundleError(f"{path} is no file")
    if about.st_size > MOST_BYTES[name]:
        raise _too_large(path)
    with path.open("rb") as file:
        yield file, about.st_size


@contextmanager
def _open_zipped(archive: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    if not zipfile.is_zipfile(archive):
        rule = f"{archive} is neither a bundle nor a run"
        raise BundleError(rule, remedy="Give a bundle folder, its .zip, or a run folder.")
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if not name.startswith(_FINDERS)]
        cards = [inside for inside in names if inside in (CARD, f"{inside.split('/')[0]}/{CARD}")]
        if len(cards) != 1 or len(names) > 2 * len(MOST_BYTES) + 1:
            raise BundleError(f"{archive} is an archive, but not of one bundle")
        wanted = cards[0].removesuffix(CARD) + name
        if wanted not in names:
            raise FileNotFoundError(name)
        entry = opened.getinfo(wanted)
        if entry.compress_type not in _METHODS:
            raise BundleError(f"{archive} is packed in a way that no bundle is")
        packed = min(entry.compress_size, archive.stat().st_size)  # which the archive only states
        most = max(_SMALL, _DEFLATED_BY * packed)
        if entry.file_size > min(most, MOST_BYTES[name]):
            raise _too_large(archive)
        with opened.open(entry) as file:
            yield file, entry.file_size


def _too_large(path: Path) -> BundleError:
    return BundleError(f"{path} holds more than such a file can")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _parse(data: bytes, place: Path) -> dict[str, Any]:
    try:
        card = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
        json.dumps(card, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, RecursionError) as error:
        found = type(error).__name__
        raise BundleError(f"{place / CARD} is not a readable card", found) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise BundleError(f"{place / CARD} is not the card of a Pellucid bundle")
    version = card.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        rule = f"{place / CARD} tells no version that there is"
        raise BundleError(rule, repr(version)[:40], _COPY_AGAIN)
    if version > VERSION:
        raise BundleError(
            f"{place / CARD} was written by a newer Pellucid (bundle version {version}; this one "
            f"reads up to {VERSION})",
            remedy="Update Pellucid.",
        )
    return card
