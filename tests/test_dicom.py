"""DICOM: each step against the standard's formula, and every file at hand without a surprise."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLossless,
)

from dicom_files import STORED, item, write_dicom
from pellucid.errors import ReadError
from pellucid.images.codestreams import read_codestream
from pellucid.images.dicom_header import age_in_years, plain_text, read_dicom_facts
from pellucid.images.reading import Image, read_image


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
    with pytest.raises(ReadError, match="at most 20,000 elements"):
        read_image(tmp_path / "c", max_pixels=100_000)


def test_a_header_of_empty_items_is_not_parsed(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a"))
    dataset.SharedFunctionalGroupsSequence = [pydicom.Dataset()]
    dataset.save_as(tmp_path / "b")  # of known length: parsed when it is asked for
    assert read_image(tmp_path / "b").pixels.shape[0] == 1
    whole = (tmp_path / "b").read_bytes()
    item = b"\xfe\xff\x00\xe0\0\0\0\0"
    place = whole.index(item)
    items = item * 150_000
    length = len(items).to_bytes(4, "little")
    (tmp_path / "c").write_bytes(whole[: place - 4] + length + items + whole[place + len(item) :])
    with pytest.raises(ReadError, match="at most 100,000 items"):
        read_image(tmp_path / "c")


def test_items_of_a_sequence_without_a_length_are_counted_too(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a"))
    for n, name in ((3, "b"), (150_000, "c")):
        dataset.SharedFunctionalGroupsSequence = [pydicom.Dataset() for _ in range(n)]
        dataset["SharedFunctionalGroupsSequence"].is_undefined_length = True
        dataset.save_as(tmp_path / name)
    assert read_image(tmp_path / "b").pixels.shape[0] == 1
    with pytest.raises(ReadError, match="at most 100,000 items"):
        read_image(tmp_path / "c")


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


def test_a_chosen_window(tmp_path: Path) -> None:
    rescaled = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 0, "WindowWidth": 9}
    path = write_dicom(tmp_path / "a", **rescaled)
    hounsfield = STORED - 1024.0
    for window, centre, width in (("lung", -600, 1500), ("-900,700", -900, 700)):
        image = read_image(path, window=window)
        expected = np.clip((hounsfield - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
        np.testing.assert_allclose(grey(image), expected, atol=1e-5)
        assert str(image.facts["window"]).endswith(f"{centre} {width}")
    inverted = write_dicom(tmp_path / "b", PhotometricInterpretation="MONOCHROME1", **rescaled)
    np.testing.assert_allclose(
        grey(read_image(inverted, window="lung")), 1 - grey(read_image(path, window="lung"))
    )


def test_a_preset_is_laid_over_hounsfield_units_alone(tmp_path: Path) -> None:
    own = {"WindowCenter": 300, "WindowWidth": 800}
    path = write_dicom(tmp_path / "a", Modality="MR", RescaleSlope=1, RescaleIntercept=0, **own)
    image = read_image(path, window="bone")
    assert image.facts["window"] == "linear 300 800; not applied: no Hounsfield units"
    np.testing.assert_array_equal(image.pixels, read_image(path).pixels)
    assert read_image(path, window="300,600").facts["window"] == "linear 300 600"
    path = write_dicom(tmp_path / "b", Modality="OT", RescaleType="HU", RescaleIntercept=0)
    assert read_image(path, window="bone").facts["window"] == "bone 400 1800"
    byte = (STORED + 800).astype(np.uint8)
    image = read_image(write_dicom(tmp_path / "c", byte, Modality="US"), window="100,50")
    assert image.facts["window"] == "full range; not applied: 8 bits"
    colour = np.stack([byte] * 3, axis=-1)
    image = read_image(write_dicom(tmp_path / "d", colour), window="100,50")
    assert image.facts["window"] == "not applied: colour"


def test_lookup_tables(tmp_path: Path) -> None:
    """C.11.1.1 and C.11.2.1.1: a table's entries, and its ends beyond its range."""
    stored = np.arange(24, dtype=np.uint16).reshape(4, 6)
    entries = [7, 9, 200, 4000]
    data = np.asarray(entries, "<u2").tobytes()
    voi = item(LUTDescriptor=[4, 10, 12], LUTData=data)
    path = write_dicom(tmp_path / "a", stored, BitsStored=12, HighBit=11, VOILUTSequence=[voi])
    image = read_image(path)
    expected = np.asarray(entries)[np.clip(stored.astype(int) - 10, 0, 3)] / 4095
    np.testing.assert_allclose(grey(image), expected, atol=1e-6)
    assert image.facts["window"] == "voi lut"
    modality = item(
        LUTDescriptor=[4, 10, 16],
        LUTData=np.asarray(entries, "<u2").tobytes(),
        ModalityLUTType="OD",
    )
    path = write_dicom(
        tmp_path / "b", stored, ModalityLUTSequence=[modality], WindowCenter=2000, WindowWidth=4001
    )
    values = np.asarray(entries)[np.clip(stored.astype(int) - 10, 0, 3)]
    expected = np.clip((values - 1999.5) / 4000 + 0.5, 0, 1)
    np.testing.assert_allclose(grey(read_image(path)), expected, atol=1e-6)


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_lookup_tables_of_8_bits_and_of_the_whole_signed_range(
    tmp_path: Path, keyword: str
) -> None:
    """C.11.1.1.1: 8-bit entries stand two in a word; an odd one has a byte behind it."""
    window = {"WindowCenter": 128, "WindowWidth": 256, "VOILUTFunction": "LINEAR_EXACT"}
    entries = np.array([5, 250, 40, 90, 255], np.uint8)
    place = np.clip(np.arange(24).reshape(4, 6) - 10, 0, 4)
    for data in (entries.tobytes() + b"\0", entries.astype("<u2").tobytes()):
        table = item(LUTDescriptor=[5, 10, 8], LUTData=data, ModalityLUTType="US")
        stored = np.arange(24, dtype=np.uint8).reshape(4, 6)
        path = write_dicom(tmp_path / "a", stored, **{keyword: [table]}, **window)
        scale = 255 if keyword == "VOILUTSequence" else 256
        np.testing.assert_allclose(grey(read_image(path)), entries[place] / scale, atol=1e-6)
    ramp = np.arange(2**16).astype("<u2")
    table = item(LUTDescriptor=[0, -(2**15), 16], LUTData=ramp.tobytes(), ModalityLUTType="US")
    table["LUTDescriptor"].VR = "SS"
    window |= {"WindowCenter": 2**15, "WindowWidth": 2**16}
    path = write_dicom(tmp_path / "b", **{keyword: [table]}, **window)
    expected = (STORED.astype(int) + 2**15) / 2**16
    np.testing.assert_allclose(grey(read_image(path)), expected, atol=2e-5)


