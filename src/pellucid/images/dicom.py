"""One frame of a DICOM file, step by step as PS3.3 of the standard says.

Stored values → modality (rescale) → values of interest (window) → polarity, or palette or colour →
[0, 1]. Decoding the transfer syntaxes is pydicom's work. This module never reads the patient's name
or date of birth; overlays, presentation states and enhanced multi-frame windows come later.
"""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels import processing
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pellucid.errors import ReadError
from pellucid.images.codestreams import announced_size
from pellucid.images.image import (
    Array,
    Asked,
    Facts,
    FloatArray,
    Image,
    channels_first,
    check_frame,
    check_size,
)

FACT_KEYWORDS = (
    "PatientID",
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "PatientSex",
    "PatientAge",
    "Manufacturer",
    "StudyInstanceUID",
    "SOPInstanceUID",
    "PhotometricInterpretation",
)
_GREY = ("MONOCHROME1", "MONOCHROME2")
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_BYTES_PER_PIXEL = (
    64  # of a whole file inflated, for each pixel of the bound: frames and headers too
)


def read_dicom(file: BinaryIO, name: str, asked: Asked) -> Image:
    """Read one frame (from 0) of an open DICOM file as a picture for display, 1 or 3 channels.

    Grey is windowed with the file's first window and inverted for MONOCHROME1, so that bright
    always means a high value of MONOCHROME2. Raises `ReadError`; what a decoder raises on damaged
    data is the caller's to translate.
    """
    frame, max_pixels, _ = asked
    _check_inflation(file, name, max_pixels)
    dataset = pydicom.dcmread(file, force=True)
    _check_header(dataset, name, frame, max_pixels)
    _complete_syntax(dataset)
    stored = _decode(dataset, name, frame, max_pixels)
    window = "none"
    interpretation = str(dataset.PhotometricInterpretation)
    if interpretation in _GREY:
        pixels, window = _grey(dataset, stored)
    elif interpretation == "PALETTE COLOR":
        pixels = _palette(dataset, stored)
    else:
        pixels = np.divide(stored, np.float32(2 ** int(dataset.BitsStored) - 1), dtype=np.float32)
    # float pixel data may hold NaN where nothing was measured: black, like padding
    finite = np.nan_to_num(np.clip(pixels, 0, 1), nan=0.0)
    image = channels_first(finite.astype(np.float32, copy=False))
    return Image(image, _facts(dataset, image, window))


def _check_inflation(file: BinaryIO, name: str, max_pixels: int) -> None:
    """Refuse a deflated file (PS3.5, A.5) that would inflate beyond all use."""
    head = file.read(1024)
    file.seek(0)
    if _DEFLATED not in head:
        return
    # PS3.10, 7.1: after "DICM" comes the length of the meta group, which is never deflated itself
    start = 144 + int.from_bytes(head[140:144], "little")
    limit = _BYTES_PER_PIXEL * max_pixels
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    file.seek(start)
    inflated = 0
    while part := file.read(2**20):
        while part and inflated <= limit:
            inflated += len(inflater.decompress(part, 2**24))
            part = inflater.unconsumed_tail
        if inflated > limit:
            raise ReadError(f"{name}: a deflated file may hold at most {limit:,} bytes", "more")
    file.seek(0)


def _check_header(dataset: Any, name: str, frame: int, max_pixels: int) -> None:
    """Refuse, before decoding, what is no picture or too large a one (PS3.3, C.7.6.3)."""
    if not any(keyword in dataset for keyword in _PIXELS):
        found = "none in " + _kind_of_object(dataset)
        raise ReadError(f"{name}: a DICOM image holds pixels", found, "Leave the file out.")
    for keyword in ("Rows", "Columns", "PhotometricInterpretation"):
        if dataset.get(keyword) is None:
            raise ReadError(f"{name}: a DICOM image states its {keyword}", "none")
    check_size(name, int(dataset.Columns), int(dataset.Rows), max_pixels)
    if int(dataset.get("SamplesPerPixel") or 1) not in (1, 3):
        found = str(dataset.SamplesPerPixel)
        raise ReadError(f"{name}: a DICOM image has 1 or 3 samples a pixel", found)
    check_frame(name, frame, _frames(dataset))


def _kind_of_object(dataset: Any) -> str:
    for uid in (dataset.get("SOPClassUID"), dataset.file_meta.get("MediaStorageSOPClassUID")):
        if uid:
            return str(pydicom.uid.UID(uid).name)
    return "an object of unknown class"


def _frames(dataset: Any) -> int:
    """PS3.3, C.7.6.6.1.1: Number of Frames; an absent or empty one means a single frame."""
    return max(1, int(dataset.get("NumberOfFrames") or 1))


def _complete_syntax(dataset: Any) -> None:
    """Give a file without meta group (older than PS3.10) the syntax that it was parsed with."""
    if dataset.file_meta.get("TransferSyntaxUID"):
        return
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _decode(dataset: Any, name: str, frame: int, max_pixels: int) -> Array:
    """Decode one frame (PS3.5, 8.2) to (row, column[, sample]); YBR becomes RGB (C.7.6.3.1.2)."""
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise ReadError(
            f"{name}: the transfer syntax needs a decoder that is installed",
            syntax.name,
            "Convert the file to JPEG 2000 or an uncompressed syntax.",
        )
    _check_codestream(dataset, name, frame, max_pixels)
    try:
        return np.asarray(pixel_array(dataset, index=frame))
    except RuntimeError as error:  # pydicom's word for "every decoder gave up"
        raise ReadError(
            f"{name}: the compressed pixels must be readable by a decoder that is installed",
            f"{syntax.name}, damaged or of a rare kind (such as 12-bit JPEG)",
            "Convert the file to JPEG 2000 or an uncompressed syntax.",
        ) from error


