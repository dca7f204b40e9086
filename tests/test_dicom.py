"""DICOM: each step against the standard's formula, and every file at hand without a surprise."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLossless,
    generate_uid,
)

from pellucid.errors import ReadError
from pellucid.images.codestreams import read_codestream
from pellucid.images.reading import Image, read_image

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
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def grey(image: Image) -> np.ndarray:
    assert image.pixels.shape[0] == 1
    return image.pixels[0]


def test_rescale_then_linear_window(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a",
        RescaleSlope=2,
        RescaleIntercept=-1024,
        WindowCenter=[40, 300],
        WindowWidth=[400, 1500],
    )
    values = STORED * 2.0 - 1024
    expected = np.clip((values - 39.5) / 399 + 0.5, 0, 1)  # PS3.3, C.11.2.1.2.1
    image = read_image(path)
    np.testing.assert_allclose(grey(image), expected, atol=1e-5)
    assert image.facts["window"] == "linear 40 400"


def test_linear_exact_and_sigmoid(tmp_path: Path) -> None:
    window = {"WindowCenter": 300, "WindowWidth": 800}
    path = write_dicom(tmp_path / "a", VOILUTFunction="LINEAR_EXACT", **window)
    exact = np.clip((STORED - 300) / 800 + 0.5, 0, 1)  # C.11.2.1.3.2
    np.testing.assert_allclose(grey(read_image(path)), exact, atol=1e-5)
    path = write_dicom(tmp_path / "b", VOILUTFunction="SIGMOID", **window)
    sigmoid = 1 / (1 + np.exp(-4 * (STORED - 300.0) / 800))  # C.11.2.1.3.1
    np.testing.assert_allclose(grey(read_image(path)), sigmoid, atol=1e-5)


def test_a_window_as_pydicom_computes_it(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", WindowCenter=50, WindowWidth=350)
    dataset = pydicom.dcmread(path)
    theirs = pydicom.pixels.apply_windowing(dataset.pixel_array, dataset)
    scaled = (theirs - theirs.min()) / (theirs.max() - theirs.min())
    np.testing.assert_allclose(grey(read_image(path)), scaled, atol=1e-5)


def test_a_narrow_or_broken_window(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", WindowCenter=100.5, WindowWidth=1)
    np.testing.assert_array_equal(grey(read_image(path)), STORED > 100)
    path = write_dicom(tmp_path / "b", WindowCenter=100, WindowWidth=0)
    assert read_image(path).facts["window"] == "own range"


def test_without_window_wide_values_take_their_own_range(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a")
    expected = (STORED - STORED.min()) / np.ptp(STORED)
    np.testing.assert_allclose(grey(read_image(path)), expected, atol=1e-5)
    path = write_dicom(tmp_path / "b", PixelPaddingValue=-800)
    padded = grey(read_image(path))
    assert padded[0, 1] == 0
    assert padded.max() == 1


def test_without_window_eight_bits_keep_the_full_range(tmp_path: Path) -> None:
    stored = np.arange(24, dtype=np.uint8).reshape(4, 6)
    image = read_image(write_dicom(tmp_path / "a", stored))
    np.testing.assert_allclose(grey(image), stored / 255, atol=1e-6)
    assert image.facts["window"] == "full range"


def test_a_constant_picture(tmp_path: Path) -> None:
    assert (grey(read_image(write_dicom(tmp_path / "a", STORED * 0))) == 0).all()


def test_monochrome1_is_inverted_after_the_window(tmp_path: Path) -> None:
    window = {"WindowCenter": 300, "WindowWidth": 800}
    two = read_image(write_dicom(tmp_path / "a", **window))
    one = read_image(write_dicom(tmp_path / "b", PhotometricInterpretation="MONOCHROME1", **window))
    np.testing.assert_allclose(one.pixels, 1 - two.pixels, atol=1e-6)
    assert one.facts["photometricinterpretation"] == "MONOCHROME1"


def test_colour_and_frames(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    image = read_image(write_dicom(tmp_path / "a", colour))
    np.testing.assert_allclose(image.pixels, np.moveaxis(colour, -1, 0) / 255, atol=1e-6)
    assert image.facts["mode"] == "RGB"
    stack = np.stack([STORED.astype(np.uint8) * 0, STORED.astype(np.uint8)])
    path = write_dicom(tmp_path / "b", stack, NumberOfFrames=2)
    np.testing.assert_allclose(grey(read_image(path, 1)), stack[1] / 255, atol=1e-6)
    assert read_image(path).facts["frames"] == 2
    with pytest.raises(ReadError, match="from 0 to 1, got 2"):
        read_image(path, 2)


def test_facts_name_no_person(tmp_path: Path) -> None:
    facts = read_image(write_dicom(tmp_path / "a")).facts
    assert facts["patientid"] == "P7"
    assert facts["modality"] == "CT"
    assert facts["patientsex"] == "F"
    text = " ".join(f"{key} {value}" for key, value in facts.items() if "uid" not in key)
    assert "Secret" not in text
    assert "1970" not in text


def test_a_message_names_no_person(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", PixelData=STORED.tobytes()[:10])
    with pytest.raises(ReadError, match="take 48 bytes, got 10: too few") as caught:
        read_image(path)
    assert "Secret" not in str(caught.value)


def test_without_preamble_and_meta(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a"))
    for syntax, implicit in ((ImplicitVRLittleEndian, True), (ExplicitVRLittleEndian, False)):
        bare = Dataset(dataset)
        path = tmp_path / syntax
        pydicom.dcmwrite(path, bare, implicit_vr=implicit, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
        np.testing.assert_array_equal(read_image(path).pixels, read_image(tmp_path / "a").pixels)


def test_what_is_no_picture(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a")
    dataset = pydicom.dcmread(path)
    del dataset.Rows
    dataset.save_as(tmp_path / "b")
    with pytest.raises(ReadError, match="states its Rows"):
        read_image(tmp_path / "b")
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(tmp_path / "c")
    with pytest.raises(ReadError, match="none in CT Image Storage"):
        read_image(tmp_path / "c")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGLossless
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    dataset.save_as(tmp_path / "d")
    with pytest.raises(ReadError, match="begins with its size"):
        read_image(tmp_path / "d")


def test_large_pictures_are_refused_by_their_header(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", Rows=60_000, Columns=60_000)
    with pytest.raises(ReadError, match="at most 64,000,000 pixels"):
        read_image(path)


def test_a_bomb_inside_the_compressed_frame_is_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a", STORED.astype(np.uint8)))
    for syntax, kind, cut in (
        (JPEGBaseline8Bit, "JPEG", b"\xff\xc0"),
        (JPEG2000, "JPEG2000", b"\xffQ"),
    ):
        frame = io.BytesIO()
        Picture.fromarray(STORED.astype(np.uint8)).save(frame, kind)
        assert read_codestream(frame.getvalue())[:3] == (6, 4, 1)
        data = bytearray(frame.getvalue())
        at = data.index(cut)
        if kind == "JPEG":
            data[at + 5 : at + 9] = b"\xea\x60\xea\x60"
        else:
            data[at + 6 : at + 14] = b"\0\0\xea\x60\0\0\xea\x60"
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(data)])
        dataset.save_as(tmp_path / kind)
        with pytest.raises(ReadError, match="60,000 x 60,000"):
            read_image(tmp_path / kind)


def test_a_deflated_bomb_is_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "b")
    np.testing.assert_array_equal(read_image(tmp_path / "b").pixels, read_image(path).pixels)
    whole = (tmp_path / "b").read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(50_000_000)) + deflater.flush()
    (tmp_path / "c").write_bytes(whole[:start] + bomb)
    with pytest.raises(ReadError, match="holds pixels, got none"):
        read_image(tmp_path / "c", max_pixels=100_000)


def test_every_file_at_hand_is_an_image_or_a_plain_reason(shared_data: Path) -> None:
    decoded, reasons = 0, []
    for path in sorted((shared_data / "dicom").rglob("*")):
        if not path.is_file():
            continue
        try:
            pixels = read_image(path).pixels
        except ReadError as error:
            reasons.append(str(error))
            continue
        decoded += 1
        assert pixels.dtype == np.float32
        assert 0 <= pixels.min() <= pixels.max() <= 1, path
        assert len(pixels) in (1, 3)
    assert decoded == 169
    assert decoded + len(reasons) >= 237
    assert not [reason for reason in reasons if "\n" in reason]


def test_pixels_that_were_not_measured_are_black(shared_data: Path, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(next((shared_data / "dicom").rglob("parametric_map_float.dcm")))
    values = np.frombuffer(dataset.FloatPixelData, np.float32).copy()
    values[:128] = np.nan
    dataset.FloatPixelData = values.tobytes()
    dataset.save_as(tmp_path / "a")
    pixels = grey(read_image(tmp_path / "a"))
    assert (pixels[0] == 0).all()
    assert pixels.max() == pytest.approx(values[128:].max(), abs=1e-6)  # its window is 0 to 1


def test_palette_colours(shared_data: Path) -> None:
    path = next((shared_data / "dicom").rglob("OT-PAL-8-face.dcm"))
    image = read_image(path)
    assert image.pixels.shape == (3, 480, 640)
    red, _, blue = image.pixels.mean(axis=(1, 2))
    assert red > blue + 0.1  # a face before a wooden wall


def test_the_tiff_in_a_preamble_is_not_the_picture(shared_data: Path) -> None:
    path = next((shared_data / "dicom").rglob("CT_small.dcm"))
    assert path.read_bytes()[:4] == b"II*\0"
    assert read_image(path).facts["format"] == "DICOM"
