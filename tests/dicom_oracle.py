"""A second opinion on DICOM pixels, from decoders that the product does not use.

pydicom's own code for uncompressed and run-length coded frames, GDCM for the others, pyjpegls and
Pillow where GDCM gives up. Stored values are compared, before anything is done for display.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from pellucid.images.decoders import Frame, decode_frame
from pellucid.images.dicom_frames import read_layout
from pellucid.images.dicom_header import Header, check_pixels, read_header
from pellucid.images.image import MAX_PIXELS, quiet_decoders

_PLUGINS = ("gdcm", "pyjpegls", "pydicom")


def our_frame(path: Path, frame: int) -> tuple[Frame, Header]:
    """Our stored values of one frame, before display."""
    with quiet_decoders(), path.open("rb") as file:
        header = read_header(file, path.name)
        check_pixels(header, path.name)
        layout = read_layout(header, path.name, MAX_PIXELS)
        return decode_frame(header, layout, path.name, (frame, MAX_PIXELS)), header


def open_dataset(path: Path) -> Any:
    """The dataset as pydicom reads it, with a transfer syntax where the file has none."""
    dataset = pydicom.dcmread(path, force=True)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def independent_frame(path: Path, frame: int) -> tuple[str, np.ndarray] | None:
    """(decoder, stored values) of one frame from the first independent decoder that opens it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = open_dataset(path)
        for attempt in (_by_pydicom, _by_run_lengths, _by_pillow, _by_gdcm):
            try:
                found = attempt(path, dataset, frame)
            except Exception:  # noqa: BLE001, S112  # an oracle that gives up is asked no further
                continue
            if found is not None:
                return found
    return None


def independent_rgb(path: Path, frame: int) -> tuple[str, np.ndarray] | None:
    """(decoder, RGB) of one frame, colour converted by pydicom's matrix or by the decoder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = open_dataset(path)
        decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
        for plugin in ("gdcm", "pillow", "pydicom") if decoder.is_encapsulated else ("",):
            try:
                array, properties = decoder.as_array(dataset, index=frame, decoding_plugin=plugin)
            except Exception:  # noqa: BLE001, S112
                continue
            if properties["photometric_interpretation"] == "RGB":
                return plugin or "pydicom", array
    return None


def _by_pydicom(_: Path, dataset: Any, frame: int) -> tuple[str, np.ndarray] | None:
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    for plugin in _PLUGINS if decoder.is_encapsulated else ("",):
        try:
            array, _properties = decoder.as_array(
                dataset, index=frame, raw=True, decoding_plugin=plugin
            )
        except Exception:  # noqa: BLE001, S112
            continue
        return plugin or "pydicom", array
    return None


def _by_run_lengths(_: Path, dataset: Any, frame: int) -> tuple[str, np.ndarray] | None:
    """Single bits, which pydicom's plugin refuses and its segment decoder does not."""
    from pydicom.pixels.decoders.rle import _rle_decode_segment

    if dataset.file_meta.TransferSyntaxUID != RLELossless or dataset.BitsAllocated != 1:
        return None
    data = get_frame(dataset.PixelData, frame, number_of_frames=int(dataset.NumberOfFrames))
    segment = _rle_decode_segment(data[64:])
    bits = np.unpackbits(np.frombuffer(segment, np.uint8), bitorder="little")
    shape = (dataset.Rows, dataset.Columns)
    return "pydicom", bits[: shape[0] * shape[1]].reshape(shape)


def _by_pillow(_: Path, dataset: Any, frame: int) -> tuple[str, np.ndarray] | None:
    from PIL import Image

    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return None
    frames = int(dataset.get("NumberOfFrames") or 1)
    data = get_frame(dataset.PixelData, frame, number_of_frames=frames)
    return "Pillow", np.asarray(Image.open(io.BytesIO(data), formats=("JPEG2000",)))


def _by_gdcm(path: Path, dataset: Any, frame: int) -> tuple[str, np.ndarray] | None:
    """GDCM's own reader, which also knows 12-bit JPEG and single bits."""
    import gdcm

    if dataset.file_meta.TransferSyntaxUID == RLELossless:  # GDCM aborts the process on single bits
        return None
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        return None
    image = reader.GetImage()
    data = image.GetBuffer().encode("utf-8", "surrogateescape")
    if image.GetPixelFormat().GetScalarTypeAsString() == "SINGLEBIT":
        values = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    else:
        kind = f"{'ui'[dataset.PixelRepresentation]}{dataset.BitsAllocated // 8}"
        values = np.frombuffer(data, kind)
    shape = (-1, dataset.Rows, dataset.Columns) + (
        (dataset.SamplesPerPixel,) if dataset.SamplesPerPixel > 1 else ()
    )
    return "gdcm", values.reshape(shape)[frame]