def test_a_damaged_lookup_table_is_refused(tmp_path: Path) -> None:
    for descriptor in ([4, 10, 16], [2, 10, 0]):
        table = item(LUTDescriptor=descriptor, LUTData=bytes(4))
        with pytest.raises(ReadError, match="damaged DICOM"):
            read_image(write_dicom(tmp_path / "a", VOILUTSequence=[table]))


def test_a_screenshot_of_a_ct_holds_no_hounsfield_units(tmp_path: Path) -> None:
    stored = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    path = write_dicom(tmp_path / "a", stored, RescaleSlope=1, RescaleIntercept=0)
    image = read_image(path, window="lung")
    assert image.facts["window"] == "full range; not applied: 8 bits"
    np.testing.assert_allclose(grey(image), stored / 255, atol=1e-6)


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_background_and_counts_for_no_range(tmp_path: Path, interpretation: str) -> None:
    elements = {"PhotometricInterpretation": interpretation}
    path = write_dicom(
        tmp_path / "a", PixelPaddingValue=-800, PixelPaddingRangeLimit=-600, **elements
    )
    pixels = grey(read_image(path))
    padding = STORED <= -600
    assert (pixels[padding] == 0).all()
    expected = (STORED + 500) / 2000
    expected = 1 - expected if interpretation == "MONOCHROME1" else expected
    np.testing.assert_allclose(pixels[~padding], expected[~padding], atol=1e-6)


