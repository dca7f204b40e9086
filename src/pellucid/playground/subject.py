"""The image that is played with: a file, or a phantom drawn for the purpose.

    read_subject("phantom:oct"), read_subject("scan.dcm")

Knows where an image comes from; it does not know what is done to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError, did_you_mean
from pellucid.images.preprocessing import LUMA, Preprocessing, preprocess
from pellucid.images.reading import read_image

PHANTOM = "phantom:"
PHANTOM_SIZE = 128
_NO_COLOUR = 0.03  # what JPEG alone puts between the channels of a grey picture
MAX_PIXELS = 16_000_000  # a playground answers at once


@dataclass(frozen=True)
class Subject:
    """An image, float32 (channel, row, column) in [0, 1] with 1 or 3 channels, and its name."""

    name: str
    pixels: npt.NDArray[np.float32]

    @property
    def grey(self) -> npt.NDArray[np.float64]:
        """One plane (row, column): the grey values, or the Rec. 601 luma of a colour image."""
        if len(self.pixels) == 1:
            return np.asarray(self.pixels[0], dtype=np.float64)
        return np.asarray(np.einsum("c,cij->ij", LUMA, self.pixels.astype(np.float64)))

    def for_network(self, image_size: int) -> npt.NDArray[np.float32]:
        """The image (channel, image_size, image_size) as training would get it, in [0, 1].

        Grey pictures that were stored in colour have one channel.
        """
        is_grey = float(np.ptp(self.pixels, axis=0).max()) < _NO_COLOUR
        wanted = Preprocessing(image_size=image_size, channels=1 if is_grey else 3)
        return preprocess(self.pixels, wanted).astype(np.float32) / np.float32(255)


def read_subject(source: str) -> Subject:
    """Read a file, or draw "phantom:oct", "phantom:chest" or "phantom:breast".

    The phantom is the first one that has a lesion, of 128 × 128 pixels, and always the same.
    Raises `ReadError` for a file that cannot be read, `UsageError` for an unknown phantom.
    """
    if not source.startswith(PHANTOM):
        return Subject(Path(source).name, read_image(source, max_pixels=MAX_PIXELS).pixels)
    from pellucid.data.phantoms import CASES, draw_phantoms

    case = source.removeprefix(PHANTOM)
    if case not in CASES:
        known = [PHANTOM + name for name in CASES]
        raise UsageError("No such phantom", f'"{source}"', did_you_mean(source, known))
    phantoms = draw_phantoms(case, image_size=PHANTOM_SIZE)
    ill = next(phantom for phantom in phantoms if phantom.mask.any())
    pixels = ill.pixels[np.newaxis].astype(np.float32) / np.float32(255)
    return Subject(f"{source} ({ill.label})", pixels)