def _check_codestream(dataset: Any, name: str, frame: int, max_pixels: int) -> None:
    """Hold the size inside an encapsulated frame (PS3.5, A.4) against the bound as well."""
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    data = get_frame(dataset.PixelData, frame, number_of_frames=_frames(dataset))
    size = announced_size(data)
    if size is not None:
        check_size(name, *size, max_pixels)


def _grey(dataset: Any, stored: Array) -> tuple[FloatArray, str]:
    """Grey for display: modality, values of interest, polarity."""
    values = _modality_values(dataset, stored)
    pixels, window = _values_of_interest(dataset, stored, values)
    if dataset.PhotometricInterpretation == "MONOCHROME1":  # C.7.6.3.1.2: the minimum is white
        pixels = np.float32(1) - pixels
    return pixels, window


def _modality_values(dataset: Any, stored: Array) -> Array:
    """C.11.1: the Modality LUT, or stored value times Rescale Slope plus Rescale Intercept."""
    if dataset.get("ModalityLUTSequence"):
        return np.asarray(processing.apply_modality_lut(stored, dataset), dtype=np.float32)
    slope = _number(dataset.get("RescaleSlope"), 1.0)
    intercept = _number(dataset.get("RescaleIntercept"), 0.0)
    values: Array = stored.astype(np.float32)
    if slope != 1:
        values *= np.float32(slope)
    if intercept != 0:
        values += np.float32(intercept)
    return values


def _values_of_interest(dataset: Any, stored: Array, values: Array) -> tuple[FloatArray, str]:
    """C.11.2: the first VOI LUT or window; without either, the full range or the pixels' own.

    The standard leaves the last case open. Up to 8 unsigned bits the range of the bits is the
    display's; a wider one would leave most pictures black, so the smallest and the largest value
    of the frame (without pixel padding) are taken.
    """
    lut = _voi_lut(dataset, stored, values)
    if lut is not None:
        return lut, "voi lut"
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if centre is not None and width is not None and width >= (1 if function == "LINEAR" else 1e-9):
        return _windowed(
            values, centre, width, function
        ), f"{function.lower()} {centre:g} {width:g}"
    bits = int(dataset.get("BitsStored") or 32)
    if bits <= 8 and stored.dtype.kind == "u" and values.max() <= 2**bits - 1 and values.min() >= 0:
        return np.asarray(values / np.float32(2**bits - 1), dtype=np.float32), "full range"
    return _own_range(dataset, stored, values), "own range"


def _voi_lut(dataset: Any, stored: Array, values: Array) -> FloatArray | None:
    """C.11.2.1.1: the first table of the VOI LUT Sequence, scaled by its bits."""
    if not dataset.get("VOILUTSequence") or stored.dtype.kind not in "iu":
        return None
    bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    whole = np.rint(values).astype(np.int64)
    looked_up = np.asarray(processing.apply_voi(whole, dataset, index=0), dtype=np.float32)
    return np.asarray(np.clip(looked_up / np.float32(2**bits - 1), 0, 1), dtype=np.float32)


def _windowed(values: Array, centre: float, width: float, function: str) -> FloatArray:
    """C.11.2.1.2.1 LINEAR, C.11.2.1.3.1 SIGMOID and C.11.2.1.3.2 LINEAR_EXACT, with y in [0, 1]."""
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)), dtype=np.float32)
    if function == "LINEAR_EXACT":
        scaled = (values - centre) / width + 0.5
    elif width == 1:
        scaled = np.where(values > centre - 0.5, 1.0, 0.0)
    else:
        scaled = (values - (centre - 0.5)) / (width - 1) + 0.5
    return np.asarray(np.clip(scaled, 0, 1), dtype=np.float32)


def _own_range(dataset: Any, stored: Array, values: Array) -> FloatArray:
    """Scale by the smallest and largest value, leaving out Pixel Padding Value (C.7.5.1.1.2)."""
    padding = dataset.get("PixelPaddingValue")
    inside = np.isfinite(values) if padding is None else stored != padding
    if not inside.any():
        return np.zeros_like(values)
    low, high = float(values[inside].min()), float(values[inside].max())
    scaled = (np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-12)
    return np.asarray(np.clip(scaled, 0, 1), dtype=np.float32)


def _palette(dataset: Any, stored: Array) -> FloatArray:
    """C.7.9: Palette Color Lookup Tables of 8 or 16 bits an entry, to RGB."""
    colours = np.asarray(processing.apply_color_lut(stored, dataset))
    full_scale = np.float32(np.iinfo(colours.dtype).max)
    return np.asarray(np.divide(colours, full_scale, dtype=np.float32))


def _number(value: Any, default: float) -> float:
    first = _first(value)
    return default if first is None else first


def _first(value: Any) -> float | None:
    """The first of one or several values, None when absent, empty or not a finite number."""
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _facts(dataset: Any, pixels: FloatArray, window: str) -> Facts:
    facts: Facts = {
        "format": "DICOM",
        "width": pixels.shape[2],
        "height": pixels.shape[1],
        "bit_depth": int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0),
        "mode": "L" if len(pixels) == 1 else "RGB",
        "frames": _frames(dataset),
        "synthetic": False,
        "window": window,
    }
    for keyword in FACT_KEYWORDS:
        value = dataset.get(keyword)
        if value not in (None, ""):
            facts[keyword.lower()] = str(value).strip()
    return facts
