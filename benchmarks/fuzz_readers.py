"""Damage real files in thousands of ways: each must be decoded, or refused with a plain reason.

Hypothesis draws which file is damaged and how; a child process reads the result, so that a crash of
a decoder is seen and does not end the run. An input fails when the child dies, answers after 5 s,
needs 1 GiB, raises anything but a `ReadError`, or returns pixels that break the contract of
`read_image`. Inputs that fail are kept under --keep.

    python benchmarks/fuzz_readers.py FOLDER... --inputs 20000 --json FILE
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from machine import publish

LIMIT_S = 5.0
LIMIT_BYTES = 1 << 30
LARGEST = 1_200_000  # bytes of an original
TAGS = """
    28000200 28000400 28000600 28000800 28001000 28001100 28003400 28000001 28000101 28000201
    28000301 28005010 28005110 28005210 28005310 28000011 28000030 28002101 28002201 e07f1000
    02001000 02000000 fffe00e0 fffedde0 28000112 28000212 28000312 28000610
"""  # the elements that say how pixels are to be read, little endian
MARKERS = [bytes.fromhex(tag) for tag in TAGS.split()] + [
    b"IHDR", b"IDAT", b"PLTE", b"\xff\xc0", b"\xff\xc3", b"\xff\xf7", b"\xff\xc4", b"\xff\xda",
    b"\xff\x4f\xff\x51", b"\xff\x52", b"jP  ", b"'descr'", b"'shape'", b"PK\x01\x02",
    b"\x00\x01\x03\x00", b"\x01\x01\x03\x00", b"\x11\x01", b"\x17\x01", b"\x02\x01\x03\x00",
]  # fmt: skip
EXTREMES = (0, 1, 2, 7, 255, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

EDITS: dict[str, Callable[[Random], int]] = {  # kinds and what they write or how far they reach
    "byte": lambda draw: draw.randrange(256),
    "bit": lambda draw: draw.randrange(8),
    "number": lambda draw: draw.choice(EXTREMES),
    "big number": lambda draw: draw.choice(EXTREMES),
    "run": lambda draw: draw.randrange(1, 64),
    "cut": lambda draw: 0,
    "remove": lambda draw: draw.randrange(1, 4096),
    "repeat": lambda draw: draw.randrange(1, 4096),
    "splice": lambda draw: draw.randrange(1 << 16),
}
OFTEN = (5, 4, 4, 2, 2, 1, 1, 1, 1)  # the small kinds, which reach deep into a decoder

Edit = tuple[str, int, int]


def draw_edits(data: bytes, draw: Random) -> list[Edit]:
    """One to four edits: kind, place and value."""
    kinds = draw.choices(list(EDITS), OFTEN, k=draw.choice((1, 1, 1, 2, 2, 3, 4)))
    return [(kind, _place(data, draw), EDITS[kind](draw)) for kind in kinds]


def _place(data: bytes, draw: Random) -> int:
    """A position: in the first 1.5 kB, anywhere, or just behind something that steers a decoder."""
    where = draw.choice(["head", "anywhere", "marker"])
    if where == "marker":
        present = [marker for marker in MARKERS if marker in data]
        if present:
            marker = draw.choice(present)
            return data.find(marker) + len(marker) + draw.randrange(8)
    return draw.randrange(min(len(data), 1536) if where == "head" else len(data))


def damaged(whole: bytes, other: bytes, draw: Random) -> tuple[bytes, list[Edit]]:
    """The file after edits; what is compressed as a whole is damaged inside half of the time."""
    inside = whole[:2] == b"\x1f\x8b" and draw.random() < 0.5
    data = bytearray(gzip.decompress(whole) if inside else whole)
    edits = draw_edits(bytes(data), draw)
    for kind, at, value in edits:
        if data:
            _edit(data, kind, min(at, len(data) - 1), value, other)
    return gzip.compress(bytes(data), 1) if inside else bytes(data), edits


def _edit(data: bytearray, kind: str, at: int, value: int, other: bytes) -> None:
    if kind == "byte":
        data[at] = value
    elif kind == "bit":
        data[at] ^= 1 << value
    elif kind in ("number", "big number"):
        order = "big" if kind == "big number" else "little"
        size = 2 if value <= 0xFFFF else 4
        data[at : at + size] = value.to_bytes(size, order)  # type: ignore[arg-type]
    elif kind == "run":
        data[at : at + value] = bytes(range(37, 37 + value))
    elif kind == "cut":
        del data[at:]
    elif kind == "remove":
        del data[at : at + value]
    elif kind == "repeat":
        data[at:at] = data[at : at + value]
    elif kind == "splice":
        start = value % max(1, len(other))
        data[at:] = other[start:]


def collect(folders: list[Path]) -> dict[str, bytes]:
    """The originals: every DICOM object, some pictures of each folder, and other containers."""
    files: dict[str, bytes] = {}
    for folder in folders:
        pictures = 0
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or not 0 < path.stat().st_size <= LARGEST:
                continue
            if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
                pictures += 1
                if pictures > 8:
                    continue
            elif path.suffix.lower() in (".csv", ".md", ".txt", ".json"):
                continue
            files[path.relative_to(folder.parent).as_posix()] = path.read_bytes()
    return files | _other_containers(files)


def _other_containers(files: dict[str, bytes]) -> dict[str, bytes]:
    """A real picture as TIFF, 16-bit PNG, BMP, NPY, NPZ and NIfTI, which no folder here holds."""
    import nibabel as nib
    import numpy as np
    import tifffile
    from PIL import Image

    made: dict[str, bytes] = {}
    name = next((name for name in files if name.lower().endswith((".jpeg", ".jpg", ".png"))), None)
    if name is None:
        return made
    grey = np.asarray(Image.open(io.BytesIO(files[name])).convert("L").resize((160, 160)))
    deep = grey.astype(np.uint16) * 257

    def kept(name: str, write: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / name)
            made[name] = (Path(folder) / name).read_bytes()

    for compression in (None, "lzw", "deflate", "packbits", "jpeg", "jpeg2000"):
        options = {"compression": compression, "photometric": "minisblack"}
        kept(f"{compression}.tif", lambda path, o=options: tifffile.imwrite(path, grey, **o))
    kept("deep.tif", lambda path: tifffile.imwrite(path, deep, tile=(32, 32), compression="zstd"))
    kept("pages.tif", lambda path: tifffile.imwrite(path, np.stack([grey] * 3)))
    kept("deep.png", lambda path: Image.fromarray(deep).save(path))
    kept("palette.png", lambda path: Image.fromarray(grey).convert("P").save(path))
    kept("grey.bmp", lambda path: Image.fromarray(grey).save(path))
    kept("stack.npy", lambda path: np.save(path, np.stack([grey] * 4)))
    kept("stack.npz", lambda path: np.savez_compressed(path, pictures=np.stack([grey] * 4)))
    volume = nib.Nifti1Image(np.stack([grey] * 8, axis=-1).astype(np.int16), np.diag([1, 1, 3, 1]))
    kept("volume.nii", lambda path: nib.save(volume, path))
    kept("volume.nii.gz", lambda path: nib.save(volume, path))
    return made


@dataclass
class Reader:
    """A child process that reads one file after another, started again when it dies."""

    child: subprocess.Popen[bytes] | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    slowest: float = 0.0
    most_bytes: int = 0

    def read(self, path: Path) -> dict[str, Any]:
        """What reading the file came to."""
        if self.child is None:
            words = [sys.executable, __file__, "--child"]
            self.child = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self._answer(60.0)  # its imports
        assert self.child.stdin is not None
        started = time.perf_counter()
        self.child.stdin.write(f"{path}\n".encode())
        self.child.stdin.flush()
        answer = self._answer(LIMIT_S)
        answer["seconds"] = round(time.perf_counter() - started, 3)
        if answer["outcome"] in ("crash", "hang"):
            self.close()
        return answer

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self.child is not None
        assert self.child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.child.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return {"outcome": "hang"}
        line = self.child.stdout.readline()
        if not line:
            return {"outcome": "crash", "signal": -self.child.wait()}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the child."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None


def fuzz(files: dict[str, bytes], inputs: int, number: int, keep: Path | None) -> Reader:
    """Read `inputs` damaged files, drawn from seed `number`."""
    reader, names = Reader(), sorted(files)
    done = 0

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=True))
    def one(draw: Random) -> None:
        nonlocal done
        name, other = draw.choices(names, k=2)
        # The ending stays: it tells a volume and an archive from other files.
        path = Path(folder) / f"x{''.join(Path(name).suffixes[-2:])}"
        data, edits = damaged(files[name], files[other], draw)
        path.write_bytes(data)
        target = f"{path}#pictures" if name.endswith(".npz") else str(path)
        answer = reader.read(Path(target))
        done += 1
        reader.outcomes[answer["outcome"]] += 1
        reader.slowest = max(reader.slowest, answer["seconds"])
        reader.most_bytes = max(reader.most_bytes, answer.get("peak", 0))
        if answer.get("peak", 0) > LIMIT_BYTES:
            answer["outcome"] = "memory"
        if answer["outcome"] not in ("decoded", "refused"):
            reader.failures.append({"original": name, "edits": edits, **answer})
            print(f"\n{reader.failures[-1]}", file=sys.stderr)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{number}_{done}{path.suffix}").write_bytes(path.read_bytes())
        if done % 500 == 0:
            print(f"seed {number}: {done} of {inputs}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        one()
    reader.close()
    return reader


def be_the_child() -> None:
    """Read each file that standard input names, as the decoding of a dataset does."""
    import numpy as np

    from pellucid.errors import ReadError
    from pellucid.images.dicom_header import read_dicom_facts
    from pellucid.images.measures import measure
    from pellucid.images.nifti import count_slices, is_nifti_name
    from pellucid.images.reading import read_image
    from pellucid.images.view import digest_of, view_of

    def check(path: str, frame: int) -> int:
        image = read_image(path, frame)
        pixels = image.pixels
        if pixels.dtype != np.float32 or pixels.ndim != 3 or len(pixels) not in (1, 3):
            raise TypeError(f"pixels of {pixels.dtype} {pixels.shape}")
        if not (pixels.size and pixels.min() >= 0 and pixels.max() <= 1):  # so is NaN
            raise ValueError("pixels outside 0 to 1")
        measure(pixels), view_of(pixels), digest_of(pixels)
        return int(image.facts["frames"])

    def is_plain(text: str) -> bool:
        # A damaged length swallows other elements, and with them a name: their tags show it.
        return len(text) < 600 and not any(character < " " for character in text)

    def attempt(path: str) -> str:
        try:
            if path.endswith(".dcm"):
                facts = read_dicom_facts(Path(path))
                if not all(is_plain(str(fact)) for fact in facts.values()):
                    return "facts that are none"
            elif is_nifti_name(path):
                count_slices(Path(path), "axial")
            frames = check(path, 0)
            if frames > 1:
                check(path, frames - 1)
        except ReadError as error:
            return "refused" if is_plain(str(error)) else "refused at length"
        return "decoded"

    # The answers go where nothing else is written: a decoder may print.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"outcome": "ready"}), file=answers, flush=True)
    memory = Path("/proc/self/clear_refs")
    for line in sys.stdin:
        if memory.exists():
            memory.write_text("5")  # proc(5): the peak begins again
        try:
            answer: dict[str, Any] = {"outcome": attempt(line.rstrip("\n"))}
        except Exception as error:  # noqa: BLE001  what must not happen is reported
            answer = {"outcome": "error", "error": repr(error)[:300]}
        print(json.dumps({**answer, "peak": _peak_bytes()}), file=answers, flush=True)


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def main() -> int:
    """Run; 1 when an input failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that fail")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        be_the_child()
        return 0
    files = collect(options.folders)
    started = time.perf_counter()
    each = -(-options.inputs // options.workers)
    seeds = [options.seed + number for number in range(options.workers)]
    with ThreadPoolExecutor(options.workers) as pool:
        readers = list(pool.map(lambda seed: fuzz(files, each, seed, options.keep), seeds))
    outcomes = sum((reader.outcomes for reader in readers), Counter())
    failures = [failure for reader in readers for failure in reader.failures]
    row = {
        "originals": len(files),
        "inputs": sum(outcomes.values()),
        "decoded": outcomes["decoded"],
        "refused": outcomes["refused"],
        "failed": len(failures),
        "slowest_s": max(reader.slowest for reader in readers),
        "most_MiB": max(reader.most_bytes for reader in readers) >> 20,
        "minutes": round((time.perf_counter() - started) / 60, 1),
    }
    names = " ".join(folder.name for folder in options.folders)
    command = f"fuzz_readers.py {names} --inputs {options.inputs} --seed {options.seed}"
    publish([row], command, options.json)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
