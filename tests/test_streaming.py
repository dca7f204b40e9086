"""Any number of images to one file: in order, resumable to the byte, with bounded memory."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from cli import pellucid
from explained_model import TWO_TARGETS, draw_image, tiny_model
from pellucid.errors import ManifestError, PredictionsError, UsageError
from pellucid.evaluation.predictions import read_predictions
from pellucid.prediction import decoding, predict, streaming
from pellucid.prediction.engines import open_engine
from pellucid.prediction.listing import Listed, list_images, read_paths
from pellucid.prediction.streaming import predict_to_file


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model", TWO_TARGETS)


@pytest.fixture(autouse=True)
def _small_batches_noted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pellucid.prediction.files.FILES_AT_ONCE", 4)
    monkeypatch.setattr("pellucid.prediction.streaming._SECONDS_BETWEEN_NOTES", 0.0)


def draw_images(folder: Path, n: int) -> list[Path]:
    return [draw_image(folder / f"{number:03}.png", number) for number in range(n)]


def read(path: Path) -> pd.DataFrame:
    return read_predictions(path)


class Killed(Exception):
    """Stands for whatever stops a process."""


def stopped_after(images: list[Listed], n: int) -> Iterator[Listed]:
    for number, listed in enumerate(images):
        if number == n:
            raise Killed
        yield listed


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_is_the_table(tmp_path: Path, model: Path, suffix: str) -> None:
    files = draw_images(tmp_path / "images", 11)
    files[5].write_text("no picture")
    opened, out = open_engine(model), tmp_path / "deep" / f"p{suffix}"
    seen: list[int] = []
    done = predict_to_file(opened, list_images(files), out, progress=seen.append)
    assert (done.n_images, done.n_unreadable, seen) == (11, 1, [4, 8, 11])
    table, failures = predict(model, files)
    assert done.reasons == [str(failure) for failure in failures]
    written = read(out).sort_values(["target", "image_id"], ignore_index=True)
    expected = table.sort_values(["target", "image_id"], ignore_index=True)
    pd.testing.assert_frame_equal(
        written.filter(regex="image_id|target|probability|logit"),
        expected.filter(regex="image_id|target|probability|logit"),
        check_dtype=False,
        rtol=1e-6,
    )
    unreadable = pd.read_csv(f"{out}.unreadable.csv")
    assert unreadable["image_id"].tolist() == [str(files[5])]
    assert sorted(path.name for path in out.parent.iterdir()) == [
        out.name,
        f"{out.name}.unreadable.csv",
    ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("stop", [1, 9, 14])
def test_a_stopped_prediction_goes_on_to_the_same_bytes(
    tmp_path: Path, model: Path, suffix: str, stop: int
) -> None:
    files = draw_images(tmp_path / "images", 15)
    files[2].write_text("no picture")
    images, opened = list_images(files), open_engine(model)
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    predict_to_file(opened, images, whole)
    with pytest.raises(Killed):
        predict_to_file(opened, stopped_after(images, stop), out)
    assert not out.exists()
    part = tmp_path / f"out{suffix}.part"
    with part.open("ab") as file:
        file.write(b"half a row, as a kill leaves")
    done = predict_to_file(opened, images, out, resume=True)
    assert out.read_bytes() == whole.read_bytes()
    assert (done.n_images, done.n_unreadable) == (15, 1)
    unreadable = Path(f"{out}.unreadable.csv").read_text()
    assert unreadable == Path(f"{whole}.unreadable.csv").read_text()
    assert not part.exists()


def test_what_was_stopped_is_not_mixed_with_something_else(tmp_path: Path, model: Path) -> None:
    files = draw_images(tmp_path / "images", 12)
    images, opened, out = list_images(files), open_engine(model), tmp_path / "out.csv"

    def stop() -> None:
        with pytest.raises(Killed):
            predict_to_file(opened, stopped_after(images, 11), out, overwrite=True)

    stop()
    with pytest.raises(UsageError, match="A prediction was stopped at"):
        predict_to_file(opened, images, out)
    with pytest.raises(UsageError, match="of other images"):
        predict_to_file(opened, images[::-1], out, resume=True)
    other = open_engine(tiny_model(tmp_path / "other"))
    with pytest.raises(UsageError, match="another model, engine"):
        predict_to_file(other, images, out, resume=True)
    note = tmp_path / "out.csv.part.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "n_bytes": 10**9}))
    with pytest.raises(UsageError, match="is damaged"):
        predict_to_file(opened, images, out, resume=True)
    done = predict_to_file(opened, images, out, overwrite=True)
    assert done.n_images == 12


def test_resume_without_anything_stopped_begins(tmp_path: Path, model: Path) -> None:
    images = list_images(draw_images(tmp_path / "images", 3))
    out = tmp_path / "out.csv"
    assert predict_to_file(open_engine(model), images, out, resume=True).n_images == 3
    with pytest.raises(UsageError, match="exists"):
        predict_to_file(open_engine(model), images, out, resume=True)


def test_no_image_leaves_no_file(tmp_path: Path, model: Path) -> None:
    with pytest.raises(UsageError, match="There is no image to predict"):
        predict_to_file(open_engine(model), iter(()), tmp_path / "out.csv")
    assert not list(tmp_path.glob("out*"))
    with pytest.raises(PredictionsError, match=r"written as \.csv or \.parquet"):
        predict_to_file(open_engine(model), iter(()), tmp_path / "out.txt")


def test_a_manifest_names_images_frames_and_patients(tmp_path: Path, model: Path) -> None:
    draw_images(tmp_path / "images", 3)
    manifest = tmp_path / "list.csv"
    manifest.write_text(
        "image_path,patient_id,image_id,label\n"
        "images/000.png,001,a,x\nimages/001.png,002,b,y\nimages/002.png,,c,x\n"
    )
    out = tmp_path / "p.csv"
    predict_to_file(open_engine(model), list_images([manifest]), out)
    table = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert table["image_id"].unique().tolist() == ["a", "b", "c"]
    assert table["patient_id"].unique().tolist() == ["001", "002", ""]
    assert set(table["y_true"]) == {""}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_nothing_readable_is_a_table_of_nothing(tmp_path: Path, model: Path, suffix: str) -> None:
    (tmp_path / "images").mkdir()
    for number in range(6):
        (tmp_path / "images" / f"{number}.png").write_text("no picture")
    out = tmp_path / f"p{suffix}"
    answer = pellucid("predict", model, tmp_path / "images", "--out", out)
    assert answer.code == 1
    assert "6 of the images could not be read" in answer.err
    table = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert len(table) == 0
    assert "probability_well" in " ".join(table.columns) or "image_id" in table.columns
    assert len(pd.read_csv(f"{out}.unreadable.csv")) == 6


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_name_that_is_no_text_stops_nothing(tmp_path: Path, model: Path, suffix: str) -> None:
    files = draw_images(tmp_path / "images", 2)
    strange = os.fsencode(tmp_path / "images") + b"/\xe9.png"
    shutil.copy(files[0], strange)
    unreadable = os.fsencode(tmp_path / "images") + b"/\xe8.png"
    Path(os.fsdecode(unreadable)).write_text("no picture")
    out = tmp_path / f"p{suffix}"
    answer = pellucid("predict", model, tmp_path / "images", "--out", out)
    assert answer.code == 1
    ids = set(read(out)["image_id"])
    assert len(ids) == 3
    assert any(name.endswith("\\udce9.png") for name in ids)
    (failed,) = pd.read_csv(f"{out}.unreadable.csv")["image_id"]
    assert failed.endswith("\\udce8.png")


def test_frames_of_a_file_are_told_apart(tmp_path: Path, model: Path) -> None:
    pages = np.random.default_rng(0).integers(0, 256, (3, 20, 20), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    manifest = tmp_path / "list.csv"
    manifest.write_text("path,frame\nstack.tif,0\nstack.tif,1\nstack.tif,2\n")
    predict_to_file(open_engine(model), list_images([manifest]), tmp_path / "p.csv")
    table = read(tmp_path / "p.csv")
    assert table["image_id"].unique().tolist() == [f"stack.tif#{n}" for n in range(3)]
    first = table[table["target"] == table["target"].iloc[0]]
    assert first.filter(like="logit_").dropna(axis=1).iloc[:, 0].nunique() == 3


def test_patients_and_paths_that_were_corrected_are_other_images(
    tmp_path: Path, model: Path
) -> None:
    files, opened, out = draw_images(tmp_path / "images", 9), open_engine(model), tmp_path / "p.csv"
    images = [Listed(f"id{n}", path, 0, "p") for n, path in enumerate(files)]
    with pytest.raises(Killed):
        predict_to_file(opened, stopped_after(images, 8), out)
    for changed in (
        [one._replace(patient_id="q") for one in images],
        [one._replace(path=path) for one, path in zip(images, files[::-1], strict=True)],
    ):
        with pytest.raises(UsageError, match="of other images"):
            predict_to_file(opened, changed, out, resume=True)
    assert predict_to_file(opened, images, out, resume=True).n_images == 9


def test_what_is_written_in_a_folder_is_no_image_of_it(tmp_path: Path, model: Path) -> None:
    draw_images(tmp_path / "images", 9)
    (tmp_path / "images" / ".trash").mkdir()
    draw_image(tmp_path / "images" / ".trash" / "x.png")
    out = tmp_path / "images" / "0.csv"
    images = list_images([tmp_path / "images"], out=out)
    assert len(images) == 9
    with pytest.raises(Killed):
        predict_to_file(open_engine(model), stopped_after(images, 8), out)
    assert (tmp_path / "images" / "0.csv.part").is_file()
    answer = pellucid("predict", model, tmp_path / "images", "--out", out, "--resume")
    assert answer.code == 0, answer.err
    assert read(out)["image_id"].nunique() == 9
    again = pellucid("predict", model, tmp_path / "images", "--out", out, "--overwrite")
    assert again.code == 0, again.err


def test_a_mistake_with_one_image_stops_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, n = draw_images(tmp_path / "images", 6), [0]
    whole = decoding.preprocess

    def fail_once(*arguments: Any) -> Any:
        n[0] += 1
        if n[0] == 3:
            raise MemoryError
        return whole(*arguments)

    monkeypatch.setattr(decoding, "preprocess", fail_once)
    done = predict_to_file(open_engine(model), list_images(files), tmp_path / "p.csv")
    assert (done.n_images, done.n_unreadable) == (6, 1)
    assert "MemoryError" in done.reasons[0]


def test_the_table_comes_last(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = draw_images(tmp_path / "images", 3)
    files[1].write_text("no picture")
    out = tmp_path / "p.csv"
    monkeypatch.setattr(streaming, "copyfile", _killed)
    with pytest.raises(Killed):
        predict_to_file(open_engine(model), list_images(files), out)
    assert not out.exists()
    monkeypatch.undo()
    predict_to_file(open_engine(model), list_images(files), out, resume=True)
    assert len(pd.read_csv(f"{out}.unreadable.csv")) == 1


def _killed(*_: object) -> None:
    raise Killed


@pytest.mark.slow
def test_a_prediction_that_is_killed_goes_on(tmp_path: Path, model: Path) -> None:
    files = draw_images(tmp_path / "images", 60)
    lines, out, whole = [f"{path}\n" for path in files], tmp_path / "p.csv", tmp_path / "w.csv"
    words = [sys.executable, "-m", "pellucid", "predict", str(model), "-", "--out"]
    process = subprocess.Popen([*words, str(out)], stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    note, until = tmp_path / "p.csv.part.json", time.monotonic() + 60
    while not note.exists() and time.monotonic() < until:  # 32 at a time, and more for ever
        process.stdin.writelines(lines)
        process.stdin.flush()
        time.sleep(0.2)
    process.kill()
    process.communicate()
    n_done = json.loads(note.read_text())["n_images"]
    assert n_done >= 32
    every = "".join(lines) * (n_done // len(lines) + 2)
    for place, more in ((out, ["--resume"]), (whole, [])):
        answer = subprocess.run(
            [*words, str(place), *more],
            input=every,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,label\na,b\n", "a manifest has a column of paths"),
        ("path,label\n,b\n", "every row has a path, got none in row 2"),
        ("path,frame\na.png,-1\n", "frames are whole numbers from 0 on"),
        ("path,frame\na.png,x\n", "frames are whole numbers from 0 on"),
        ("path,image_id\na.png,1\nb.png,1\n", "an image of its own.* got '1' in row 3"),
        ("path\na.png\na.png\n", "an image of its own.* got 'a.png#0' in row 3"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ManifestError, match=reason):
        list_images([tmp_path / "list.csv"])


def test_paths_come_from_standard_input() -> None:
    stream = io.StringIO("a.png\n\n b c.png\r\n")
    assert [listed.image_id for listed in read_paths(stream)] == ["a.png", " b c.png"]
    with pytest.raises(UsageError, match="one path of at most"):
        list(read_paths(io.StringIO("x" * 5000)))


def test_a_stream_is_read_two_batches_ahead(tmp_path: Path, model: Path) -> None:
    image, n = draw_image(tmp_path / "image.png"), 0

    def endless() -> Iterator[Listed]:
        nonlocal n
        for n in range(1, 2001):
            yield Listed(f"{n}", image)

    ahead: list[int] = []
    opened = open_engine(model)
    predict_to_file(opened, endless(), tmp_path / "p.csv", progress=lambda d: ahead.append(n - d))
    assert max(ahead) <= 8  # two batches of four


def test_the_command_reads_a_stream(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = draw_images(tmp_path / "images", 6)
    files[1].write_text("no picture")
    out = tmp_path / "p.csv"
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(str, files))))
    answer = pellucid("predict", model, "-", "--out", out, "--json")
    assert answer.code == 1
    document = json.loads(answer.out)
    assert (document["n_images"], document["n_unreadable"]) == (5, 1)
    assert f"{out}.unreadable.csv" in answer.err
    assert read(out)["image_id"].nunique() == 5
    again = pellucid("predict", model, *files, "--out", out)
    assert again.code == 2
    assert "exists" in again.err
