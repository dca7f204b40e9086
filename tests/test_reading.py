"""Reading one file by its content: every kind, every bit depth, and every way to be wrong."""

from __future__ import annotations

import io
import os
import re
import struct
import threading
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image as Picture
from PIL import ImageOps
from PIL.PngImagePlugin import PngInfo

from pellucid.errors import ReadError
from pellucid.images.image import oriented, quiet_decoders
from pellucid.images.reading import MAX_PIXELS, read_image

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
RGB8 = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Picture.fromarray(array).save(path, **options)
    return path


def as_image(array: np.ndarray) -> np.ndarray:
    """What reading must give: the array over its full scale, channels first."""
    scaled = array.astype(np.float64) / np.iinfo(array.dtype).max
    return scaled[None] if array.ndim == 2 else np.moveaxis(scaled, -1, 0)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "npy"])
@pytest.mark.parametrize("array", [GREY8, RGB8], ids=["grey", "rgb"])
def test_eight_bits_are_read_exactly(tmp_path: Path, ending: str, array: np.ndarray) -> None:
    path = tmp_path / f"image.{ending}"
    if ending == "npy":
        np.save(path, array)
    else:
        save(path, array)
    image = read_image(path)
    assert image.pixels.dtype == np.float32
    assert image.pixels.flags.c_contiguous
    np.testing.assert_allclose(image.pixels, as_image(array), atol=1e-7)
    expected = {"width": 7, "height": 5, "bit_depth": 8, "frames": 1, "synthetic": False}
    assert expected.items() <= image.facts.items()


