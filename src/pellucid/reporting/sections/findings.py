"""What the audit found, as plain data for the page: sentences, and pictures side by side.

Knows audit.json and where each image is. It does not know how anything was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pellucid.reporting.pictures import Thumbnail, make_thumbnail
from pellucid.reporting.tables import Table

TILES_SHOWN = 60  # on one page, so that it stays small enough to mail
IDS_SHOWN = 50

Place = tuple[str, int]


@dataclass(frozen=True)
class Tile:
    """One picture of a group: its name, what is said of it, and the picture."""

    image_id: str
    caption: str
    thumbnail: Thumbnail


@dataclass(frozen=True)
class ShownFinding:
    """A finding as the page shows it."""

    level: str
    message: str
    remedy: str
    n_rows: int
    image_ids: list[str] = field(default_factory=list)
    groups: list[list[Tile]] = field(default_factory=list)


def show_findings(
    audit: Mapping[str, Any],
    index: pd.DataFrame | None,
    targets: list[str],
    window: str | None = None,
) -> list[ShownFinding]:
    """Every finding of audit.json, the gravest first; the first pictures of each side by side."""
    places, captions = image_places(index), _captions(index, targets)

    def tile(name: str) -> Tile:
        path, frame = places.get(name, ("", 0))
        return Tile(name, captions.get(name, ""), make_thumbnail(path, frame, window))

    left = TILES_SHOWN
    shown = []
    for finding in audit.get("findings", []):
        groups = [[tile(name) for name in group] for group in _first(finding, left)]
        left -= sum(len(group) for group in groups)
        shown.append(
            ShownFinding(
                level=str(finding["level"]),
                message=str(finding["message"]),
                remedy=str(finding.get("remedy") or ""),
                n_rows=int(finding.get("n_rows") or 0),
                image_ids=[str(name) for name in (finding.get("image_ids") or [])[:IDS_SHOWN]],
                groups=groups,
            )
        )
    return shown


def unreadable_table(audit: Mapping[str, Any]) -> Table:
    """The files that could not be read, each with its reason."""
    files = audit.get("unreadable") or []
    rows = tuple((str(file["image_id"]), str(file["reason"])) for file in files)
    return Table("unreadable", ("Image", "Reason"), rows)


def image_places(index: pd.DataFrame | None) -> dict[str, Place]:
    """Where each image is: its path and frame."""
    if index is None or "image_path" not in index:
        return {}
    frames = index["frame"] if "frame" in index else pd.Series("0", index=index.index)
    frames = pd.to_numeric(frames, errors="coerce").fillna(0).astype(int)
    paths = index["image_path"].fillna("")
    rows = zip(index["image_id"], paths, frames, strict=True)
    return {str(key): (str(path), int(frame)) for key, path, frame in rows}


def _first(finding: Mapping[str, Any], left: int) -> Iterator[list[str]]:
    """The first groups of a finding that fit whole into the tiles that are left."""
    for group in finding.get("groups") or []:
        left -= len(group)
        if left < 0:
            return
        yield group


def _captions(index: pd.DataFrame | None, targets: list[str]) -> dict[str, str]:
    """The labels and the split of each image, which are what a reader compares."""
    if index is None:
        return {}
    columns = [name for name in (*targets, "split") if name in index]
    rows = index[columns].fillna("no label").astype(str).agg(", ".join, axis=1)
    return dict(zip(index["image_id"].astype(str), rows, strict=True))
