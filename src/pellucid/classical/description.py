"""Description: a picture becomes a feature vector whose numbers have names.

The first half of the classical pipeline (lecture: description, then classification). The network
learns its features; here a person chose them. Knows pictures; it knows no labels and no splits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.classical.edges import edges
from pellucid.classical.filters import NO_PATCHES, Patches, filters
from pellucid.classical.intensity import intensity
from pellucid.classical.pictures import Bytes, Features, Floats, Rows, chunks
from pellucid.classical.shape import shape
from pellucid.classical.texture import texture

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Description:
    """Feature vectors `values` (n, F), float32 and finite, and the `names` (F,) of their columns.

    A name is a path, from the kind to the number: "texture.glcm.contrast.d1".
    """

    names: tuple[str, ...]
    values: Floats

    def families(self) -> dict[str, npt.NDArray[np.int64]]:
        """The columns of each family, "texture.glcm", in order."""
        families: dict[str, list[int]] = {}
        for number, name in enumerate(self.names):
            families.setdefault(family_of(name), []).append(number)
        return {name: np.array(columns) for name, columns in families.items()}


def family_of(name: str) -> str:
    """The family of a feature: the first two steps of its name.

    >>> family_of("texture.glcm.contrast.d1"), family_of("intensity.level.mean")
    ('texture.glcm', 'intensity.level')
    """
    return ".".join(name.split(".")[:2])


def describe(
    pixels: Bytes,
    rows: Rows | Sequence[int] | None = None,
    *,
    patches: Patches = NO_PATCHES,
    progress: Report | None = None,
) -> Description:
    """The features of these rows (all unless told) of uint8 (n, 1 or 3 channels, row, column).

    Each picture is described alone: its features do not depend on the others. `pixels` may be a
    memory map, of which a few pictures are read at a time. `progress(done, total)` counts pictures.
    """
    wanted = np.arange(len(pixels)) if rows is None else np.asarray(rows, dtype=np.int64)
    names: tuple[str, ...] = ()
    parts = []
    for pictures in chunks(pixels, wanted):
        features = describe_grey(pictures, patches)
        names = tuple(features)
        parts.append(np.stack(list(features.values()), axis=1).astype(np.float32))
        if progress is not None:
            progress(sum(map(len, parts)), len(wanted))
    if not parts:
        return Description((), np.zeros((0, 0), dtype=np.float32))
    return Description(names, np.concatenate(parts))


def describe_grey(pictures: Bytes, patches: Patches = NO_PATCHES) -> Features:
    """Every feature of grey uint8 (m, row, column), by name."""
    found = intensity(pictures) | texture(pictures) | shape(pictures)
    return found | edges(pictures) | filters(pictures, patches)
