"""MedMNIST archives: shapes, labels, class names, patients, the folder of downloads, and damage."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.data import medmnist_sets
from pellucid.data.index import read_dataset
from pellucid.data.medmnist_sets import CLASSES, MD5, fetch_medmnist, published_classes
from pellucid.errors import DataError, ManifestError, UsageError

SIZES = {"train": 6, "val": 2, "test": 4}


def save(path: Path, *, shape: tuple[int, ...] = (28, 28), labels: str = "column") -> Path:
    arrays: dict[str, Any] = {}
    for part, n in SIZES.items():
        arrays[f"{part}_images"] = np.zeros((n, *shape), np.uint8)
        numbers = np.arange(n, dtype=np.uint8) % 2
        arrays[f"{part}_labels"] = {
            "flat": numbers,
            "column": numbers[:, None],
            "several": np.stack([numbers, 1 - numbers, numbers], axis=1),
        }[labels]
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (64, 64), (224, 224, 3)])
@pytest.mark.parametrize("labels", ["flat", "column"])
def test_pictures_and_labels(tmp_path: Path, shape: tuple[int, ...], labels: str) -> None:
    dataset = read_dataset(save(tmp_path / "own.npz", shape=shape, labels=labels))
    table = dataset.table
    assert table["split"].value_counts().to_dict() == {"train": 6, "test": 4, "validation": 2}
    assert table["image_id"].tolist()[5:8] == ["train/5", "val/0", "val/1"]
    assert table["image_path"].iloc[6] == f"{tmp_path / 'own.npz'}#val_images"
    assert table["frame"].tolist() == [*range(6), *range(2), *range(4)]
    assert dataset.task.targets[0].classes == ("0", "1")
    assert dataset.codes().ravel().tolist()[:4] == [0, 1, 0, 1]
    assert not dataset.patients_known


def test_several_labels_are_several_targets(tmp_path: Path) -> None:
    dataset = read_dataset(save(tmp_path / "own.npz", labels="several"))
    assert dataset.task.names == ("label_0", "label_1", "label_2")
    assert all(target.classes == ("0", "1") for target in dataset.task.targets)
    assert dataset.codes()[1].tolist() == [1, 0, 1]


def test_published_names(tmp_path: Path) -> None:
    pneumonia = read_dataset(save(tmp_path / "pneumoniamnist_64.npz"))
    assert pneumonia.task.targets[0].classes == ("normal", "pneumonia")
    assert pneumonia.table["label"].tolist()[:2] == ["normal", "pneumonia"]
    breast = read_dataset(save(tmp_path / "breastmnist.npz"), positive="malignant")
    assert breast.task.targets[0].classes == ("normal, benign", "malignant")
    assert published_classes("own.npz") is None
    assert len(CLASSES) == len(MD5) == 12


def test_published_names_of_several_labels(tmp_path: Path) -> None:
    labels = np.arange(14 * 6).reshape(6, 14) % 2
    path = tmp_path / "chestmnist.npz"
    np.savez(path, train_images=np.zeros((6, 28, 28), np.uint8), train_labels=labels)
    dataset = read_dataset(path)
    assert dataset.task.names[:2] == ("atelectasis", "cardiomegaly")
    assert dataset.task.n_logits == 14
    assert {target.classes for target in dataset.task.targets} == {("0", "1")}


def test_numbers_that_do_not_fit_the_published_names_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "pneumoniamnist.npz"
    images = np.zeros((3, 28, 28), np.uint8)
    np.savez(path, train_images=images, train_labels=np.array([0, 1, 2]))
    dataset = read_dataset(path)
    assert dataset.task.targets[0].classes == ("0", "1", "2")
    assert "numbers are kept" in dataset.notes[0]


def patients_table(path: Path, drop: int = 0, twice: bool = False) -> Path:
    lines = [f"{part},{row},P{row % 3:02d}" for part, n in SIZES.items() for row in range(n)]
    lines = lines[: len(lines) - drop] + ([lines[0]] if twice else [])
    path.write_text("split,index,patient\n" + "\n".join(lines) + "\n")
    return path


def test_patients(tmp_path: Path) -> None:
    archive = save(tmp_path / "own.npz")
    dataset = read_dataset(archive, patients=patients_table(tmp_path / "patients.csv"))
    assert dataset.patients_known
    assert dataset.table["patient_id"].tolist()[:4] == ["P00", "P01", "P02", "P00"]


def test_wrong_patients(tmp_path: Path) -> None:
    archive, path = save(tmp_path / "own.npz"), tmp_path / "patients.csv"
    with pytest.raises(ManifestError, match=r"none for 2: test/2, test/3"):
        read_dataset(archive, patients=patients_table(path, drop=2))
    with pytest.raises(ManifestError, match="one patient, got two for train/0"):
        read_dataset(archive, patients=patients_table(path, twice=True))
    path.write_text("split,row,patient\ntrain,0,a\n")
    with pytest.raises(ManifestError, match="without index"):
        read_dataset(archive, patients=path)
    with pytest.raises(ManifestError, match="No such table"):
        read_dataset(archive, patients=tmp_path / "none.csv")


def test_a_table_of_patients_beside_the_archive_is_mentioned(tmp_path: Path) -> None:
    archive = save(tmp_path / "own.npz")
    patients_table(tmp_path / "own_patients.csv")
    assert "own_patients.csv lies beside" in read_dataset(archive).notes[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, "must hold train_images and train_labels.* got the arrays x"),
        ({"train_images": np.zeros((3, 28, 28))}, "must hold train_labels"),
        ({"train_images": np.zeros((3, 28, 28, 28)), "train_labels": [0, 1, 0]}, "Volumes"),
        ({"train_images": np.zeros((0, 28, 28)), "train_labels": []}, "must be pictures"),
        ({"train_images": np.zeros((3, 28, 28)), "train_labels": [0, 1]}, "one row for each of 3"),
        ({"train_images": np.zeros((2, 28, 28)), "train_labels": [0.5, 1]}, "whole numbers"),
        ({"train_images": np.zeros((2, 28, 28)), "train_labels": ["a", "b"]}, "whole numbers"),
    ],
)
def test_other_archives(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path / "own.npz")


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    images, labels = np.zeros((2, 28, 28)), np.array([{}, {}], dtype=object)
    np.savez(tmp_path / "own.npz", train_images=images, train_labels=labels)
    with pytest.raises(DataError, match=r"must be an intact \.npz archive"):
        read_dataset(tmp_path / "own.npz")


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = save(tmp_path / "own.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"own\.npz must be an intact"):
        read_dataset(path)


def test_options_without_effect(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use --patients"):
        read_dataset(save(tmp_path / "own.npz"), patient_pattern="P")


def test_the_archive_in_medmnists_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDMNIST_ROOT", str(tmp_path))
    save(tmp_path / "pneumoniamnist.npz")
    save(tmp_path / "bloodmnist_64.npz", shape=(64, 64, 3))
    assert read_dataset("medmnist:pneumoniamnist").name == "pneumoniamnist"
    assert fetch_medmnist("pneumoniamnist:28") == tmp_path / "pneumoniamnist.npz"
    assert read_dataset("medmnist:BloodMNIST:64").task.targets[0].classes[0] == "basophil"


def test_unknown_sets_and_sizes() -> None:
    with pytest.raises(UsageError, match=r"No such MedMNIST set.*Did you mean .octmnist."):
        read_dataset("medmnist:octmnst")
    with pytest.raises(UsageError, match="sizes 28, 64, 128, 224, got '32'"):
        read_dataset("medmnist:octmnist:32")


class Answer(io.BytesIO):
    """What the fetching needs of an HTTP answer."""

    def __init__(self, data: bytes, length: int | None = None) -> None:
        super().__init__(data)
        self.headers = {"Content-Length": str(len(data) if length is None else length)}


def serve(monkeypatch: pytest.MonkeyPatch, answer: Answer, root: Path) -> list[str]:
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> Answer:
        asked.append(url)
        return answer

    monkeypatch.setattr(medmnist_sets, "urlopen", urlopen)
    monkeypatch.setenv("MEDMNIST_ROOT", str(root))
    return asked


def test_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(tmp_path / "source.npz").read_bytes()
    root = tmp_path / "root"
    asked = serve(monkeypatch, Answer(data), root)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(medmnist_sets.MD5, "pneumoniamnist", digest)
    seen: list[tuple[int, int]] = []
    path = fetch_medmnist("pneumoniamnist", lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == data
    assert seen == [(len(data), len(data))]
    assert asked == [f"{medmnist_sets.RECORD}/files/pneumoniamnist.npz?download=1"]
    assert [file.name for file in root.iterdir()] == ["pneumoniamnist.npz"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(b"PK not this file"), "the MD5 is .* and not the published"),
        (Answer(b"cut", length=10), "the connection ended after 3 of 10 bytes"),
        (Answer(b"x", length=2**40), "larger than"),
    ],
)
def test_a_wrong_answer_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, message: str
) -> None:
    serve(monkeypatch, answer, tmp_path)
    with pytest.raises(DataError, match=message):
        fetch_medmnist("pneumoniamnist")
    assert list(tmp_path.iterdir()) == []


def test_a_larger_size_must_be_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Answer(b"<html>"), tmp_path)
    with pytest.raises(DataError, match="the answer is no archive"):
        fetch_medmnist("pneumoniamnist:64")


def test_offline_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, timeout: float) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(medmnist_sets, "urlopen", refuse)
    monkeypatch.setenv("MEDMNIST_ROOT", str(tmp_path))
    with pytest.raises(DataError) as caught:
        read_dataset("medmnist:octmnist:128")
    message = str(caught.value)
    assert "octmnist_128.npz?download=1" in message
    assert f"put it at {tmp_path / 'octmnist_128.npz'}" in message
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(medmnist_sets, "urlopen", lambda url, timeout: ended.wait(30))
    monkeypatch.setattr(medmnist_sets, "CONNECT_SECONDS", 0.2)
    monkeypatch.setenv("MEDMNIST_ROOT", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(DataError, match="no answer"):
        fetch_medmnist("octmnist")
    ended.set()
    assert time.monotonic() - started < 3


def test_pneumoniamnist(shared_data: Path) -> None:
    folder = shared_data / "medmnist"
    dataset = read_dataset(
        folder / "pneumoniamnist.npz", patients=folder / "pneumoniamnist_patients.csv"
    )
    assert len(dataset.table) == 4449
    assert dataset.table["patient_id"].nunique() == 2421
    assert dataset.task.targets[0].positive == "pneumonia"
    assert read_dataset(folder / "breastmnist.npz").task.targets[0].classes[0] == "malignant"
