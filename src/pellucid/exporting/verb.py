"""export(model, out) → a file or folder that others can use, checked before it is left.

Knows which form is wanted and what must hold; it does not know how a form is made.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pellucid.bundle.card import INTENDED_USE, NOT_STATED
from pellucid.bundle.files import MOST_BYTES, BundleFiles, open_files
from pellucid.errors import UsageError, did_you_mean
from pellucid.storage import write_bytes

if TYPE_CHECKING:
    from pellucid.bundle import Bundle
    from pellucid.exporting.parity import Images

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
    given = {"licence": licence, "intended_use": intended_use}
    stated = {key: value for key, value in given.items() if value is not None}
    if chosen == "bundle" and check:
        raise UsageError("A bundle is not checked on images", remedy="Leave --check out.")
    if chosen != "bundle" and fingerprints:
        remedy = "Leave --fingerprints out."
        raise UsageError("Only a bundle keeps fingerprints of patients", chosen, remedy)
    if chosen == "triton":
        from pellucid.exporting.triton import check_name

        check_name(place)
    opened = open_files(model)
    _make_room(place, chosen, opened, overwrite)
    if chosen == "bundle":
        from pellucid.exporting.packing import pack

        pack(opened, place, stated, fingerprints=fingerprints)
        return Exported(place, chosen, open_files(place).digest)
    from pellucid.exporting.parity import images_to_ask

    images = images_to_ask(Path(model), [Path(one) for one in check])
    return _to_runtime(opened, images, place, chosen, stated)


def _make_room(place: Path, form: str, opened: BundleFiles, overwrite: bool) -> None:
    """Refuse to write over anything unasked, and over the model itself or a stranger's folder."""
    if place.is_symlink():
        raise UsageError(f"{place} is a link", remedy="Choose another --out.")
    if not place.exists():
        return
    is_folder = form == "triton" or (form == "bundle" and place.suffix.lower() != ".zip")
    if overwrite and place.is_dir() != is_folder:
        rule = f"{place} is a {'file' if is_folder else 'folder'}, so it is not overwritten"
        raise UsageError(rule, remedy="Choose another --out.")
    if not overwrite:
        raise UsageError(f"{place} exists", remedy="Choose another --out or add --overwrite.")
    source = opened.place.resolve()
    if place.resolve() in (source, *source.parents):
        raise UsageError(f"{place} holds the model itself", remedy="Choose another --out.")
    if place.is_dir() and not all(_is_ours(path) for path in place.iterdir()):
        rule = f"{place} is a folder of something else, so it is not overwritten"
        raise UsageError(rule, remedy="Choose another --out.")


def _is_ours(path: Path) -> bool:
    """Whether a path in a folder is one that an export has written there."""
    if path.is_dir():
        return path.name == "1" and all(inside.name == "model.onnx" for inside in path.iterdir())
    name = path.name
    return name in (*MOST_BYTES, "config.pbtxt") or (
        name.startswith("labels_") and path.suffix == ".txt"
    )


def _to_runtime(
    opened: BundleFiles, images: Images, out: Path, form: str, stated: dict[str, str]
) -> Exported:
    from pellucid.bundle.artefact import load_from
    from pellucid.exporting import runtimes
    from pellucid.exporting.parity import check_parity

    bundle = load_from(opened)
    about = _about(opened, bundle, stated)
    if form == "torch":
        program = runtimes.to_torch(bundle)
        parity = check_parity(bundle, runtimes.ask_torch(program), images)
        write_bytes(out, runtimes.torch_bytes(program, about))
        return Exported(out, form, opened.digest, *parity)
    graph = runtimes.to_onnx(bundle, about)
    parity = check_parity(bundle, runtimes.ask_onnx(graph, bundle), images)
    if form == "onnx":
        write_bytes(out, graph)
    else:
        from pellucid.exporting.triton import write_repository

        if out.is_dir():
            shutil.rmtree(out)
        write_repository(bundle, graph, out)
    return Exported(out, form, opened.digest, *parity)


def _about(opened: BundleFiles, bundle: Bundle, stated: dict[str, str]) -> dict[str, Any]:
    """What a file for another runtime says of itself."""
    card = {**opened.card, **stated}
    return {
        "pellucid_digest": opened.digest,
        "task": bundle.task.model_dump(mode="json"),
        "input": "images, float32 (n, 1 or 3, row, column) in [0, 1]",
        "grey_window": bundle.preprocessing.window or "the file's own",  # before it is in [0, 1]
        "intended_use": card.get("intended_use", INTENDED_USE),
        "licence": card.get("licence", NOT_STATED),
        "operating_points": card.get("operating_points", {}),
    }
