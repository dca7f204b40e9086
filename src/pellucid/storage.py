"""Our own small files: written so that a reader finds the old or the new one, and read with care.

Knows bytes and paths; it does not know what stands in the files.
"""

from __future__ import annotations

import errno
import io
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.errors import PredictionsError, UsageError

if TYPE_CHECKING:
    from PIL import Image


def cache_root() -> Path:
    """The folder of what can be made again: $PELLUCID_CACHE, or the user's cache folder."""
    given = os.environ.get("PELLUCID_CACHE")
    if given:
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("pellucid"))


def write_bytes(path: Path, data: bytes) -> Path:
    """Replace `path` by `data` in one step, through a temporary file beside it.

    Raises `UsageError` when the disk is full or the folder cannot be written; the old file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise cannot_write(path, error) from error
    return path


def write_text(path: Path, text: str) -> Path:
    """Replace `path` by `text` (UTF-8) in one step."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, document: Any) -> Path:
    """Replace `path` by a JSON document in one step; NaN is refused, since JSON has none."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")


def write_image(path: Path, image: Image.Image) -> Path:
    """Replace `path` by a picture, as PNG, in one step."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return write_bytes(path, buffer.getvalue())


def cannot_write(path: Path, error: OSError) -> UsageError:
    """The plain error for a file that could not be written."""
    if error.errno == errno.ENOSPC:
        return UsageError(
            f"The disk is full: {path} could not be written",
            remedy="Free some space and run the same command again with --resume.",
        )
    return UsageError(f"{path} cannot be written", error.strerror or type(error).__name__)


def load_document(path: Path, kind: str, version: int) -> dict[str, Any]:
    """A JSON document of ours, such as an "evaluation", by its format `pellucid-<kind>`.

    Raises `PredictionsError` when it is damaged, another, or newer than `version`.
    """
    what = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} of Pellucid"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PredictionsError(f"{path} is not a readable {kind}") from error
    if not isinstance(document, dict) or document.get("format") != f"pellucid-{kind}":
        raise PredictionsError(f"{path} is not {what}")
    if document.get("version", 0) > version:
        raise PredictionsError(f"{path} was written by a newer Pellucid")
    return document
