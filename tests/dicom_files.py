"""Small DICOM files made for a test, and nobody's picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

STORED = np.arange(-8, 16, dtype=np.int16).reshape(4, 6) * 100


def write_dicom(path: Path, stored: np.ndarray = STORED, **elements: object) -> Path:
    """A small CT-like file; `elements` are added, and None takes one away."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    colour = stored.ndim == 3 and stored.shape[-1] == 3
    values: dict[str, object] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "PatientName": "Secret^Name",
        "PatientBirthDate": "19700101",
        "PatientID": "P7",
        "PatientSex": "F",
        "Modality": "CT",
        "Rows": stored.shape[-3 if colour else -2],
        "Columns": stored.shape[-2 if colour else -1],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": 8 * stored.dtype.itemsize,
        "BitsStored": 8 * stored.dtype.itemsize,
        "HighBit": 8 * stored.dtype.itemsize - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PlanarConfiguration": 0 if colour else None,
        "PixelData": stored.tobytes(),
    }
    for keyword, value in {**values, **elements}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_compressed(
    path: Path, syntax: str, frames: list[bytes], like: np.ndarray, **elements: object
) -> Path:
    """A file of compressed frames of pictures like `like`; `syntax` is a transfer syntax's UID."""
    many = {"NumberOfFrames": len(frames)} if len(frames) > 1 else {}
    plain = write_dicom(path.with_suffix(".plain"), like, **{**many, **elements})
    dataset = pydicom.dcmread(plain)
    plain.unlink()
    known = UID(syntax) if UID(syntax).is_transfer_syntax else JPEG2000Lossless
    dataset.file_meta.TransferSyntaxUID = known
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    if known != syntax:  # one that pydicom does not know and would not write
        written = str(known).encode()
        whole = path.read_bytes()
        path.write_bytes(whole.replace(written, syntax.encode().ljust(len(written), b"\0"), 1))
    return path


def item(**elements: object) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset
