"""One frame of a DICOM file, step by step as PS3.3 of the standard says.

    dicom_elements.py which elements are ever read: no name, no date of birth
    dicom_header.py   the elements up to the pixels, the facts, why a file is no image
    dicom_frames.py   the bytes of one frame, their length checked
    codestreams.py    what a compressed frame says of its size
    decoders.py       bytes to stored values, one decoder for each transfer syntax
    dicom_groups.py   elements of one frame of an enhanced object
    dicom_tables.py   lookup tables of grey
    dicom_grey.py     modality, values of interest, polarity, padding
    dicom_colour.py   palette and YBR to RGB
    dicom_aspect.py   square pixels

This module calls them in that order. It never reads the patient's name or date of birth.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from pellucid.images.decoders import Frame, decode_frame
from pellucid.images.dicom_aspect import square_pixels
from pellucid.images.dicom_colour import check_interpretation, colour_pixels
from pellucid.images.dicom_frames import Layout, read_layout
from pellucid.images.dicom_grey import grey_pixels
from pellucid.images.dicom_header import Header, check_pixels, header_facts, read_header
from pellucid.images.image import Asked, Facts, FloatArray, Image, channels_first, check_frame
from pellucid.images.windows import window_refusal

_GREY = ("MONOCHROME1", "MONOCHROME2")


def read_dicom(file: BinaryIO, name: str, asked: Asked) -> Image:
    """Read one frame (from 0) of an open DICOM file as a picture for display, 1 or 3 channels.

    Grey is windowed and inverted for MONOCHROME1, so that bright always means a high value of
    MONOCHROME2; pixels that are not square are made so. Raises `ReadError`; what pydicom raises on
    a damaged header is the caller's to translate.
    """
    header = read_header(file, name)
    check_pixels(header, name)
    layout = read_layout(header, name, asked.max_pixels)
    check_interpretation(layout, name)
    check_frame(name, asked.frame, header.frames)
    frame = decode_frame(header, layout, name, (asked.frame, asked.max_pixels))
    pixels, window = _display(header, layout, frame, asked)
    image, aspect = square_pixels(header, channels_first(pixels), asked)
    facts = _facts(header, layout, image)
    return Image(image, facts | {"decoder": frame.decoder, "window": window} | aspect)


def _display(header: Header, layout: Layout, frame: Frame, asked: Asked) -> tuple[FloatArray, str]:
    if layout.interpretation in _GREY:
        return grey_pixels(header, layout, frame.values, (asked.frame, asked.window))
    pixels = colour_pixels(header, layout, frame.values, frame.interpretation)
    refusal = window_refusal(asked.window, layout.stored, "colour")
    return pixels.astype(np.float32, copy=False), refusal or "none"


def _facts(header: Header, layout: Layout, pixels: FloatArray) -> Facts:
    return {
        "format": "DICOM",
        **header_facts(header),
        "width": pixels.shape[2],
        "height": pixels.shape[1],
        "bit_depth": layout.stored,
        "mode": "L" if len(pixels) == 1 else "RGB",
        "synthetic": False,
    }
