"""Decode once: right pixels, right keys, and nothing lost or mistaken after any interruption."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from pellucid.data import cache as cache_module
from pellucid.data import pixel_store
from pellucid.data.cache import build_cache, cache_key, check_readable
from pellucid.data.pixel_store import PixelStore
from pellucid.errors import DataError
from pellucid.images.image import Image
from pellucid.images.preprocessing import Preprocessing, preprocess
from pellucid.images.reading import read_image
from pellucid.storage import cache_root

PLAN = Preprocessing(image_size=8, channels=1)


def dataset_of(paths: list[Any], frames: Any = 0) -> Any:
    table = pd.DataFrame({"image_path": [str(path) for path in paths], "frame": frames})
    return SimpleNamespace(table=table)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(0)
    paths = []
    for number in range(20):
        paths.append(tmp_path / f"{number:02}.png")
        Picture.fromarray(random.integers(0, 256, (12, 10), dtype=np.uint8)).save(paths[-1])
    return paths


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were decoded, in order."""
    seen: list[str] = []

    def counted(path: str, frame: int, **options: Any) -> Image:
        seen.append(Path(path).name)
        return read_image(path, frame, **options)

    monkeypatch.setattr(cache_module, "read_image", counted)
    return seen


def test_rows_belong_to_the_table(pictures: list[Path], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    dataset = dataset_of(pictures)
    cache = build_cache(
        dataset, PLAN, folder=tmp_path / "c", workers=3, progress=lambda *now: told.append(now)
    )
    for row, path in enumerate(pictures):
        np.testing.assert_array_equal(cache.pixels[row], preprocess(read_image(path).pixels, PLAN))
    assert cache.readable.all()
    assert cache.facts is not None
    assert cache.facts["height"].tolist() == [12] * 20
    assert told == [(done, 20) for done in range(21)]
    assert isinstance(cache.pixels, np.memmap)
    assert not cache.pixels.flags.writeable


def test_it_is_decoded_once(pictures: list[Path], tmp_path: Path, reads: list[str]) -> None:
    first = build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c")
    again = build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c")
    assert len(reads) == 20
    assert again.folder == first.folder
    np.testing.assert_array_equal(first.pixels, again.pixels)
    pd.testing.assert_frame_equal(first.facts, again.facts)


def test_the_folder_of_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "mine"))
    assert cache_root() == tmp_path / "mine"
    monkeypatch.delenv("PELLUCID_CACHE")
    assert cache_root().name == "pellucid"


def test_the_key_follows_files_and_preprocessing(pictures: list[Path]) -> None:
    key = cache_key(dataset_of(pictures), PLAN)
    assert key == cache_key(dataset_of(pictures), PLAN)
    other = [
        cache_key(dataset_of(pictures[::-1]), PLAN),
        cache_key(dataset_of(pictures, frames=1), PLAN),
        cache_key(dataset_of(pictures), PLAN.model_copy(update={"image_size": 9})),
        cache_key(dataset_of(pictures), PLAN.model_copy(update={"fit": "stretch"})),
        cache_key(dataset_of(["missing.png", *pictures[1:]]), PLAN),
    ]
    os.utime(pictures[0], ns=(1, 1))
    other.append(cache_key(dataset_of(pictures), PLAN))
    assert len({key, *other}) == 7
    normalised_otherwise = PLAN.model_copy(update={"mean": (0.1,)})
    assert cache_key(dataset_of(pictures), normalised_otherwise) == other[-1]


def test_unreadable_rows_are_recorded(pictures: list[Path], tmp_path: Path) -> None:
    pictures[3].write_text("not a picture")
    pictures[7].unlink()
    for _ in range(2):  # built, then opened
        cache = build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c")
        assert sorted(cache.reasons) == [3, 7]
        assert "a text file" in cache.reasons[3]
        assert np.flatnonzero(~cache.readable).tolist() == [3, 7]
        assert (cache.pixels[3] == 0).all()
        assert cache.facts is not None
        assert len(cache.facts) == 20
        assert cache.facts["format"].isna().tolist() == (~cache.readable).tolist()


def test_a_file_that_is_mended_is_read_again(pictures: list[Path], tmp_path: Path) -> None:
    whole = pictures[3].read_bytes()
    pictures[3].write_bytes(whole[:30])
    assert not build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c").readable[3]
    pictures[3].write_bytes(whole)
    assert build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c").readable.all()


def test_nothing_readable_and_nothing_at_all(tmp_path: Path) -> None:
    cache = build_cache(dataset_of(["a.png", "b.png"]), PLAN, folder=tmp_path / "c")
    assert not cache.readable.any()
    assert cache.facts is not None
    assert len(cache.facts) == 2
    with pytest.raises(DataError, match="at least one image"):
        build_cache(dataset_of([]), PLAN, folder=tmp_path / "c")


