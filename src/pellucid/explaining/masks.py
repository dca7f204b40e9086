"""Masks of lesions: which file belongs to an image, and the mask as the network's input sees it.

Knows paths; it does not know what the masks are held against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.explanation.faithfulness.pointing import place_mask
from pellucid.images.preprocessing import Preprocessing
from pellucid.images.reading import read_image

ENDINGS = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg", ".npy")

Bools = npt.NDArray[np.bool_]


def read_masks(paths: Sequence[Path | None], preprocessing: Preprocessing) -> Bools:
    """Masks (n, S, S), where each lesion is on the network's input; none of an image is all False.

    Raises `ReadError` for a mask that cannot be read: without it the figures would be wrong.
    """
    size = preprocessing.image_size
    masks = np.zeros((len(paths), size, size), dtype=np.bool_)
    for mask, path in zip(masks, paths, strict=True):
        if path is not None:
            mask[:] = place_mask(read_image(path).pixels, preprocessing)
    return masks


def find_masks(folder: Path, image_ids: Sequence[str]) -> list[Path | None]:
    """The mask of each image in a folder: of the same path and name, else of the same name.

    Raises `UsageError` when there is no folder, or no image has a mask.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder of masks at {folder}")
    paths = [next(_candidates(folder, image_id), None) for image_id in image_ids]
    if not any(paths):
        rule = f"A mask has the name of its image, but no image has one in {folder}"
        raise UsageError(rule, f"for example {image_ids[0]}" if image_ids else "no image")
    return paths


def _candidates(folder: Path, image_id: str) -> Iterator[Path]:
    """Files that may be the image's mask, the likeliest first; none outside the folder."""
    inside = Path(image_id)
    places = [] if inside.is_absolute() or ".." in inside.parts else [folder / inside]
    for place in [*places, folder / inside.name]:
        for path in (place, *(place.with_suffix(ending) for ending in ENDINGS)):
            if path.is_file():
                yield path


def phantom_mask(image_path: str) -> Path | None:
    """The mask that `data.phantoms` drew beside an image; None for any other image.

    `FOLDER/images/CLASS/NAME.png` has `FOLDER/masks/CLASS/NAME.png`, and FOLDER a phantoms.json.
    """
    path = Path(image_path)
    if len(path.parents) < 3 or path.parents[1].name != "images":
        return None
    folder = path.parents[2]
    mask = folder / "masks" / path.parent.name / path.name
    return mask if (folder / "phantoms.json").is_file() and mask.is_file() else None
