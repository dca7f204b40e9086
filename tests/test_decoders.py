"""Stored values: every transfer syntax against an independent decoder, and damage refused."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from pydicom import uid
from pydicom.encaps import encapsulate

from dicom_files import write_compressed, write_dicom
from dicom_oracle import independent_frame, independent_rgb, our_frame
from pellucid.errors import ReadError
from pellucid.images.codestreams import read_codestream, run_length_segments
from pellucid.images.decoders import (
    CODECS,
    ENCAPSULATED_UNCOMPRESSED,
    FRAME_DEFLATED,
    NATIVE,
    PACKED,
    PROGRESSIVE,
)
from pellucid.images.reading import read_image

GREY8 = (np.arange(24, dtype=np.uint8) * 10).reshape(4, 6)
GREY16 = (np.arange(24, dtype=np.uint16) * 2500).reshape(4, 6)
SMOOTH = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8) * 3
RGB8 = np.stack([SMOOTH, SMOOTH[::-1], 255 - SMOOTH], axis=-1)


def stored(path: Path, frame: int = 0) -> np.ndarray:
    return our_frame(path, frame)[0].values


def test_one_fixed_decoder_for_each_syntax() -> None:
    table = {**NATIVE, **PACKED, **{syntax: name for syntax, (name, _) in CODECS.items()}}
    assert {syntax.rpartition("1.2.840.10008.1.2")[2]: name for syntax, name in table.items()} == {
        "": "native",
        ".1": "native",
        ".2": "native",
        ".1.99": "native, zlib",
        ".1.98": "native",
        ".5": "imagecodecs dicomrle",
        ".8.1": "zlib",
        ".4.50": "imagecodecs jpeg8",
        ".4.51": "imagecodecs jpeg8",
        ".4.53": "imagecodecs jpeg8",
        ".4.55": "imagecodecs jpeg8",
        ".4.57": "imagecodecs jpeg8",
        ".4.70": "imagecodecs jpeg8",
        ".4.80": "imagecodecs jpegls",
        ".4.81": "imagecodecs jpegls",
        ".4.90": "imagecodecs jpeg2k",
        ".4.91": "imagecodecs jpeg2k",
        ".4.201": "imagecodecs jpeg2k",
        ".4.202": "imagecodecs jpeg2k",
        ".4.203": "imagecodecs jpeg2k",
    }


def pictures(folder: Path) -> list[tuple[Path, int]]:
    """Every DICOM picture of a folder and its number of frames."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                facts = read_image(path).facts
            except ReadError:
                continue
            if facts["format"] == "DICOM":
                found.append((path, int(facts["frames"])))
    return found


def test_stored_values_equal_an_independent_decoder_s(shared_data: Path) -> None:
    """Every frame of every picture at hand: GDCM, pydicom, pyjpegls or Pillow, exactly."""
    compared, alone = 0, set()
    for path, frames in pictures(shared_data / "dicom"):
        for frame in range(frames):
            theirs = independent_frame(path, frame)
            if theirs is None:
                alone.add(path.name)
                continue
            np.testing.assert_array_equal(stored(path, frame), theirs[1], err_msg=path.name)
            compared += 1
    assert compared >= 290
    assert alone == {
        "emri_small_jpeg_2k_lossless_too_short.dcm",  # no end mark: the others open nothing
        "liver_deflate.dcm",
        "liver_nonbyte_aligned_deflate.dcm",
    }


def test_colour_equals_an_independent_conversion(shared_data: Path) -> None:
    """Every colour file at hand, converted by our matrix, by pydicom's or inside the codec."""
    compared = 0
    for path, _ in pictures(shared_data / "dicom"):
        pixels, facts = read_image(path)
        palette = facts["photometricinterpretation"] == "PALETTE COLOR"
        theirs = None if len(pixels) == 1 or palette else independent_rgb(path, 0)
        if theirs is None or "pixel_aspect" in facts:
            continue
        top = 2 ** int(facts["bit_depth"]) - 1
        difference = np.abs(np.moveaxis(pixels, 0, -1) - theirs[1] / top).max()
        assert difference < 0.01 / 255, path.name
        compared += 1
    assert compared >= 55