def test_check_readable(pictures: list[Path], tmp_path: Path) -> None:
    dataset = dataset_of(pictures)
    check_readable(build_cache(dataset, PLAN, folder=tmp_path / "c"), dataset, strict=True)
    for path in pictures[:7]:
        path.write_text("not a picture")
    cache = build_cache(dataset, PLAN, folder=tmp_path / "c")
    check_readable(cache, dataset, strict=False, limit=0.35)
    with pytest.raises(DataError, match="At most 1% of the images") as caught:
        check_readable(cache, dataset, strict=False)
    message = str(caught.value)
    assert "7 of 20" in message
    assert "… and 2 more" in message
    assert message.count("a text file") == 5
    with pytest.raises(DataError, match="--strict"):
        check_readable(cache, dataset, strict=True, limit=1)


def test_rows_of_an_archive(tmp_path: Path, reads: list[str]) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    np.savez_compressed(tmp_path / "set.npz", images=rows)
    dataset = dataset_of([f"{tmp_path}/set.npz#images"] * 50, frames=range(50))
    cache = build_cache(dataset, PLAN, folder=tmp_path / "c", workers=4)
    np.testing.assert_array_equal(cache.pixels[:, 0], rows)


class Stop(BaseException):
    """An interruption, as ctrl-C is one."""