def test_padding_of_every_pixel_or_of_none_changes_nothing(tmp_path: Path) -> None:
    plain = grey(read_image(write_dicom(tmp_path / "a")))
    for value, limit in ((-5000, -4000), (-3000, 3000)):
        path = write_dicom(tmp_path / "b", PixelPaddingValue=value, PixelPaddingRangeLimit=limit)
        np.testing.assert_array_equal(grey(read_image(path)), plain)


@pytest.mark.parametrize(
    ("elements", "shape", "ratio"),
    [
        ({"PixelAspectRatio": [2, 1]}, (8, 6), 2.0),
        ({"PixelAspectRatio": [1, 2]}, (4, 12), 0.5),
        ({"PixelAspectRatio": [1, 1]}, (4, 6), None),
        ({"PixelSpacing": [0.6, 0.4]}, (6, 6), 1.5),
        ({"PixelSpacing": [0.5, 0.5], "PixelAspectRatio": [2, 1]}, (4, 6), None),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (8, 6), 2.0),
        ({"PixelSpacing": [0.5, 0.501]}, (4, 6), None),
        ({"PixelAspectRatio": [0, 1]}, (4, 6), None),
        ({"PixelAspectRatio": [60000, 1]}, (4, 6), None),
    ],
)
def test_pixels_become_square(
    tmp_path: Path, elements: dict[str, object], shape: tuple[int, int], ratio: float | None
) -> None:
    """C.7.6.3.1.7: vertical over horizontal; the shorter side is enlarged."""
    image = read_image(write_dicom(tmp_path / "a", **elements))
    assert image.pixels.shape[1:] == shape
    assert image.facts.get("pixel_aspect") == ratio
    assert (image.facts["height"], image.facts["width"]) == shape
    assert image.pixels.min() == 0
    assert image.pixels.max() == 1


