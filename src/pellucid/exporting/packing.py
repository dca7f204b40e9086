"""A bundle to hand on: one folder or one .zip, with what its author states, and without patients.

The fingerprints of the patients it was trained on stay behind unless asked for: they are keyed, but
the key lies beside them (see `bundle.trained_on`). The same bundle packs to the same bytes.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from pellucid.bundle import files
from pellucid.bundle.files import BundleFiles, open_files, sign
from pellucid.bundle.trained_on import load_trained_on
from pellucid.errors import UsageError
from pellucid.storage import write_bytes

_BEGINNING = (1980, 1, 1, 0, 0, 0)  # of time, in a .zip


def pack(
    opened: BundleFiles, out: Path, stated: dict[str, Any], *, fingerprints: bool = False
) -> Path:
    """Write the bundle to a folder, or to one file where `out` ends in .zip; checked by reading it.

    `stated` replaces what the card says of licence and use.
    """
    if opened.card["version"] != files.VERSION:
        rule = "A bundle of the first version has no graph"
        remedy = "Make it new: load it with pellucid.load_bundle and write it with save_bundle."
        raise UsageError(rule, remedy=remedy)
    card = sign({**opened.card, **stated})
    parts = {name: opened.read(name) for name in sorted(files.MOST_BYTES) if opened.has(name)}
    parts[files.CARD] = (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode()
    if fingerprints and (known := load_trained_on(opened.place)):
        parts[files.TRAINED_ON] = json.dumps(known.to_json()).encode()
    if out.suffix.lower() == ".zip":
        write_bytes(out, _zipped(parts))
    else:
        if out.is_dir():
            shutil.rmtree(out)
        for name, data in sorted(parts.items(), key=lambda part: part[0] == files.CARD):
            write_bytes(out / name, data)
    again = open_files(out)
    for name in parts.keys() & again.card["files"].keys():
        again.read(name)
    return out


def _zipped(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(parts.items()):
            archive.writestr(zipfile.ZipInfo(name, _BEGINNING), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