def test_an_interruption_resumes(
    pictures: list[Path], tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_SECONDS_BETWEEN_SAVES", 0.0)

    def stop(done: int, total: int) -> None:
        if done == 9:
            raise Stop

    with pytest.raises(Stop):
        build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c", workers=1, progress=stop)
    assert threading.active_count() < 4
    reads.clear()
    cache = build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c", workers=1)
    assert reads == [path.name for path in pictures[9:]]
    assert cache.facts is not None
    assert cache.facts["width"].tolist() == [10] * 20
    for row, path in enumerate(pictures):
        np.testing.assert_array_equal(cache.pixels[row], preprocess(read_image(path).pixels, PLAN))


def test_an_interruption_is_prompt(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: str, frame: int, **options: Any) -> Image:
        time.sleep(0.2)
        return read_image(path, frame, **options)

    monkeypatch.setattr(cache_module, "read_image", slow)

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c", workers=2, progress=stop)
    assert time.monotonic() - started < 1.5


def test_a_half_written_line_or_a_lost_file_is_made_again(
    pictures: list[Path], tmp_path: Path, reads: list[str]
) -> None:
    home = build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c").folder
    (home / "complete.json").unlink()
    lines = (home / "facts.jsonl").read_bytes()
    (home / "facts.jsonl").write_bytes(lines[:-20])
    reads.clear()
    cache = build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c")
    assert reads == [pictures[-1].name]
    assert cache.readable.all()
    for name in ("pixels.npy", "facts.parquet"):
        (home / name).unlink()
        cache = build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c")
        last = preprocess(read_image(pictures[-1]).pixels, PLAN)
        np.testing.assert_array_equal(cache.pixels[-1], last)
    (home / "complete.json").write_text('{"shape": [20, 1')
    assert build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c").readable.all()


SCRIPT = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
import pandas as pd
from pellucid.data import cache
from pellucid.images.preprocessing import Preprocessing
cache._SECONDS_BETWEEN_SAVES = 0.02
read = cache.read_image
def slow(path, frame, **options):
    time.sleep(0.01)
    return read(path, frame, **options)
cache.read_image = slow
table = pd.read_csv(sys.argv[1], dtype={"image_path": str})
print("ready", flush=True)
made = cache.build_cache(SimpleNamespace(table=table), Preprocessing(image_size=8, channels=1),
                         folder=Path(sys.argv[2]), workers=2)
print(int(made.pixels.astype(int).sum()))
"""


def start(tmp_path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "table.csv"), str(tmp_path / "c")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_sigkill_at_any_moment_loses_nothing_that_was_saved(
    pictures: list[Path], tmp_path: Path
) -> None:
    dataset = dataset_of(pictures * 5)
    dataset.table.to_csv(tmp_path / "table.csv", index=False)
    home = tmp_path / "c" / cache_key(dataset, PLAN)
    done_before = 0
    for wait in (0.12, 0.2, 0.15):
        process = start(tmp_path)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        states = home / "states.bin"
        done = np.count_nonzero(np.fromfile(states, np.uint8)) if states.exists() else 0
        assert done >= done_before
        done_before = done
        assert not (home / "complete.json").exists()
    assert done_before > 0
    cache = build_cache(dataset, PLAN, folder=tmp_path / "c")
    expected = [preprocess(read_image(path).pixels, PLAN) for path in pictures * 5]
    np.testing.assert_array_equal(cache.pixels, expected)
    assert cache.facts is not None
    assert cache.facts["format"].tolist() == ["PNG"] * 100


@pytest.mark.slow
def test_two_processes_make_one_cache(pictures: list[Path], tmp_path: Path) -> None:
    dataset = dataset_of(pictures * 2)
    dataset.table.to_csv(tmp_path / "table.csv", index=False)
    processes = [start(tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=100)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    cache = build_cache(dataset, PLAN, folder=tmp_path / "c")
    assert outputs == [["ready", str(cache.pixels.astype(int).sum())]] * 2
    lines = (cache.folder / "facts.jsonl").read_text().split("\n")
    rows = [json.loads(line)["row"] for line in lines if line]
    assert sorted(rows) == list(range(40))  # the second waited, and decoded nothing


def test_two_threads_make_one_cache(pictures: list[Path], tmp_path: Path, reads: list[str]) -> None:
    results: list[Any] = []

    def build() -> None:
        results.append(build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c", workers=1))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 20
    np.testing.assert_array_equal(results[0].pixels, results[1].pixels)


def test_the_last_whole_line_of_a_row_counts(tmp_path: Path) -> None:
    lines = [
        {"row": 1, "reason": "cut short"},
        {"row": 0, "facts": {"grey": 1.5, "mode": "L"}},
        {"row": 1, "facts": {"grey": 2.0}},
        {"row": 0, "facts": {"mode": "RGB", "frames": 3}},
        {"row": 2, "reason": "no picture"},
    ]
    written = "\n".join(json.dumps(line) for line in lines) + '\n{"row": 0, "facts": {"mo'
    (tmp_path / "facts.jsonl").write_text(written)
    pixel_store.complete(tmp_path, (3, 1, 8, 8))
    facts = pd.read_parquet(tmp_path / "facts.parquet")
    assert facts["mode"].tolist()[0] == "RGB"
    assert facts["frames"].tolist()[0] == 3
    assert facts["grey"].isna().tolist() == [True, False, True]
    assert facts["mode"].isna().tolist() == [False, True, True]
    assert len(facts) == 3
    assert pixel_store.load_reasons(tmp_path) == {2: "no picture"}


Usage = namedtuple("Usage", "total used free")


def test_too_little_space_is_said_beforehand(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    monkeypatch.setattr(pixel_store.shutil, "disk_usage", lambda path: Usage(10, 9, 1))
    with pytest.raises(DataError, match=r"The disk is full.*0\.00 GB free and 0\.07 GB needed"):
        build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c")
    assert reads == []


@pytest.mark.parametrize("after", [1, 2, 5])
def test_a_disk_that_fills_up_is_said_and_nothing_is_mistaken(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(cache_module, "_SECONDS_BETWEEN_SAVES", 0.0)
    whole_flush, calls = pixel_store._flush, []

    def flush(file: Any) -> None:
        calls.append(file)
        if len(calls) >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole_flush(file)

    monkeypatch.setattr(pixel_store, "_flush", flush)
    with pytest.raises(DataError, match="The disk is full") as caught:
        build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c")
    assert "goes on where it stopped" in str(caught.value)
    monkeypatch.setattr(pixel_store, "_flush", whole_flush)
    cache = build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c")
    expected = [preprocess(read_image(path).pixels, PLAN) for path in pictures]
    np.testing.assert_array_equal(cache.pixels, expected)


@pytest.mark.skipif(
    not Path("/dev/full").is_char_device(), reason="/dev/full is not the full device here"
)
def test_a_really_full_device_raises_and_does_not_crash(tmp_path: Path) -> None:
    store = PixelStore(tmp_path, (2, 1, 8, 8))
    store._records_file.close()
    store._records_file = Path("/dev/full").open("wb")  # noqa: SIM115 - the store closes it
    store.add(pixel_store.Row(0, np.zeros((1, 8, 8), np.uint8), {"facts": {}}))
    with pytest.raises(OSError, match="No space left"):
        store.save()
    store.close()
    again = PixelStore(tmp_path, (2, 1, 8, 8))
    assert again.rows_to_do() == [0, 1]
    again.close()


def test_a_folder_that_cannot_be_written(pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file stands here")
    with pytest.raises(DataError, match="must be writable"):
        build_cache(dataset_of(pictures), PLAN, folder=tmp_path / "c")


def test_real_pictures(shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "chest_xray" / "NORMAL").glob("*.jpeg"))[:40]
    plan = Preprocessing(image_size=64, channels=1)
    cache = build_cache(dataset_of(paths), plan, folder=tmp_path / "c")
    assert cache.readable.all()
    assert 60 < cache.pixels.mean() < 190