def test_jpeg_is_read_nearly(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    image = read_image(save(tmp_path / "image.jpg", smooth, quality=95))
    np.testing.assert_allclose(image.pixels, as_image(smooth), atol=0.02)
    assert (image.facts["format"], image.facts["mode"]) == ("JPEG", "L")


def test_the_content_decides_and_not_the_ending(tmp_path: Path) -> None:
    save(tmp_path / "image.png", RGB8)
    path = (tmp_path / "image.png").rename(tmp_path / "image.dcm")
    assert read_image(path).facts["format"] == "PNG"
    assert read_image(str(path)).facts["format"] == "PNG"


@pytest.mark.parametrize("array", [GREY16, RGB16], ids=["grey", "rgb"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "NPY"])
def test_sixteen_bits_keep_their_bits(tmp_path: Path, array: np.ndarray, kind: str) -> None:
    path = tmp_path / "image"
    if kind == "PNG":
        path.write_bytes(png_encode(array))
    elif kind == "TIFF":
        tifffile.imwrite(path, array, compression="zlib")
    else:
        np.save(path.with_suffix(".npy"), array)
        path = path.with_suffix(".npy")
    image = read_image(path)
    np.testing.assert_allclose(image.pixels, as_image(array), atol=1e-7)
    assert (image.facts["format"], image.facts["bit_depth"]) == (kind, 16)


def test_one_bit(tmp_path: Path) -> None:
    bits = GREY8 > 127
    for name in ("image.png", "image.tif", "image.bmp"):
        image = read_image(save(tmp_path / name, bits))
        assert image.pixels.shape[1:] == (5, 7)
        np.testing.assert_array_equal(image.pixels[0], bits)
    assert read_image(tmp_path / "image.png").facts["bit_depth"] == 1
    np.save(tmp_path / "image.npy", bits)
    np.testing.assert_array_equal(read_image(tmp_path / "image.npy").pixels[0], bits)


def test_two_and_four_bit_grey_png_reach_white(tmp_path: Path) -> None:
    for bits in (2, 4):
        row = bytes([0, 0xFF])  # filter byte, then the largest values
        path = tmp_path / f"{bits}.png"
        path.write_bytes(png_file(width=8 // bits, height=1, bits=bits, data=zlib.compress(row)))
        image = read_image(path)
        assert (image.pixels == 1).all()
        assert image.facts["bit_depth"] == bits


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_palettes_become_their_colours(tmp_path: Path, ending: str) -> None:
    few = np.asarray(Picture.fromarray(RGB8).quantize(8).convert("RGB"))
    Picture.fromarray(RGB8).quantize(8).save(tmp_path / f"image.{ending}")
    image = read_image(tmp_path / f"image.{ending}")
    np.testing.assert_allclose(image.pixels, as_image(few), atol=1e-4)
    assert image.facts["mode"] == "P"


def test_alpha_is_composited_on_black_and_opaque_alpha_dropped(tmp_path: Path) -> None:
    alpha = np.full((5, 7), 255, np.uint8)
    opaque = read_image(save(tmp_path / "a.png", np.dstack([RGB8, alpha])))
    np.testing.assert_allclose(opaque.pixels, as_image(RGB8), atol=1e-7)
    alpha[0] = 0
    alpha[1] = 51
    for name in ("b.png", "b.tif"):
        half = read_image(save(tmp_path / name, np.dstack([RGB8, alpha]))).pixels
        assert (half[:, 0] == 0).all()
        np.testing.assert_allclose(half[:, 1], as_image(RGB8)[:, 1] * 0.2, atol=1e-6)
    grey = read_image(save(tmp_path / "la.png", np.dstack([GREY8, alpha]))).pixels
    assert grey.shape == (1, 5, 7)
    assert (grey[:, 0] == 0).all()
    deep = np.dstack([RGB16, np.full((5, 7), 65535, np.uint16)])
    (tmp_path / "deep.png").write_bytes(png_encode(deep))
    np.testing.assert_allclose(read_image(tmp_path / "deep.png").pixels, as_image(RGB16), atol=1e-7)


def test_a_transparent_colour_is_black(tmp_path: Path) -> None:
    flat = np.full((4, 4), 200, np.uint8)
    flat[0] = 100
    image = read_image(save(tmp_path / "grey.png", flat, transparency=200))
    assert image.pixels.shape == (1, 4, 4)
    assert (image.pixels[:, 1:] == 0).all()
    assert (image.pixels[:, 0] > 0).all()


def test_cmyk(tmp_path: Path) -> None:
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    for name in ("image.jpg", "image.tif"):
        Picture.fromarray(flat).convert("CMYK").save(tmp_path / name)
        image = read_image(tmp_path / name)
        np.testing.assert_allclose(image.pixels, as_image(flat), atol=0.03)
        assert image.facts["mode"] == "CMYK"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_pillow_applies_it(tmp_path: Path, orientation: int) -> None:
    exif = Picture.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "image.png", RGB8, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Picture.open(path)))
    image = read_image(path)
    np.testing.assert_allclose(image.pixels, as_image(upright), atol=1e-7)
    assert (image.facts["height"], image.facts["width"]) == upright.shape[:2]


def test_a_jpeg_that_draws_its_pixels_over_and_over(tmp_path: Path) -> None:
    Picture.fromarray(GREY8).save(tmp_path / "a.jpg", progressive=True)
    data = (tmp_path / "a.jpg").read_bytes()
    assert read_image(tmp_path / "a.jpg").pixels.shape == (1, *GREY8.shape)
    scan = data[data.rindex(b"\xff\xda") : -2]
    (tmp_path / "b.jpg").write_bytes(data[:-2] + 200 * scan + data[-2:])
    with pytest.raises(ReadError, match="at most 100 scans, got 2"):
        read_image(tmp_path / "b.jpg")
    film = b"\xff\xda" * 500  # behind the end, where phones keep one
    (tmp_path / "d.jpg").write_bytes(data + film)
    assert read_image(tmp_path / "d.jpg").pixels.shape == (1, *GREY8.shape)
    tifffile.imwrite(tmp_path / "c.tif", GREY8, compression="jpeg")
    assert read_image(tmp_path / "c.tif").pixels.shape == (1, *GREY8.shape)


def test_a_strip_larger_than_its_tiff(tmp_path: Path) -> None:
    small, large = io.BytesIO(), io.BytesIO()
    Picture.new("L", (2000, 2000), 90).save(large, "JPEG")
    tifffile.imwrite(small, np.zeros((200, 200), np.uint8), compression="jpeg", rowsperstrip=200)
    data = bytearray(small.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as tiff:
        counts = tiff.pages[0].tags["StripByteCounts"].valueoffset  # type: ignore[union-attr]
        offsets = tiff.pages[0].tags["StripOffsets"].valueoffset  # type: ignore[union-attr]
    size = int.from_bytes(data[counts : counts + 4], "little")
    assert 0 < size < 100_000
    data[offsets : offsets + 4] = len(data).to_bytes(4, "little")
    data[counts : counts + 4] = len(large.getvalue()).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(bytes(data) + large.getvalue())
    with pytest.raises(ReadError, match="a strip or tile has at most 40,000 values"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "zstd", "lzma", "jpeg2000"])
def test_tiff_compressions(tmp_path: Path, compression: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY8, compression=compression)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").pixels[0], GREY8 / 255, atol=1e-6)


def test_a_tiff_compression_whose_size_nobody_knows(tmp_path: Path) -> None:
    colour = np.zeros((8, 8, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb", compression="webp")
    with pytest.raises(ReadError, match=r"compressed by one of .* got WEBP"):
        read_image(tmp_path / "a.tif")


def test_a_run_length_bitmap_of_many_pixels(tmp_path: Path) -> None:
    Picture.new("P", (3000, 3000)).save(tmp_path / "a.bmp")
    data = bytearray((tmp_path / "a.bmp").read_bytes())
    data[30:34] = (1).to_bytes(4, "little")  # biCompression: RLE8
    (tmp_path / "a.bmp").write_bytes(bytes(data))
    with pytest.raises(ReadError, match="4,000,000"):
        read_image(tmp_path / "a.bmp")


def test_exif_orientation_in_jpeg_and_tiff(tmp_path: Path) -> None:
    exif = Picture.Exif()
    exif[0x0112] = 6
    assert read_image(save(tmp_path / "i.jpg", RGB8, exif=exif)).pixels.shape == (3, 7, 5)
    tags = [(274, "H", 1, 6, False)]
    tifffile.imwrite(tmp_path / "i.tif", RGB8, extratags=tags)
    expected = oriented(as_image(RGB8).astype(np.float32), 6)
    np.testing.assert_allclose(read_image(tmp_path / "i.tif").pixels, expected, atol=1e-7)


def test_a_page_is_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    tifffile.imwrite(path, np.stack([GREY8, GREY8 // 2]), photometric="minisblack")
    second = read_image(path, frame=1)
    np.testing.assert_allclose(second.pixels, as_image(GREY8 // 2), atol=1e-7)
    assert second.facts["frames"] == 2
    with pytest.raises(ReadError, match=r"from 0 to 1, got 2"):
        read_image(path, frame=2)
    with pytest.raises(ReadError, match=r"from 0 to 0, got 1"):
        read_image(save(tmp_path / "one.png", GREY8), frame=1)


def test_odd_tiffs(tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, GREY8, photometric="miniswhite")
    np.testing.assert_allclose(read_image(path).pixels, 1 - as_image(GREY8), atol=1e-6)
    planes = np.ascontiguousarray(np.moveaxis(RGB8, -1, 0))
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(read_image(path).pixels, as_image(RGB8), atol=1e-7)
    tifffile.imwrite(path, GREY16.astype(np.uint32) * 65537)
    np.testing.assert_allclose(read_image(path).pixels, as_image(GREY16), atol=1e-6)
    unit = GREY8.astype(np.float32) / 255
    tifffile.imwrite(path, unit, bigtiff=True)
    np.testing.assert_allclose(read_image(path).pixels[0], unit, atol=1e-7)
    tifffile.imwrite(path, np.zeros((4, 4, 6), np.uint8), photometric="minisblack", planarconfig=1)
    with pytest.raises(ReadError, match="6 channels"):
        read_image(path)


def test_synthetic_is_said(tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text("Synthetic", "Pellucid phantom, not a patient")
    assert read_image(save(tmp_path / "image.png", GREY8, pnginfo=text)).facts["synthetic"] is True


def test_rows_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    grey = RNG.integers(0, 256, (20, 6, 8), dtype=np.uint8)
    colour = RNG.integers(0, 256, (20, 6, 8, 3), dtype=np.uint8)
    np.savez_compressed(path, train_images=grey, val_images=colour)
    for row in (0, 19, 3):
        image = read_image(f"{path}#train_images", frame=row)
        np.testing.assert_allclose(image.pixels, as_image(grey[row]), atol=1e-7)
        image = read_image(f"{path}#val_images", row)
        np.testing.assert_allclose(image.pixels, as_image(colour[row]), atol=1e-7)
    with pytest.raises(ReadError, match=r"from 0 to 19, got 20"):
        read_image(f"{path}#train_images", frame=20)
    with pytest.raises(ReadError, match="It holds: train_images, val_images"):
        read_image(f"{path}#test_images")
    with pytest.raises(ReadError, match="It holds: train_images, val_images"):
        read_image(path)


def test_a_large_archive_is_inflated_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.images.arrays._BLOCK_BYTES", 100)
    monkeypatch.setattr("pellucid.images.arrays._BLOCKS_KEPT", 2)
    rows = np.arange(30 * 6, dtype=np.uint8).reshape(30, 2, 3)
    path = tmp_path / "set.npz"
    np.savez_compressed(path, images=rows)
    for row in [*range(30), 0, 29, 14]:
        image = read_image(f"{path}#images", row)
        np.testing.assert_allclose(image.pixels, as_image(rows[row]), atol=1e-7)


def test_an_archive_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    for value in (10, 200):
        np.savez(path, images=np.full((1, 3, 3), value, np.uint8))
        os.utime(path, ns=(value, value))
        assert read_image(f"{path}#images").pixels[0, 0, 0] == pytest.approx(value / 255)


def test_stacks_in_npy(tmp_path: Path) -> None:
    path = tmp_path / "stack.npy"
    stack = RNG.integers(0, 256, (9, 6, 8), dtype=np.uint8)
    np.save(path, stack)
    np.testing.assert_allclose(read_image(path, 8).pixels, as_image(stack[8]), atol=1e-7)
    np.save(path, np.zeros((3, 6, 8), np.uint8))
    with pytest.raises(ReadError, match="colour stands last"):
        read_image(path)
    np.save(path, np.zeros(5, np.uint8))
    with pytest.raises(ReadError, match=r"got \(5,\)"):
        read_image(path)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.full((3, 9), np.nan, np.float32), "NaN"),
        (np.full((3, 9), 255.0), "255 to 255"),
        (np.full((3, 9), -0.5), "-0.5 to"),
        (np.zeros((3, 9), np.int16), "int16"),
        (np.zeros((3, 9), np.complex64), "complex64"),
    ],
)
def test_numbers_without_full_scale_are_refused(
    tmp_path: Path, array: np.ndarray, found: str
) -> None:
    np.save(tmp_path / "image.npy", array)
    with pytest.raises(ReadError, match=found) as caught:
        read_image(tmp_path / "image.npy")
    assert "Scale it to [0, 1]" in str(caught.value)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    trap = np.array([[Trap()]], dtype=object)
    np.save(tmp_path / "trap.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "trap.npz", images=trap)
    for name in (tmp_path / "trap.npy", f"{tmp_path}/trap.npz#images"):
        with pytest.raises(ReadError, match="never loaded"):
            read_image(name)


def png_file(*, width: int, height: int, bits: int = 8, data: bytes = b"") -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def bombs(folder: Path) -> list[Path | str]:
    """Small files that announce 100 million pixels or more."""
    (folder / "b.png").write_bytes(
        png_file(width=10_000, height=10_000, data=zlib.compress(bytes(100_010_000)))
    )
    jpeg = io.BytesIO()
    Picture.fromarray(GREY8).save(jpeg, "JPEG")
    data = bytearray(jpeg.getvalue())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 60_000, 60_000)
    (folder / "b.jpg").write_bytes(data)
    save(folder / "b.bmp", GREY8)
    data = bytearray((folder / "b.bmp").read_bytes())
    data[18:26] = struct.pack("<ii", 60_000, 60_000)
    (folder / "b.bmp").write_bytes(data)
    tifffile.imwrite(folder / "b.tif", np.zeros((10_000, 10_000), np.uint8), compression="zlib")
    header = {"descr": "|u1", "fortran_order": False, "shape": (60_000, 60_000)}
    with (folder / "b.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    with zipfile.ZipFile(folder / "b.npz", "w") as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {**header, "shape": (1, 60_000, 60_000)})
    return [folder / f"b.{end}" for end in ("png", "jpg", "bmp", "tif", "npy")] + [
        f"{folder}/b.npz#x"
    ]


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = bombs(tmp_path)
    for file in files:
        tracemalloc.start()
        with pytest.raises(ReadError, match="at most 64,000,000 pixels"):
            read_image(file)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20e6, file


def test_the_bound_can_be_chosen(tmp_path: Path) -> None:
    path = save(tmp_path / "image.png", GREY8)
    assert read_image(path, max_pixels=35).pixels.size == 35
    with pytest.raises(ReadError, match="at most 34 pixels, got 7 x 5 = 35"):
        read_image(path, max_pixels=34)
    assert MAX_PIXELS == 64_000_000


def broken(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no pictures, and what the message must say of them."""
    smooth = np.tile(np.arange(100, dtype=np.uint8), (100, 1))
    for name in ("whole.jpg", "whole.png", "whole.bmp"):
        save(folder / name, smooth)
    tifffile.imwrite(folder / "whole.tif", smooth)
    np.save(folder / "whole.npy", smooth)
    (folder / "whole.deep").write_bytes(png_encode(smooth.astype(np.uint16) * 257))
    np.savez_compressed(folder / "whole.npz", x=RNG.integers(0, 256, (4, 50, 50), np.uint8))
    cases = {}
    for end in ("jpg", "png", "bmp", "tif", "npy", "deep"):
        data = (folder / f"whole.{end}").read_bytes()
        (folder / f"half.{end}").write_bytes(data[: len(data) // 2])
        found = "ends too early" if end in ("jpg", "png", "deep") else "damaged"
        cases[f"half {end}"] = (folder / f"half.{end}", found)
    data = (folder / "whole.npz").read_bytes()
    (folder / "half.npz").write_bytes(data[: len(data) // 2])
    cases["half npz"] = (folder / "half.npz#x", "damaged")
    for name, content, found in (
        ("text.png", b"not a picture\n", "a text file"),
        ("empty.png", b"", "an empty one"),
        ("noise.png", bytes(range(128, 256)) * 4, "a file of another kind"),
        ("pdf.png", b"%PDF-1.7 \x80", "a PDF"),
        ("head.png", b"\x89PNG\r\n\x1a\n", "ends too early"),
        ("head.tif", b"II*\0", "damaged"),
        ("head.npy", b"\x93NUMPY", "damaged"),
        ("head.bmp", b"BM", "damaged"),
        ("zip.npz", b"PK\x03\x04", "damaged"),
        ("group8.dcm", b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "DICOM image holds pixels"),
    ):
        (folder / name).write_bytes(content)
        cases[name] = (folder / name, found)
    (folder / "folder.png").mkdir()
    cases["folder"] = (folder / "folder.png", "a folder")
    cases["missing"] = (folder / "missing.png", "no such file")
    cases["null"] = (folder / "a\0b.png", "no such file|no file can have")
    return cases


def test_broken_files_give_one_plain_reason(tmp_path: Path) -> None:
    for case, (path, found) in broken(tmp_path).items():
        with pytest.raises(ReadError) as caught:
            read_image(path)
        message = str(caught.value)
        assert re.search(found, message), (case, message)
        assert message.startswith(str(path)), case
        assert "\n" not in message, case
        assert not re.search(r"0x[0-9a-f]{6}|Traceback|Error\b", message), (case, message)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ReadError, match="a device or a pipe"):
        read_image(tmp_path / "pipe.png")


def test_random_damage_is_a_read_error_or_an_image(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    save(tmp_path / "a.jpg", RGB8)
    save(tmp_path / "a.png", RGB8)
    save(tmp_path / "a.tif", RGB8)
    np.save(tmp_path / "a.npy", RGB8)
    for name in ("a.jpg", "a.png", "a.tif", "a.npy"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for position in random.integers(0, len(data), 4):
                data[position] = random.integers(0, 256)
            (tmp_path / "damaged").write_bytes(data)
            try:
                pixels = read_image(tmp_path / "damaged").pixels
            except ReadError:
                continue
            assert 0 <= pixels.min() <= pixels.max() <= 1
            assert len(pixels) in (1, 3)


def test_a_hash_in_an_ordinary_name(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "case#1.png", GREY8)).pixels.shape == (1, 5, 7)
    save(tmp_path / "wrong.png", GREY8).rename(tmp_path / "wrong.npz")
    with pytest.raises(ReadError, match="an array stands in an NPZ archive, got a PNG"):
        read_image(f"{tmp_path}/wrong.npz#images")


def test_warnings_are_quiet_inside_and_back_afterwards() -> None:
    before = list(warnings.filters)

    def nested() -> None:
        for _ in range(200):
            with quiet_decoders(), quiet_decoders():
                warnings.warn("a decoder's worry", stacklevel=1)

    threads = [threading.Thread(target=nested) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


def test_real_images(shared_data: Path) -> None:
    for folder in ("breast_ultrasound", "retinal_oct", "covid_xray", "mednist"):
        files = sorted((shared_data / folder).rglob("*.[jp][pn]*g"))[:3]
        assert files, folder
        for file in files:
            image = read_image(file)
            assert 0 <= image.pixels.min() < image.pixels.max() <= 1
