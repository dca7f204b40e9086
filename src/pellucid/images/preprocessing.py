"""Size, channels and normalisation: the same for every image, and stored in the bundle.

Deterministic: nothing here is random (that is augmentation) and nothing depends on other
images. It knows no files and no networks.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

import numpy as np
from PIL import Image as Picture
from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from pellucid.errors import PlanError, did_you_mean
from pellucid.images.windows import parse_window

MAX_IMAGE_SIZE = 4096
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601-7, 2.5.1: what an eye sees of red, green and blue
REDUCING_GAP = 3.0  # Pillow: boxes first when shrinking more than 3 times; no visible difference

FloatArray = np.ndarray[Any, np.dtype[np.float32]]
ByteArray = np.ndarray[Any, np.dtype[np.uint8]]


class Preprocessing(BaseModel):
    """What is done to every image: a square of `image_size`, 1 or 3 channels, mean and deviation.

    `fit` "pad" keeps the aspect and centres the image on black; "stretch" fills the square. `mean`
    and `std` are in units of [0, 1], one value or one a channel. `window` is the grey window that
    the reader applies (see `images.windows`); None is the file's own. Raises `PlanError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int
    channels: int
    fit: Literal["pad", "stretch"] = "pad"
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)
    window: str | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _plainly(
        cls, values: Any, handler: ModelWrapValidatorHandler[Preprocessing]
    ) -> Preprocessing:
        try:
            return handler(values)
        except ValidationError as error:
            raise _plain(error, list(cls.model_fields)) from None

    @model_validator(mode="after")
    def _check(self) -> Preprocessing:
        if not 1 <= self.image_size <= MAX_IMAGE_SIZE:
            rule = f"image_size is between 1 and {MAX_IMAGE_SIZE} pixels"
            raise PlanError(rule, str(self.image_size))
        if self.channels not in (1, 3):
            raise PlanError("channels is 1 (grey) or 3 (colour)", str(self.channels))
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels) or not np.isfinite(values).all():
                rule = f"{name} has one number, or one for each of {self.channels} channels"
                raise PlanError(rule, str(values))
        if min(self.mean) < 0 or max(self.mean) > 1:
            raise PlanError("mean is in units of [0, 1]", str(self.mean), "Divide it by 255.")
        if min(self.std) <= 0:
            raise PlanError("std is above 0", str(self.std))
        parse_window(self.window)
        return self


def preprocess(pixels: np.ndarray[Any, Any], preprocessing: Preprocessing) -> ByteArray:
    """Turn one image into uint8 (channels, image_size, image_size).

    `pixels` is float (channel, row, column) in [0, 1] with 1 or 3 channels, of any size. Grey
    becomes colour by repetition, colour becomes grey by its Rec. 601 luma. Resizing is bilinear
    over the whole area that a new pixel covers, so that shrinking makes no false patterns.
    """
    if pixels.ndim != 3 or len(pixels) not in (1, 3) or 0 in pixels.shape:
        rule = "An image to preprocess is (1 or 3 channels, row, column)"
        raise PlanError(rule, str(pixels.shape), "Read it with pellucid.images.reading.read_image.")
    planes = _to_channels(np.asarray(pixels, dtype=np.float32), preprocessing.channels)
    size = preprocessing.image_size
    top, left, height, width = placed(pixels.shape[1], pixels.shape[2], preprocessing)
    canvas = np.zeros((preprocessing.channels, size, size), dtype=np.uint8)
    for plane, target in zip(planes, canvas, strict=False):
        resized = _resized(plane, height, width)
        target[top : top + height, left : left + width] = _to_bytes(resized)
    if len(planes) < preprocessing.channels:
        canvas[1:] = canvas[0]
    return canvas


class Placed(NamedTuple):
    """Which rows and columns of the network's square an image takes."""

    top: int
    left: int
    height: int
    width: int


def placed(height: int, width: int, preprocessing: Preprocessing) -> Placed:
    """Where an image of that size lies in the square."""
    size = preprocessing.image_size
    rows, columns = _fitted(height, width, preprocessing)
    return Placed((size - rows) // 2, (size - columns) // 2, rows, columns)


def place_back(
    heat: np.ndarray[Any, Any], height: int, width: int, preprocessing: Preprocessing
) -> FloatArray:
    """A map over the network's square (image_size, image_size), as it lies on the whole image.

    What lies on padding is cut away; the rest is brought to (height, width), the size of the image
    before `preprocess`, bilinearly. Values are neither rescaled nor clipped. Raises `PlanError`.
    """
    size = preprocessing.image_size
    if heat.shape != (size, size) or min(height, width) < 1:
        rule = f"A map to place back is {size} x {size}, and its image has at least one pixel"
        raise PlanError(rule, f"{heat.shape} onto {height} x {width}")
    top, left, rows, columns = placed(height, width, preprocessing)
    inside = np.asarray(heat[top : top + rows, left : left + columns], dtype=np.float32)
    return _resized(np.ascontiguousarray(inside), height, width)


def normalise(pixels: ByteArray, preprocessing: Preprocessing) -> FloatArray:
    """Turn uint8 (n, channel, row, column) into float32 (x / 255 - mean) / std."""
    mean = np.asarray(preprocessing.mean, dtype=np.float32).reshape(-1, 1, 1)
    std = np.asarray(preprocessing.std, dtype=np.float32).reshape(-1, 1, 1)
    return cast(FloatArray, (pixels.astype(np.float32) / np.float32(255) - mean) / std)


def _to_channels(pixels: FloatArray, channels: int) -> FloatArray:
    """Colour to luma when grey is asked for; grey stays one plane, and is repeated at the end."""
    if channels == 1 and len(pixels) == 3:
        return np.tensordot(np.asarray(LUMA, np.float32), pixels, axes=1)[np.newaxis]
    return pixels


def _fitted(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Rows and columns that the image takes of the square; at least one of each."""
    size = preprocessing.image_size
    if preprocessing.fit == "stretch":
        return size, size
    longer = max(height, width)
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def _resized(plane: FloatArray, height: int, width: int) -> FloatArray:
    if plane.shape == (height, width):
        return plane
    picture = Picture.fromarray(plane)
    bilinear = Picture.Resampling.BILINEAR
    return np.asarray(picture.resize((width, height), bilinear, reducing_gap=REDUCING_GAP))


def _to_bytes(plane: FloatArray) -> ByteArray:
    """Round [0, 1] to the nearest of 0 to 255."""
    scaled = plane * np.float32(255)
    scaled += np.float32(0.5)
    return cast(ByteArray, np.clip(scaled, 0, 255, out=scaled).astype(np.uint8))


def _plain(error: ValidationError, known: list[str]) -> PlanError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "preprocessing"
    if first["type"] == "extra_forbidden":
        return PlanError("Unknown preprocessing setting", repr(field), did_you_mean(field, known))
    if first["type"] == "missing":
        return PlanError(f"Preprocessing needs {field}", "none")
    return PlanError(f"Preprocessing {field}: {first['msg']}", repr(first["input"]))
