"""What a clinic does to pictures, in stated amounts: noise, blur, brightness, JPEG, marks and more.

For asking how far a network's judgement holds when pictures are worse than those it learned from.
Pictures are uint8 (n, channels, rows, columns) and stay so. An image's chance depends on the seed
and on its own pixels alone, not on which images stand beside it, and is the same at all severities.
Source: Hendrycks and Dietterich 2019 (common corruptions, graded); amounts here are our own, fewer
and milder, as clinics meet them.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as Picture
from scipy import ndimage

from pellucid.errors import UsageError, did_you_mean

SEVERITIES = (1, 2, 3)

ByteArray = np.ndarray[Any, np.dtype[np.uint8]]
Generators = list[np.random.Generator]


@dataclass(frozen=True)
class Corruption:
    """One kind: its unit, its amount at severity 1, 2 and 3, and where it happens in a clinic."""

    name: str
    unit: str
    values: tuple[float, float, float]
    where: str
    apply: Callable[[ByteArray, float, Generators], np.ndarray[Any, Any]]


def corrupt(pixels: ByteArray, name: str, severity: int, seed: int) -> ByteArray:
    """Pictures uint8 (n, channels, rows, columns), corrupted; a new array of the same shape.

    `name` is one of `CORRUPTIONS`, `severity` 1 to 3, `seed` 0 or more. Raises `UsageError`.
    """
    corruption = CORRUPTIONS.get(name)
    if corruption is None:
        known = did_you_mean(name, list(CORRUPTIONS))
        raise UsageError("A corruption is one of those stated", repr(name), known)
    if severity not in SEVERITIES:
        raise UsageError("A severity is 1, 2 or 3", str(severity))
    if seed < 0:
        raise UsageError("A seed is 0 or more", str(seed))
    if pixels.dtype != np.uint8 or pixels.ndim != 4:
        found = f"{pixels.dtype} {pixels.shape}"
        raise UsageError("Pictures to corrupt are uint8 (n, channels, rows, columns)", found)
    if not pixels.size:
        return pixels.copy()
    random = [_generator(picture, name, seed) for picture in pixels]
    return _to_bytes(corruption.apply(pixels, corruption.values[severity - 1], random))


def _generator(picture: ByteArray, name: str, seed: int) -> np.random.Generator:
    own = zlib.crc32(np.ascontiguousarray(picture).tobytes())
    return np.random.default_rng([seed, own, zlib.crc32(name.encode())])


def _to_bytes(pixels: np.ndarray[Any, Any]) -> ByteArray:
    if pixels.dtype == np.uint8:
        return pixels
    return np.asarray(np.clip(np.rint(pixels), 0, 255), dtype=np.uint8)


def _noise(pixels: ByteArray, deviation: float, random: Generators) -> np.ndarray[Any, Any]:
    """Independent of place; the same in all channels, since detectors are grey."""
    shape = (1, *pixels.shape[2:])
    noise = np.stack([one.standard_normal(shape, dtype=np.float32) for one in random])
    return np.asarray(pixels + np.float32(deviation) * noise)


def _blur(pixels: ByteArray, sigma: float, _: Generators) -> np.ndarray[Any, Any]:
    return np.asarray(
        ndimage.gaussian_filter(pixels.astype(np.float32), (0, 0, sigma, sigma), mode="nearest")
    )


def _brightness(pixels: ByteArray, shift: float, _: Generators) -> np.ndarray[Any, Any]:
    return pixels + np.float32(shift)


def _contrast(pixels: ByteArray, factor: float, _: Generators) -> np.ndarray[Any, Any]:
    """Towards the picture's own mean."""
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    return np.asarray(mean + np.float32(factor) * (pixels - mean))