@pytest.mark.parametrize(
    ("compressed", "plain", "levels"),
    [
        ("693_J2KR.dcm", "693_UNCR.dcm", 0),
        ("693_J2KI.dcm", "693_UNCI.dcm", 0),
        ("MR2_J2KR.dcm", "MR2_UNCR.dcm", 0),
        ("MR2_J2KI.dcm", "MR2_UNCI.dcm", 0),
        ("US1_J2KR.dcm", "US1_UNCR.dcm", 0),
        ("US1_J2KI.dcm", "US1_UNCI.dcm", 0),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm", 0),
        ("emri_small_jpeg_2k_lossless_too_short.dcm", "emri_small.dcm", 0),
        ("liver_deflate.dcm", "liver.dcm", 0),
        ("liver_nonbyte_aligned_deflate.dcm", "liver_nonbyte_aligned.dcm", 0),
        ("SC_rgb_gdcm_KY.dcm", "SC_rgb_gdcm2k_uncompressed.dcm", 0),
        ("SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_ebcr_dcmd.dcm", 1),
        ("SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_ebcyn1_dcmd.dcm", 1),
        ("SC_rgb_dcmtk_+eb+cy+n2.dcm", "SC_rgb_dcmtk_ebcyn2_dcmd.dcm", 1),
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_dcmtk_ebcynp_dcmd.dcm", 1),
        ("SC_rgb_dcmtk_+eb+cy+s2.dcm", "SC_rgb_dcmtk_ebcys2_dcmd.dcm", 1),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_dcmtk_ebcys4_dcmd.dcm", 1),
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb.dcm", 0),
    ],
)
def test_a_compressed_file_looks_like_its_uncompressed_sibling(
    shared_data: Path, compressed: str, plain: str, levels: int
) -> None:
    """The siblings were decompressed by DCMTK and GDCM, or never compressed."""
    paths = [next((shared_data / "dicom").rglob(name)) for name in (compressed, plain)]
    ours, theirs = (read_image(path) for path in paths)
    assert ours.facts["decoder"] != theirs.facts["decoder"]
    assert np.abs(ours.pixels - theirs.pixels).max() <= (levels + 0.01) / 255


def test_codecs_round_trip(tmp_path: Path) -> None:
    """Lossless syntaxes, written by imagecodecs' encoders."""
    for syntax, frame, picture in (
        (uid.JPEGLosslessSV1, imagecodecs.ljpeg_encode(GREY16, bitspersample=16), GREY16),
        (uid.JPEGLossless, imagecodecs.ljpeg_encode(GREY16, bitspersample=16), GREY16),
        (uid.JPEGLSLossless, imagecodecs.jpegls_encode(GREY16), GREY16),
        (uid.JPEG2000Lossless, imagecodecs.jpeg2k_encode(SMOOTH, level=0), SMOOTH),
        (uid.JPEG2000Lossless, imagecodecs.jpeg2k_encode(RGB8, level=0), RGB8),
        (uid.HTJ2KLossless, imagecodecs.htj2k_encode(SMOOTH), SMOOTH),
        (uid.HTJ2KLosslessRPCL, imagecodecs.htj2k_encode(SMOOTH), SMOOTH),
    ):
        path = write_compressed(tmp_path / "a.dcm", syntax, [bytes(frame)], picture)
        np.testing.assert_array_equal(stored(path), picture, err_msg=syntax)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_lossless_jpeg_with_every_predictor(tmp_path: Path, bits: int, predictor: int) -> None:
    """T.81, table H.1, in grey and in colour."""
    kind = np.uint8 if bits == 8 else np.uint16
    grey = (np.random.default_rng(0).integers(0, 2**bits, (9, 14))).astype(kind)
    for picture in (grey, np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)):
        frame = imagecodecs.jpeg8_encode(
            picture, lossless=True, predictor=predictor, bitspersample=bits
        )
        elements = {"BitsStored": bits, "HighBit": bits - 1}
        path = write_compressed(tmp_path / "a.dcm", uid.JPEGLossless, [frame], picture, **elements)
        np.testing.assert_array_equal(stored(path), picture)


def test_progressive_jpeg(tmp_path: Path) -> None:
    frame = io.BytesIO()
    Picture.fromarray(SMOOTH).save(frame, "JPEG", progressive=True, quality=95)
    data = frame.getvalue() + bytes(len(frame.getvalue()) % 2)
    for syntax in PROGRESSIVE:
        path = write_compressed(tmp_path / "a.dcm", syntax, [data], SMOOTH)
        np.testing.assert_array_equal(stored(path), np.asarray(Picture.open(frame)))


def test_twelve_bit_jpeg(tmp_path: Path) -> None:
    picture = (SMOOTH.astype(np.uint16) * 8) + 100
    frame = imagecodecs.jpeg8_encode(picture, level=100, bitspersample=12)
    elements = {"BitsStored": 12, "HighBit": 11}
    path = write_compressed(tmp_path / "a.dcm", uid.JPEGExtended12Bit, [frame], picture, **elements)
    assert np.abs(stored(path).astype(int) - picture).max() <= 2