def test_square_pixels_keep_the_bound(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", PixelAspectRatio=[10, 1])
    assert read_image(path, max_pixels=240).pixels.shape == (1, 40, 6)
    with pytest.raises(ReadError, match="at most 239 pixels, got 6 x 40"):
        read_image(path, max_pixels=239)


def test_each_frame_has_its_own_rescale_and_window(tmp_path: Path) -> None:
    """C.7.6.16.2.9 and C.7.6.16.2.10, per frame, shared, and from the object itself."""

    def group(intercept: float, centre: float) -> Dataset:
        values = item(RescaleIntercept=intercept, RescaleSlope=1, RescaleType="HU")
        window = item(WindowCenter=centre, WindowWidth=401)
        return item(PixelValueTransformationSequence=[values], FrameVOILUTSequence=[window])

    stack = np.stack([STORED, STORED])
    path = write_dicom(
        tmp_path / "a",
        stack,
        NumberOfFrames=2,
        PerFrameFunctionalGroupsSequence=[group(0, 100), group(-500, -300)],
    )
    for frame, intercept, centre in ((0, 0, 100), (0, 0, 100), (1, -500, -300)):
        image = read_image(path, frame)
        expected = np.clip((STORED + intercept - (centre - 0.5)) / 400 + 0.5, 0, 1)
        np.testing.assert_allclose(grey(image), expected, atol=1e-5)
        assert read_image(path, frame, window="bone").facts["window"] == "bone 400 1800"
    path = write_dicom(
        tmp_path / "b", stack, NumberOfFrames=2, SharedFunctionalGroupsSequence=[group(-500, -300)]
    )
    np.testing.assert_array_equal(read_image(path, 0).pixels, image.pixels)
    assert read_image(path, 1).facts["window"] == "linear -300 401"


def test_each_frame_has_its_own_lookup_table(tmp_path: Path) -> None:
    """C.7.6.16.2.10b, as enhanced X-ray objects have it."""

    def group(top: int) -> Dataset:
        data = np.linspace(0, top, 2400).astype("<u2").tobytes()
        table = item(LUTDescriptor=[2400, 0, 12], LUTData=data)
        return item(FrameVOILUTSequence=[item(VOILUTSequence=[table])])

    stack = np.stack([STORED, STORED])
    groups = {"PerFrameFunctionalGroupsSequence": [group(4095), group(1000)]}
    path = write_dicom(tmp_path / "a", stack, NumberOfFrames=2, **groups)
    for frame, top in ((0, 4095), (1, 1000)):
        image = read_image(path, frame)
        assert image.facts["window"] == "voi lut"
        expected = np.clip(STORED, 0, 2399) * (top / 2399) / 4095
        np.testing.assert_allclose(grey(image), expected, atol=1 / 4095)


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    stack = np.stack([STORED, STORED])
    path = write_dicom(tmp_path / "a", stack, NumberOfFrames=2, PatientID="before")
    assert read_image(path).facts["patientid"] == "before"
    write_dicom(path, stack, NumberOfFrames=2, PatientID="afterwards")
    assert read_image(path, 1).facts["patientid"] == "afterwards"


def test_colour_spaces(tmp_path: Path) -> None:
    """C.7.6.3.1.2: full range, with shared colour, and the retired partial range."""
    rgb = np.random.default_rng(1).integers(0, 256, (4, 6, 3)).astype(np.float64)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    full = np.stack(
        [
            luma,
            -0.1687 * red - 0.3313 * green + 0.5 * blue + 128,
            0.5 * red - 0.4187 * green - 0.0813 * blue + 128,
        ],
        axis=-1,
    )
    partial = np.stack(
        [full[..., 0] * 219 / 256 + 16, *((full[..., n] - 128) * 224 / 256 + 128 for n in (1, 2))],
        axis=-1,
    )
    stored = np.clip(np.rint(full), 0, 255).astype(np.uint8)
    path = write_dicom(tmp_path / "a", stored, PhotometricInterpretation="YBR_FULL")
    pixels = np.moveaxis(read_image(path).pixels, 0, -1) * 255
    assert np.abs(pixels - rgb).max() <= 2
    np.testing.assert_allclose(pixels, np.rint(pixels), atol=1e-4)
    planes = np.moveaxis(stored, -1, 0)
    path = write_dicom(
        tmp_path / "b",
        stored,
        PhotometricInterpretation="YBR_FULL",
        PlanarConfiguration=1,
        PixelData=planes.tobytes(),
    )
    np.testing.assert_allclose(np.moveaxis(read_image(path).pixels, 0, -1) * 255, pixels)
    flat = np.repeat(rgb.mean(axis=(0, 1), keepdims=True), 24, axis=0).reshape(4, 6, 3)
    for space, source in (("YBR_FULL_422", full), ("YBR_PARTIAL_422", partial)):
        y, cb, cr = np.rint(source.mean(axis=(0, 1))).astype(np.uint8)
        data = np.tile(np.array([y, y, cb, cr], np.uint8), 12).tobytes()
        path = write_dicom(tmp_path / "c", stored, PhotometricInterpretation=space, PixelData=data)
        shown = np.moveaxis(read_image(path).pixels, 0, -1) * 255
        assert np.abs(shown - flat).max() <= 4, space


def test_palettes_of_8_and_16_bits(tmp_path: Path) -> None:
    stored = np.arange(24, dtype=np.uint8).reshape(4, 6) % 4
    shades = np.array([[0, 100, 200, 255], [255, 0, 30, 70], [5, 6, 7, 8]])
    for bits, scale in ((8, 1), (16, 257), (16, 1)):
        kind = "u1" if bits == 8 else "<u2"
        tables: dict[str, object] = {}
        for colour, row in zip(("Red", "Green", "Blue"), shades * scale, strict=True):
            tables[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, bits]
            tables[f"{colour}PaletteColorLookupTableData"] = row.astype(kind).tobytes()
        path = write_dicom(
            tmp_path / "a", stored, PhotometricInterpretation="PALETTE COLOR", **tables
        )
        expected = shades[:, stored] / 255
        np.testing.assert_allclose(read_image(path).pixels, expected, atol=1e-6)


def test_a_dark_frame_of_a_16_bit_palette_stays_dark(tmp_path: Path) -> None:
    shades = np.array([0, 100, 30000, 65535], "<u2")
    tables: dict[str, object] = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        tables[f"{colour}PaletteColorLookupTableData"] = shades.tobytes()
    stored = np.array([[0, 1], [1, 1]], np.uint8)
    path = write_dicom(tmp_path / "a", stored, PhotometricInterpretation="PALETTE COLOR", **tables)
    np.testing.assert_allclose(read_image(path).pixels[0], shades[stored] / 65535, atol=1e-7)


def test_floating_point_pixels(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 24).reshape(4, 6)
    values[0, 0] = np.nan
    for kind, keyword, bits in (("f4", "Float", 32), ("f8", "DoubleFloat", 64)):
        elements = {
            f"{keyword}PixelData": values.astype(kind).tobytes(),
            f"{keyword}PixelPaddingValue": float(values.astype(kind)[3, 5]),
        }
        path = write_dicom(
            tmp_path / "a",
            PixelData=None,
            BitsAllocated=bits,
            BitsStored=None,
            HighBit=None,
            PixelRepresentation=None,
            WindowCenter=0.5,
            WindowWidth=1,
            **elements,
        )
        expected = np.nan_to_num(values)
        expected[3, 5] = 0
        image = read_image(path)
        np.testing.assert_allclose(grey(image), expected, atol=1e-6)
        assert image.facts["window"] == "linear_exact 0.5 1"


def test_the_length_of_the_pixels(tmp_path: Path) -> None:
    data = STORED.tobytes()
    for extra in (2, 46):
        path = write_dicom(tmp_path / "a", PixelData=data + bytes(extra))
        assert read_image(path).pixels.shape == (1, 4, 6)
    for changed, message in (
        (data[:-2], "take 48 bytes, got 46: too few"),
        (data + data, "take 48 bytes, got 96: too many"),
    ):
        with pytest.raises(ReadError, match=message):
            read_image(write_dicom(tmp_path / "b", PixelData=changed))
    path = write_dicom(tmp_path / "c")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ReadError, match="ends too early, after 40 of them"):
        read_image(path)
    odd = np.arange(9, dtype=np.uint8).reshape(3, 3)
    path = write_dicom(tmp_path / "d", odd, PixelData=odd.tobytes() + b"\0")
    np.testing.assert_allclose(grey(read_image(path)), odd / 255)