def _jpeg(pixels: ByteArray, quality: float, _: Generators) -> np.ndarray[Any, Any]:
    """Baseline JPEG through libjpeg; three channels as colour, others plane by plane."""
    if pixels.shape[1] == 3:
        colours = [_through_jpeg(np.moveaxis(one, 0, -1), int(quality)) for one in pixels]
        return np.moveaxis(np.stack(colours), -1, 1)
    planes = [_through_jpeg(plane, int(quality)) for one in pixels for plane in one]
    return np.stack(planes).reshape(pixels.shape)


def _through_jpeg(picture: ByteArray, quality: int) -> ByteArray:
    buffer = io.BytesIO()
    Picture.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Picture.open(buffer))


def _lower_resolution(pixels: ByteArray, factor: float, _: Generators) -> np.ndarray[Any, Any]:
    """Shrunk by averaging and brought back to size, bilinearly."""
    rows, columns = pixels.shape[2:]
    small = max(1, round(columns / factor)), max(1, round(rows / factor))
    planes = pixels.reshape(-1, rows, columns)
    back = [
        np.asarray(
            Picture.fromarray(plane)
            .resize(small, Picture.Resampling.BOX)
            .resize((columns, rows), Picture.Resampling.BILINEAR)
        )
        for plane in planes
    ]
    return np.stack(back).reshape(pixels.shape)


def _rotation(pixels: ByteArray, degrees: float, random: Generators) -> np.ndarray[Any, Any]:
    """To either side by chance, about the middle; what comes in from outside is black."""
    rotated = [
        ndimage.rotate(
            one.astype(np.float32),
            degrees if generator.random() < 0.5 else -degrees,
            axes=(1, 2),
            reshape=False,
            order=1,
        )
        for one, generator in zip(pixels, random, strict=True)
    ]
    return np.stack(rotated)


def _corner_mark(pixels: ByteArray, percent: float, random: Generators) -> np.ndarray[Any, Any]:
    """A white letter L in one corner, chosen by chance, one mark's quarter away from the edges."""
    rows, columns = pixels.shape[2:]
    size = max(2, round(min(rows, columns) * percent / 100))
    gap, stroke = size // 4, max(1, size // 4)
    marked = pixels.copy()
    for one, generator in zip(marked, random, strict=True):
        top = gap if generator.random() < 0.5 else max(rows - gap - size, 0)
        left = gap if generator.random() < 0.5 else max(columns - gap - size, 0)
        one[:, top : top + size, left : left + stroke] = 255
        one[:, top + size - stroke : top + size, left : left + size] = 255
    return marked


CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption(
            "gaussian_noise",
            "standard deviation in grey levels of 255",
            (8, 16, 32),
            "A low dose, a large patient or a high gain makes pictures grainy.",
            _noise,
        ),
        Corruption(
            "gaussian_blur",
            "sigma in pixels",
            (1, 2, 3),
            "The patient moves or breathes, or the picture is out of focus.",
            _blur,
        ),
        Corruption(
            "brightness",
            "shift in grey levels of 255",
            (20, 40, 60),
            "Another exposure, gain or display window makes the whole picture lighter.",
            _brightness,
        ),
        Corruption(
            "contrast",
            "factor about the picture's mean",
            (0.75, 0.5, 0.3),
            "A wider window, scattered rays or another device flattens contrast.",
            _contrast,
        ),
        Corruption(
            "jpeg",
            "JPEG quality",
            (50, 25, 10),
            "Pictures are compressed for an archive, an e-mail or a teaching file.",
            _jpeg,
        ),
        Corruption(
            "lower_resolution",
            "factor by which rows and columns shrink",
            (2, 3, 4),
            "An older detector, a thumbnail or a screenshot holds fewer pixels.",
            _lower_resolution,
        ),
        Corruption(
            "rotation",
            "degrees to either side",
            (5, 10, 20),
            "The patient or the probe lies at an angle, or a film is scanned askew.",
            _rotation,
        ),
        Corruption(
            "corner_mark",
            "per cent of the shorter side",
            (5, 10, 15),
            "A side letter or a label of the device is burned into a corner.",
            _corner_mark,
        ),
    )
}