def test_packed_frames(tmp_path: Path) -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflater.compress(GREY16.tobytes()) + deflater.flush()
    for syntax, frame in (
        (FRAME_DEFLATED, deflated + bytes(len(deflated) % 2)),
        (ENCAPSULATED_UNCOMPRESSED, GREY16.tobytes()),
    ):
        path = write_compressed(tmp_path / "a.dcm", syntax, [frame], GREY16)
        np.testing.assert_array_equal(stored(path), GREY16)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("allocated", "bits"), [(8, 5), (16, 12), (16, 16), (32, 20), (32, 32)])
def test_the_unused_bits_hold_no_values(
    tmp_path: Path, allocated: int, bits: int, signed: bool
) -> None:
    """PS3.5, 8.1.1: an old overlay in the bits above is left out, wherever the value lies."""
    random = np.random.default_rng(bits)
    low = -(2 ** (bits - 1)) if signed else 0
    values = random.integers(low, low + 2**bits, (4, 6), dtype=np.int64)
    for high in {bits - 1, allocated - 1}:
        shift = high + 1 - bits
        noise = random.integers(0, 2**allocated, (4, 6), dtype=np.uint64)
        mask = np.uint64(((1 << bits) - 1) << shift)
        cells = (noise & ~mask) | ((values.astype(np.uint64) << np.uint64(shift)) & mask)
        words = cells.astype(f"u{allocated // 8}")
        elements = {"BitsStored": bits, "HighBit": high, "PixelRepresentation": int(signed)}
        path = write_dicom(tmp_path / "a.dcm", words, **elements)
        np.testing.assert_array_equal(stored(path), values)


def test_samples_of_1_and_24_bits(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 5, 7), dtype=np.uint8)
    packed = np.packbits(bits, bitorder="little").tobytes()
    elements = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "NumberOfFrames": 3}
    path = write_dicom(tmp_path / "a.dcm", bits[0], PixelData=packed, **elements)
    for frame in range(3):  # frames do not begin on whole bytes
        np.testing.assert_array_equal(stored(path, frame), bits[frame])
    wide = (np.arange(24, dtype="<u4") * 600_000).reshape(4, 6)
    three = wide.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    elements = {"BitsAllocated": 24, "BitsStored": 24, "HighBit": 23}
    path = write_dicom(tmp_path / "b.dcm", wide, PixelData=three, **elements)
    np.testing.assert_array_equal(stored(path), wide)


@pytest.mark.parametrize("interpretation", ["RGB", "YBR_FULL_422", "YBR_FULL"])
@pytest.mark.parametrize("inside", ["YCBCR", "RGB"])
def test_a_codestream_s_own_colours_are_believed(
    tmp_path: Path, interpretation: str, inside: str
) -> None:
    """Libjpeg writes an Adobe segment beside RGB and a JFIF segment beside YCbCr."""
    frame = imagecodecs.jpeg8_encode(
        RGB8, level=100, colorspace="RGB", outcolorspace=inside, subsampling="444"
    )
    path = write_compressed(
        tmp_path / "a.dcm",
        uid.JPEGBaseline8Bit,
        [frame],
        RGB8,
        PhotometricInterpretation=interpretation,
    )
    pixels = np.moveaxis(read_image(path).pixels, 0, -1)
    assert np.abs(pixels - RGB8 / 255).max() < 5 / 255


def test_what_a_codestream_says_of_itself() -> None:
    for data, expected in (
        (imagecodecs.jpeg8_encode(SMOOTH), (40, 32, 1, 8)),
        (imagecodecs.jpeg8_encode(RGB8), (40, 32, 3, 8)),
        (imagecodecs.jpeg2k_encode(RGB8), (40, 32, 3, 8)),
        (imagecodecs.jpegls_encode(GREY16), (6, 4, 1, 16)),
        (imagecodecs.htj2k_encode(SMOOTH), (40, 32, 1, 8)),
        (imagecodecs.ljpeg_encode(GREY16, bitspersample=16), (6, 4, 1, 16)),
    ):
        stream = read_codestream(bytes(data))
        assert stream is not None
        assert stream[:4] == expected
        assert stream.whole
        for cut in range(0, min(len(data), 300), 7):
            read_codestream(bytes(data[:cut]))  # never raises
    assert read_codestream(b"\xff\xd8\xff") is None
    assert read_codestream(b"") is None
    assert run_length_segments(b"\x03" + bytes(63)) == 3
    assert run_length_segments(b"\x03") == 0