def test_headers_that_describe_no_picture(tmp_path: Path) -> None:
    protected = item(EncryptedContentTransferSyntaxUID="1.2.840.10008.1.2.1", EncryptedContent=b"x")
    for elements, message in (
        ({"PixelData": None, "EncryptedAttributesSequence": [protected]}, "encrypted attributes"),
        ({"PixelData": None, "PixelDataProviderURL": "http://a"}, "the address of a server"),
        ({"SamplesPerPixel": 4}, "1 or 3 samples a pixel, got 4"),
        ({"PhotometricInterpretation": "CMYK"}, "1 samples a pixel is one of MONO.* got CMYK"),
        ({"PhotometricInterpretation": "RGB"}, "got RGB"),
        ({"BitsAllocated": 12, "BitsStored": 12}, "24, 32 or 64 bits, got 12"),
        ({"BitsStored": 17}, "1 to the 16 allocated, got 17"),
        ({"Rows": 0}, "at least one row"),
        ({"Rows": None}, "states its Rows"),
        ({"PhotometricInterpretation": None}, "states its Photometric"),
    ):
        path = write_dicom(tmp_path / "a", **elements)
        with pytest.raises(ReadError, match=message) as caught:
            read_image(path)
        assert "Secret" not in str(caught.value)


def test_other_objects_say_what_they_are(shared_data: Path) -> None:
    for name, message in (
        ("DICOMDIR", "a DICOMDIR, which lists other files"),
        ("reportsi.dcm", "a structured report"),
        ("waveform_ecg.dcm", "a waveform"),
        ("rtplan.dcm", "a radiotherapy object"),
        ("badVR.dcm", "NumberOfFrames is one whole number, got 1A"),
        ("MR_truncated.dcm", "ends too early"),
    ):
        path = next((shared_data / "dicom").rglob(name))
        for read in (read_image, read_dicom_facts) if name != "MR_truncated.dcm" else (read_image,):
            with pytest.raises(ReadError, match=message):
                read(path)


