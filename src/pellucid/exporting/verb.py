"""export(model, out) → a file or folder that others can use, checked before it is left.

Knows which form is wanted and what must hold; it does not know how a form is made.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pellucid.bundle.card import INTENDED_USE
from pellucid.bundle.files import BundleFiles, open_files
from pellucid.errors import UsageError, did_you_mean
from pellucid.storage import write_bytes

FORMS = ("bundle", "onnx", "torch", "triton")
_BY_SUFFIX = {".zip": "bundle", ".onnx": "onnx", ".pt2": "torch"}


class Exported(NamedTuple):
    """What was written, in which form, of which model; of a runtime, how near its answers are."""

    out: Path
    form: str
    digest: str
    n_images: int = 0
    images: str = ""
    largest_difference: float | None = None


def export(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    form: str | None = None,
    check: Sequence[str | os.PathLike[str]] = (),
    licence: str | None = None,
    intended_use: str | None = None,
    fingerprints: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write a bundle or run as a "bundle" (folder or .zip), "onnx", "torch" (.pt2) or "triton".

    Without `form` the ending of `out` decides. ONNX and torch files hold the preprocessing, from
    pixels of any size in [0, 1] to calibrated probabilities; they are written only where their
    answers for the images of `check`, or of the run, are torch's to 1e-4. Raises `UsageError`,
    `BundleError`, and `CheckFailed` where they are not.
    """
    place = Path(out)
    chosen = form or _BY_SUFFIX.get(place.suffix.lower(), "bundle")
    if chosen not in FORMS:
        remedy = did_you_mean(chosen, list(FORMS))
        raise UsageError(f"A model is exported as {', '.join(FORMS)}", repr(chosen), remedy)
    opened = open_files(model)
    _make_room(place, opened, overwrite)
    if chosen == "bundle":
        from pellucid.exporting.packing import pack

        given = {"licence": licence, "intended_use": intended_use}
        stated = {key: value for key, value in given.items() if value is not None}
        pack(opened, place, stated, fingerprints=fingerprints)
        return Exported(place, chosen, open_files(place).digest)
    return _to_runtime(opened, Path(model), place, chosen, [Path(one) for one in check])


def _make_room(place: Path, opened: BundleFiles, overwrite: bool) -> None:
    """Refuse to write over anything unasked, and over the model itself or a stranger's folder."""
    if not place.exists():
        return
    if not overwrite:
        raise UsageError(f"{place} exists", remedy="Choose another --out or add --overwrite.")
    source = opened.place.resolve()
    if place.resolve() in (source, *source.parents):
        raise UsageError(f"{place} holds the model itself", remedy="Choose another --out.")
    known = ("card.json", "config.pbtxt")
    if place.is_dir() and any(place.iterdir()) and not any((place / n).is_file() for n in known):
        rule = f"{place} is a folder of something else, so it is not overwritten"
        raise UsageError(rule, remedy="Choose another --out.")


def _to_runtime(
    opened: BundleFiles, model: Path, out: Path, form: str, check: list[Path]
) -> Exported:
    from pellucid.bundle.artefact import load_from
    from pellucid.exporting import runtimes
    from pellucid.exporting.parity import check_parity, images_to_ask

    bundle, images = load_from(opened), images_to_ask(model, check)
    if form == "torch":
        import torch

        program = runtimes.to_torch(bundle)
        parity = check_parity(bundle, runtimes.ask_torch(program), images)
        out.parent.mkdir(parents=True, exist_ok=True)
        torch.export.save(program, out)
        return Exported(out, form, opened.digest, *parity)
    graph = runtimes.to_onnx(bundle, _about(opened, bundle.task.model_dump(mode="json")))
    parity = check_parity(bundle, runtimes.ask_onnx(graph, bundle), images)
    if form == "onnx":
        write_bytes(out, graph)
    else:
        from pellucid.exporting.triton import write_repository

        if out.is_dir():
            shutil.rmtree(out)
        write_repository(bundle, graph, out)
    return Exported(out, form, opened.digest, *parity)


def _about(opened: BundleFiles, task: dict[str, Any]) -> dict[str, Any]:
    """What a file for another runtime says of itself."""
    return {
        "pellucid_digest": opened.digest,
        "task": task,
        "input": "images, float32 (n, 1 or 3, row, column) in [0, 1]",
        "intended_use": opened.card.get("intended_use", INTENDED_USE),
        "operating_points": opened.card.get("operating_points", {}),
    }
