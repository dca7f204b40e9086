"""Explaining image files: a page with its pictures each, and an index page of several.

Knows the order of the steps and which file goes where. Each page is written whole before the next
image is read, so that an interruption loses only the one in work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.bundle import Bundle
from pellucid.errors import ReadError
from pellucid.explaining.one_image import Wish, explain_one
from pellucid.explaining.places import INDEX, name_each, open_folder, refuse_written
from pellucid.images.reading import read_image
from pellucid.prediction.listing import list_images
from pellucid.reporting.explaining.explained import ExplainedImage
from pellucid.reporting.explaining.explanation_page import goal_pictures, write_explanation_page
from pellucid.reporting.explaining.gallery_page import (
    TILES_SHOWN,
    GalleryPage,
    GalleryTile,
    tile_address,
    tile_key,
    unreadable_images,
    write_gallery_page,
)
from pellucid.reporting.writing import count
from pellucid.storage import write_bytes


@dataclass
class Explained:
    """What was written: the folder, every file in order, a document an image, and what failed."""

    out: Path
    written: list[Path] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[ReadError] = field(default_factory=list)


def explain_images(
    bundle: Bundle,
    images: Sequence[Path],
    out: Path,
    *,
    model: str,
    wish: Wish,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Explained:
    """Explain image files and folders of them; an unreadable file never stops the rest."""
    paths = [listed.path for listed in list_images(images)]
    targets = [target.name for target in wish.targets(bundle)]
    pages, pictures = _places(out, paths, targets)
    index = out / f"{INDEX}.html"
    flat = [picture for row in pictures for picture in row]
    refuse_written([*pages, *flat, *([index] if len(paths) > 1 else [])], overwrite)
    done = Explained(open_folder(out))
    tiles: list[GalleryTile] = []
    for number, path in enumerate(paths):
        try:
            image = read_image(path, window=bundle.preprocessing.window)
        except ReadError as error:
            done.unreadable.append(error)
        else:
            explained = explain_one(bundle, image, path.name, model, wish)
            _write(explained, pages[number], pictures[number], bundle, done)
            done.documents[-1]["image"] = str(path)
            if len(tiles) < TILES_SHOWN and len(paths) > 1:
                tiles.append(_tile(explained, pages[number].name))
        if progress:
            progress(number + 1, len(paths))
    if len(paths) > 1:
        page = _index(done, tiles, model, wish)
        done.written.append(write_gallery_page(page, index))
    return done


def _places(
    out: Path, paths: Sequence[Path], targets: Sequence[str]
) -> tuple[list[Path], list[list[Path]]]:
    """The page of each image, and its pictures, one a target; no two files have one name."""
    names = name_each([path.stem for path in paths])
    if len(targets) == 1:
        return [out / f"{name}.html" for name in names], [[out / f"{name}.png"] for name in names]
    of_targets = name_each([f"{name}-{target}" for name in names for target in targets])
    rows = [
        [out / f"{name}.png" for name in of_targets[start : start + len(targets)]]
        for start in range(0, len(of_targets), len(targets))
    ]
    return [out / f"{name}.html" for name in names], rows


def _write(
    explained: ExplainedImage, page: Path, pictures: Sequence[Path], bundle: Bundle, done: Explained
) -> None:
    """The pictures of one image, then its page."""
    for path, (_, _, png) in zip(pictures, goal_pictures(explained), strict=True):
        done.written.append(write_bytes(path, png))
    write_explanation_page(explained, page, bundle.preprocessing.image_size)
    done.written.append(page)
    done.documents.append(
        {
            "page": str(page),
            "pictures": [str(path) for path in pictures],
            "targets": list(explained.words),
            "maps": [_describe(explained, number) for number in range(len(explained.maps))],
        }
    )


def _describe(explained: ExplainedImage, number: int) -> dict[str, Any]:
    """A map in a few plain facts; its peak in shares of the image's height and width."""
    one = explained.maps[number]
    row, column = np.unravel_index(int(np.argmax(one.values)), one.values.shape)
    height, width = one.values.shape
    peak = [round((row + 0.5) / height, 4), round((column + 0.5) / width, 4)]
    return {
        "target": one.target,
        "class": one.label,
        "method": one.method,
        "layer": one.layer or None,
        "logit": one.score,
        "says_nothing": one.says_nothing,
        "peak_row_column": None if one.says_nothing else peak,
    }


def _tile(explained: ExplainedImage, href: str) -> GalleryTile:
    return GalleryTile(
        name=explained.name,
        address=tile_address(explained.picture, explained.maps[0]),
        call=explained.calls[0],
        href=href,
        is_synthetic=explained.is_synthetic,
    )


def _index(done: Explained, tiles: list[GalleryTile], model: str, wish: Wish) -> GalleryPage:
    reasons = [named_reason(error) for error in done.unreadable]
    n = len(done.documents)
    left = n - len(tiles)
    return GalleryPage(
        title=f"What {model} looks at",
        subtitle="Explanations by Pellucid",
        lead=f"{count(n, 'image')} explained, a page each.",
        words=[f"The first {len(tiles)} are shown here."] if left else [],
        tiles=tiles,
        key=f"{tile_key(wish.methods[0], wish.label)} A picture leads to its page.",
        unreadable=unreadable_images(reasons),
    )


def named_reason(error: ReadError) -> tuple[str, str]:
    """The file's name, which stands in every message of the reader, and the reason.

    Without its folders: pages are mailed, and a folder may be a patient's name.
    """
    path, _, reason = str(error).partition(": ")
    return Path(path).name, reason