def test_facts_from_the_header_alone(tmp_path: Path) -> None:
    elements = {
        "NumberOfFrames": 2,
        "PatientAge": "006M",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.4",
        "Manufacturer": " Maker ",
        "InstitutionName": "House",
        "ViewPosition": "PA",
        "ImageLaterality": "L",
        "BodyPartExamined": "CHEST",
        "BurnedInAnnotation": "NO",
    }
    path = write_dicom(tmp_path / "a", np.stack([STORED, STORED]), **elements)
    facts = read_dicom_facts(path)
    expected = {key.lower(): value for key, value in elements.items() if key != "NumberOfFrames"}
    expected |= {"frames": 2, "age_years": 0.5, "manufacturer": "Maker", "patientid": "P7"}
    expected |= {"transfersyntaxuid": "Explicit VR Little Endian", "width": 6, "height": 4}
    assert facts.items() >= expected.items()
    assert facts.items() <= read_image(path).facts.items()
    assert not {"patientname", "patientbirthdate"} & set(facts)
    path.write_bytes(path.read_bytes()[:-60])  # the pixels are not looked at
    assert read_dicom_facts(path)["frames"] == 2
    for name, data in (("b", b"text"), ("c", b""), ("d", bytes(200) + b"DICM")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ReadError):
            read_dicom_facts(tmp_path / name)
    with pytest.raises(ReadError):
        read_dicom_facts(tmp_path / "absent")


def test_ages() -> None:
    assert age_in_years("045Y") == 45
    assert age_in_years("026W") == pytest.approx(0.498, abs=0.001)
    assert age_in_years("010D") == pytest.approx(0.027, abs=0.001)
    assert age_in_years("45") is None
    assert age_in_years("") is None


@pytest.mark.parametrize("tag", [b"\x08\0\x16\0UI", b"\x10\0\x40\0CS", b"\x28\0\x04\0CS"])
@pytest.mark.parametrize("length", [60, 120, 400])
def test_a_damaged_length_that_swallows_the_name_tells_it_nowhere(
    tmp_path: Path, tag: bytes, length: int
) -> None:
    path = write_dicom(tmp_path / "x.dcm", PatientSex="F", StudyDescription="SecretStudy")
    data = bytearray(path.read_bytes())
    at = data.index(tag) + len(tag)
    data[at : at + 2] = length.to_bytes(2, "little")
    path.write_bytes(data)
    told = []
    for read in (read_dicom_facts, lambda name: read_image(name).facts):
        try:
            told.append(str(read(path)))
        except ReadError as error:
            told.append(str(error))
    assert "Secret" not in "".join(told)
    assert not any(letter < " " for letter in "".join(told))


def test_long_text_and_control_characters_are_no_facts() -> None:
    assert plain_text(" Krankenhaus \u3000Nord\0") == "Krankenhaus \u3000Nord"
    assert plain_text(["A", "B"]) == "A\\B"
    assert plain_text("x" * 65) == plain_text("a\x10\0b") == plain_text(None) == ""