def test_damaged_frames_are_refused(tmp_path: Path) -> None:
    jpeg = imagecodecs.jpeg8_encode(SMOOTH)
    codestream = bytes(imagecodecs.jpeg2k_encode(SMOOTH, level=0))
    lossless = bytes(imagecodecs.ljpeg_encode(SMOOTH))
    for syntax, frame, message in (
        (uid.JPEGBaseline8Bit, jpeg[: len(jpeg) // 2], "a frame without its end"),
        (uid.JPEGLosslessSV1, lossless[: len(lossless) // 2], "a frame without its end"),
        (uid.JPEG2000, codestream[: len(codestream) // 2], "imagecodecs jpeg2k cannot decode"),
        (uid.HTJ2K, b"\0" * 100, "begins with its size"),
        (uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(RGB8), "the header's 32 x 40 x 1, got 32"),
        (uid.JPEG2000, imagecodecs.jpeg2k_encode(SMOOTH.T.copy()), "got 40 x 32 x 1"),
        (uid.RLELossless, b"\x02" + bytes(99), "has 1 segments, got 2"),
        (FRAME_DEFLATED, zlib.compress(bytes(9))[2:], "has 1,280 bytes, got 9"),
        (ENCAPSULATED_UNCOMPRESSED, bytes(1284), "has 1,280 bytes, got 1,284"),
        (uid.MPEG2MPML, bytes(100), "MPEG2.*a film"),
        ("1.2.840.10008.1.2.4.99", bytes(100), "one that a decoder at hand reads"),
    ):
        even = bytes(frame) + bytes(len(frame) % 2)
        path = write_compressed(tmp_path / "a.dcm", syntax, [even], SMOOTH)
        with pytest.raises(ReadError, match=message):
            read_image(path)


def test_run_lengths_that_end_too_early(tmp_path: Path, shared_data: Path) -> None:
    dataset = pydicom.dcmread(next((shared_data / "dicom").rglob("OBXXXX1A_rle.dcm")))
    frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    for share in (0.3, 0.95):
        cut = frame[: int(len(frame) * share) // 2 * 2]
        dataset.PixelData = encapsulate([cut])
        dataset.save_as(tmp_path / "a.dcm")
        with pytest.raises(ReadError, match=r"must be whole|has 480,000 bytes, got"):
            read_image(tmp_path / "a.dcm")


def test_one_frame_is_decoded_without_the_others(tmp_path: Path) -> None:
    good = [imagecodecs.jpegls_encode(GREY16 + offset) for offset in (0, 1, 2)]
    frames = [bytes(frame) + bytes(len(frame) % 2) for frame in good]
    frames[1] = frames[1][:-12] + bytes(12)
    path = write_compressed(tmp_path / "a.dcm", uid.JPEGLSLossless, frames, GREY16)
    np.testing.assert_array_equal(stored(path, 0), GREY16)
    np.testing.assert_array_equal(stored(path, 2), GREY16 + 2)
    with pytest.raises(ReadError, match="a frame without its end"):
        read_image(path, 1)


def test_fragments(tmp_path: Path) -> None:
    frame = bytes(imagecodecs.jpeg2k_encode(SMOOTH, level=0))
    frame += bytes(len(frame) % 2)
    path = write_compressed(tmp_path / "a.dcm", uid.JPEG2000Lossless, [frame], SMOOTH)
    whole = path.read_bytes()
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([frame], fragments_per_frame=3)
    dataset.save_as(tmp_path / "b.dcm")
    np.testing.assert_array_equal(stored(tmp_path / "b.dcm"), SMOOTH)
    path.write_bytes(whole[:-8])  # without the mark at the end of the fragments
    np.testing.assert_array_equal(stored(path), SMOOTH)
    path.write_bytes(whole[:-40])
    with pytest.raises(ReadError, match="ends too early"):
        read_image(path)
    start = whole.index(b"\xfe\xff\x00\xe0")
    path.write_bytes(whole[:start] + b"\x01\x02\x03\x04" + whole[start + 4 :])
    with pytest.raises(ReadError, match="stand in items"):
        read_image(path)
    path.write_bytes(whole[: start + 12])
    with pytest.raises(ReadError, match="an empty element"):
        read_image(path)
    dataset.NumberOfFrames = 5
    dataset.save_as(path)
    with pytest.raises(ReadError, match="5 frames take as many fragments"):
        read_image(path)
