"""Windows: which stored numbers become black, and which become white.

A window is a centre and a width in the units of the numbers it is laid over: Hounsfield units for
CT, stored values for a 16-bit PNG or TIFF. The presets are in Hounsfield units and therefore mean
nothing for other numbers. Knows numbers; it does not know files or their headers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError, did_you_mean

PRESETS = {  # centre and width in Hounsfield units, as viewers and radiology textbooks give them
    "lung": (-600.0, 1500.0),
    "mediastinum": (40.0, 400.0),
    "soft_tissue": (40.0, 400.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "liver": (60.0, 160.0),
}
NOT_APPLIED = "not applied"  # how the fact `window` begins where a chosen window means nothing


class Window(NamedTuple):
    """A chosen window: centre and width in the numbers' units; presets are in Hounsfield units."""

    centre: float
    width: float
    preset: str = ""

    def __str__(self) -> str:
        numbers = f"{self.centre:g} {self.width:g}"
        return f"{self.preset} {numbers}" if self.preset else f"linear {numbers}"


def parse_window(text: str | None) -> Window | None:
    """`lung` or another preset, or `CENTER,WIDTH` as numbers; None and "" mean no chosen window.

    Raises `UsageError` for an unknown preset or a width below 1 (PS3.3, C.11.2.1.2.1).

    >>> parse_window("40,400")
    Window(centre=40.0, width=400.0, preset='')
    """
    if text is None or not text.strip():
        return None
    word = text.strip().lower().replace("-", "_").replace(" ", "_")
    if word in PRESETS:
        return Window(*PRESETS[word], preset=word)
    centre, width = _two_numbers(text)
    if width < 1:
        raise UsageError("A window's width is 1 or more", f"{width:g}", "Write CENTER,WIDTH.")
    return Window(centre, width)


def _two_numbers(text: str) -> tuple[float, float]:
    rule = f"A window is {', '.join(PRESETS)}, or CENTER,WIDTH"
    if "," not in text:
        raise UsageError(rule, repr(text), did_you_mean(text.strip().lower(), list(PRESETS)))
    try:
        centre, width = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(rule, repr(text), "Write two numbers, such as 40,400.") from None
    if not (np.isfinite(centre) and np.isfinite(width)):
        raise UsageError(rule, repr(text), "Write two finite numbers, such as 40,400.")
    return centre, width


def apply_window(
    values: npt.NDArray[Any], centre: float, width: float, function: str = "LINEAR"
) -> npt.NDArray[np.float32]:
    """Lay a window over values of any shape: float32 in [0, 1] of the same shape.

    PS3.3, C.11.2.1.2.1 LINEAR, C.11.2.1.3.1 SIGMOID and C.11.2.1.3.2 LINEAR_EXACT, each with an
    output range from 0 to 1. NaN stays NaN.
    """
    numbers = values.astype(np.float32) if values.dtype != np.float64 else values
    if function == "SIGMOID":
        with np.errstate(over="ignore"):  # exp of a large number: infinity, whose inverse is 0
            return np.asarray(1 / (1 + np.exp(-4 * (numbers - centre) / width)), dtype=np.float32)
    if function == "LINEAR_EXACT":
        scaled = (numbers - centre) / width + 0.5
    elif width == 1:
        scaled = np.where(numbers > centre - 0.5, 1.0, 0.0)
    else:
        scaled = (numbers - (centre - 0.5)) / (width - 1) + 0.5
    return np.asarray(np.clip(scaled, 0, 1), dtype=np.float32)


def window_refusal(window: Window | None, bits: int, units: str) -> str:
    """Why a chosen window is not laid over these numbers, or "" where it is.

    One rule for every format, so that a mixed dataset stays readable: colour and pictures of 8 bits
    or fewer were windowed when they were made and keep their full scale; a preset is laid only over
    Hounsfield units (`units` = "HU"), two numbers over every grey of more than 8 bits.
    """
    if window is None:
        return ""
    if units == "colour":
        return f"{NOT_APPLIED}: colour"
    if units == "HU":
        return ""
    if bits <= 8:
        return f"{NOT_APPLIED}: {bits} bits"
    return f"{NOT_APPLIED}: no Hounsfield units" if window.preset else ""


def lay_window(
    stored: npt.NDArray[Any], bits: int, window: Window | None
) -> tuple[npt.NDArray[Any], str]:
    """Stored numbers (row, column[, channel]) of a PNG, TIFF or array under a chosen window.

    Returns grey in [0, 1] as float32 where the window is laid, else `stored` itself, and what was
    done in words ("" when no window was chosen). Signed numbers, and floating point ones beyond
    [0, 1], are taken as Hounsfield units.
    """
    channels = stored.shape[-1] if stored.ndim == 3 else 1
    refusal = window_refusal(window, bits, "colour" if channels > 2 else _units(stored))
    if window is None or refusal:
        return stored, refusal
    if channels == 1:
        return apply_window(stored, window.centre, window.width), str(window)
    grey = apply_window(stored[..., 0], window.centre, window.width)
    opacity = stored[..., 1] / np.float32(2**bits - 1)
    return np.stack([grey, opacity], axis=-1), str(window)


def _units(stored: npt.NDArray[Any]) -> str:
    if stored.dtype.kind == "f":
        return "HU" if float(stored.min()) < 0 or float(stored.max()) > 1 else ""
    return "HU" if stored.dtype.kind == "i" else ""
