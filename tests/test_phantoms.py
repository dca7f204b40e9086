"""Phantoms: same seed same bytes, no shortcuts, masks that hold the lesion, folders that resume."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from pellucid.data.phantoms import (
    CASES,
    PHANTOM_PATIENT_PATTERN,
    Phantom,
    chest,
    draw_phantoms,
    folder,
    write_phantoms,
)
from pellucid.data.phantoms.drawing import Canvas, average_down, expose, smooth_fields, speckle
from pellucid.data.phantoms.patients import fewest_patients
from pellucid.errors import UsageError
from pellucid.images.reading import read_image

NORMAL = {"chest": "NORMAL", "breast": "normal", "oct": "NORMAL"}


@lru_cache
def drawn(case: str, difficulty: float = 0.5, n_patients: int = 100) -> list[Phantom]:
    return list(draw_phantoms(case, n_patients=n_patients, difficulty=difficulty, seed=7))


def digest(phantoms: list[Phantom]) -> str:
    sums = hashlib.sha256()
    for phantom in phantoms:
        sums.update(phantom.pixels.tobytes() + phantom.mask.tobytes() + phantom.label.encode())
    return sums.hexdigest()


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


# --- what a phantom is ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_same_seed_same_bytes(case: str) -> None:
    first = list(draw_phantoms(case, n_patients=3, seed=11))
    assert digest(first) == digest(list(draw_phantoms(case, n_patients=3, seed=11)))
    assert digest(first) != digest(list(draw_phantoms(case, n_patients=3, seed=12)))


@pytest.mark.parametrize("case", CASES)
def test_a_patient_does_not_depend_on_how_many_are_drawn(case: str) -> None:
    few = list(draw_phantoms(case, n_patients=3))
    many = list(draw_phantoms(case, n_patients=9))
    assert digest(many[: len(few)]) == digest(few)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("image_size", [32, 48, 64, 100, 192])
def test_sizes_types_and_masks(case: str, image_size: int) -> None:
    for phantom in draw_phantoms(case, n_patients=4, image_size=image_size):
        assert phantom.pixels.shape == phantom.mask.shape == (image_size, image_size)
        assert phantom.pixels.dtype == np.uint8
        assert phantom.mask.dtype == np.bool_
        assert phantom.mask.any() == (phantom.label != NORMAL[case])
        assert np.ptp(phantom.pixels) > 100


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_every_abnormal_image_has_a_lesion_at_any_difficulty(case: str, difficulty: float) -> None:
    for phantom in drawn(case, difficulty):
        assert phantom.mask.any() == (phantom.label != NORMAL[case])
        assert phantom.mask.mean() < 0.3


@pytest.mark.parametrize("case", CASES)
def test_patients_have_one_label_and_a_few_different_images(case: str) -> None:
    by_patient: dict[str, list[Phantom]] = {}
    for phantom in drawn(case):
        by_patient.setdefault(phantom.patient_id, []).append(phantom)
    assert list(by_patient) == [f"P{i:04d}" for i in range(1, 101)]
    for phantoms in by_patient.values():
        assert len({p.label for p in phantoms}) == 1
        assert [p.number for p in phantoms] == list(range(1, len(phantoms) + 1))
        assert 2 <= len(phantoms) <= 4
        assert len({p.pixels.tobytes() for p in phantoms}) == len(phantoms)


@pytest.mark.parametrize("case", CASES)
def test_images_of_one_patient_look_more_alike_than_those_of_two(case: str) -> None:
    images = {
        (p.patient_id, p.number): ndimage.gaussian_filter(p.pixels / 255.0, 2) for p in drawn(case)
    }
    own, other = [], []
    for i in range(1, 60):
        first = images[f"P{i:04d}", 1].ravel()
        own.append(np.corrcoef(first, images[f"P{i:04d}", 2].ravel())[0, 1])
        other.append(np.corrcoef(first, images[f"P{i + 1:04d}", 1].ravel())[0, 1])
    assert np.mean(own) > np.mean(other)


def test_classes_are_balanced_and_pneumonia_is_three_fifths() -> None:
    for case, wanted in (("breast", 33), ("oct", 25)):
        counts = Counter({p.patient_id: p.label for p in drawn(case)}.values())
        assert set(counts) == set(CASES[case].classes)
        assert all(abs(n - wanted) <= 1 for n in counts.values())
    chests = Counter({p.patient_id: p.label for p in drawn("chest")}.values())
    assert chests == {"PNEUMONIA": 60, "NORMAL": 40}


# --- no shortcut, and a dial that works ----------------------------------------------------------


def aurocs(case: str, scores: NDArray[np.float64]) -> list[float]:
    labels = np.array([p.label for p in drawn(case)])
    return [float(roc_auc_score(labels == label, scores)) for label in CASES[case].classes]


@pytest.mark.parametrize("case", CASES)
def test_simple_figures_do_not_tell_the_class(case: str) -> None:
    phantoms = drawn(case)
    pixels = np.stack([p.pixels for p in phantoms]).astype(float)
    border = np.concatenate(
        [pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1
    )
    corner = pixels[:, :6, :6].std(axis=(1, 2))
    scores = {
        "mean grey": pixels.mean(axis=(1, 2)),
        "border": border.mean(axis=1),
        "noise in a corner": corner,
        "image number": np.array([float(p.number) for p in phantoms]),
        "patient parity": np.array([float(int(p.patient_id[1:]) % 2) for p in phantoms]),
        "patient number": np.array([float(p.patient_id[1:]) for p in phantoms]),
    }
    for name, values in scores.items():
        for value in aurocs(case, values):
            assert 0.35 <= value <= 0.65, name


@pytest.mark.parametrize("case", CASES)
def test_no_single_pixel_tells_the_class(case: str) -> None:
    pixels = np.stack([p.pixels for p in drawn(case)])[:, ::4, ::4].reshape(len(drawn(case)), -1)
    best = max(max(aurocs(case, column.astype(float))) for column in pixels.T)
    assert best < 0.85


def contrast(phantom: Phantom) -> float:
    """The lesion's mean against its surroundings', in standard deviations of those."""
    ring = ndimage.binary_dilation(phantom.mask, iterations=4) & ~phantom.mask
    inside, outside = phantom.pixels[phantom.mask], phantom.pixels[ring]
    return float((inside.mean() - outside.mean()) / outside.std())


@pytest.mark.parametrize(
    ("case", "label", "sign"),
    [
        ("chest", "PNEUMONIA", 1),
        ("breast", "benign", -1),
        ("breast", "malignant", -1),
        ("oct", "DME", -1),
    ],
)
def test_difficulty_fades_the_lesion(case: str, label: str, sign: int) -> None:
    easy, middle, hard = (
        sign * np.mean([contrast(p) for p in drawn(case, d) if p.label == label])
        for d in (0.0, 0.5, 1.0)
    )
    assert easy > middle + 0.1 > hard + 0.2


@pytest.mark.parametrize("label", ["CNV", "DRUSEN"])
def test_difficulty_flattens_what_lifts_the_retina(label: str) -> None:
    easy, middle, hard = (
        np.mean([p.mask.sum() for p in drawn("oct", d) if p.label == label])
        for d in (0.0, 0.5, 1.0)
    )
    assert easy > 1.2 * middle > 1.3 * hard


@pytest.mark.parametrize("case", CASES)
def test_difficulty_adds_noise(case: str) -> None:
    easy, hard = (
        np.mean([grain(p.pixels.astype(float)) for p in drawn(case, d)]) for d in (0.0, 1.0)
    )
    assert hard > 1.1 * easy


def grain(pixels: NDArray[np.float64]) -> float:
    """How much neighbouring pixels differ, anatomy and exposure set aside."""
    rough = pixels[1:, 1:] - pixels[:-1, 1:] - pixels[1:, :-1] + pixels[:-1, :-1]
    return float(np.median(np.abs(rough)) / pixels.std())


@pytest.mark.parametrize("case", CASES)
def test_difficulty_leaves_the_patients_as_they_are(case: str) -> None:
    easy, hard = drawn(case, 0.0), drawn(case, 1.0)
    assert [p.label for p in easy] == [p.label for p in hard]
    for one, other in zip(easy[:30], hard[:30], strict=True):
        blurred = [ndimage.gaussian_filter(p.pixels.astype(float), 2).ravel() for p in (one, other)]
        assert np.corrcoef(*blurred)[0, 1] > 0.6


# --- anatomy -------------------------------------------------------------------------------------


def test_heart_lies_on_the_right_of_the_picture() -> None:
    """The patient faces the reader, so the left side of the chest is on the right."""
    phantoms = [p for p in drawn("chest") if p.label == "NORMAL"]
    mean = np.mean([p.pixels for p in phantoms], axis=0)
    beside = mean[36:44]
    assert beside[:, 36:42].mean() > beside[:, 22:28].mean() + 20


def test_opacities_stay_within_the_lungs() -> None:
    for seed in range(20):
        generator = np.random.default_rng(seed)
        plates = chest.draw_patient("PNEUMONIA", Canvas(128), generator)
        rows, columns = np.nonzero(plates.opacity > 0.05)
        assert rows.min() > 0.1 * 128
        assert rows.max() < 0.95 * 128
        assert columns.min() > 0.05 * 128
        assert columns.max() < 0.95 * 128
        spine = plates.opacity[:, 62:66]
        assert spine.max() < 0.05
        assert plates.opacity.max() > 0.2


def box(mask: NDArray[np.bool_]) -> tuple[int, int]:
    rows, columns = np.nonzero(mask)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_benign_lumps_are_wide_and_brighten_what_lies_behind_malignant_the_contrary() -> None:
    shape: dict[str, list[float]] = {"benign": [], "malignant": []}
    behind: dict[str, list[float]] = {"benign": [], "malignant": []}
    for phantom in drawn("breast", 0.0):
        if phantom.label == "normal":
            continue
        height, width = box(phantom.mask)
        shape[phantom.label].append(height / width)
        rows, columns = np.nonzero(phantom.mask)
        below = phantom.pixels[rows.max() + 2 : rows.max() + 10].astype(float)
        middle = int(columns.mean())
        behind[phantom.label].append(below[:, middle - 2 : middle + 3].mean() - below.mean())
    assert np.mean(shape["benign"]) < 0.85 < 1.05 < np.mean(shape["malignant"])
    assert np.mean(behind["benign"]) > 8
    assert np.mean(behind["malignant"]) < -8


def test_oct_lesions_are_dark_or_bright_as_they_should_be() -> None:
    difference: dict[str, list[float]] = {"CNV": [], "DME": [], "DRUSEN": []}
    for phantom in drawn("oct", 0.0):
        if phantom.mask.any():
            ring = ndimage.binary_dilation(phantom.mask, iterations=2) & ~phantom.mask
            inside = phantom.pixels[phantom.mask].mean()
            difference[phantom.label].append(float(inside - phantom.pixels[ring].mean()))
    assert np.mean(difference["DME"]) < -15  # cysts
    assert np.mean(difference["CNV"]) > 5  # membrane, in spite of the dark fluid on it
    assert np.mean(difference["DRUSEN"]) > 5  # the RPE that they lift


# --- drawing -------------------------------------------------------------------------------------


def test_speckle_is_fully_developed() -> None:
    """The amplitude of fully developed speckle has mean over deviation sqrt(pi / (4 - pi))."""
    intensity = speckle(np.random.default_rng(0), Canvas(256), 0.005, 0.01)
    amplitude = np.sqrt(intensity)
    assert intensity.mean() == pytest.approx(1, abs=0.06)
    assert amplitude.mean() / amplitude.std() == pytest.approx(1.913, abs=0.06)
    lateral = np.corrcoef(intensity[:, :-2].ravel(), intensity[:, 2:].ravel())[0, 1]
    axial = np.corrcoef(intensity[:-2].ravel(), intensity[2:].ravel())[0, 1]
    assert lateral > axial


def test_smooth_fields_are_the_same_at_every_size() -> None:
    small, _ = smooth_fields(np.random.default_rng(3), Canvas(64), 0.05, 0.08)
    large, _ = smooth_fields(np.random.default_rng(3), Canvas(256), 0.05, 0.08)
    assert small.std() == pytest.approx(1, abs=0.35)
    assert np.corrcoef(small.ravel(), large[::4, ::4].ravel())[0, 1] > 0.999


@pytest.mark.parametrize("mean", [0.15, 0.3, 0.6])
def test_exposure_gives_the_wanted_mean(mean: float) -> None:
    picture = np.random.default_rng(0).normal(0.3, 0.4, (128, 128)).astype(np.float32)
    exposed = expose(picture, mean)
    assert exposed.mean() == pytest.approx(mean, abs=0.01)
    assert 0 <= exposed.min() < exposed.max() <= 1


def test_averaging_keeps_the_mean() -> None:
    picture = np.random.default_rng(0).random((128, 128), dtype=np.float32)
    small = average_down(picture, 32)
    assert small.shape == (32, 32)
    assert small[0, 0] == pytest.approx(picture[:4, :4].mean())


# --- folders -------------------------------------------------------------------------------------


def test_folder_holds_images_masks_and_says_that_it_is_synthetic(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    images = write_phantoms(
        tmp_path / "p", "breast", n_patients=9, progress=lambda *step: seen.append(step)
    )
    assert images == tmp_path / "p" / "images"
    phantoms = list(draw_phantoms("breast", n_patients=9))
    assert seen[-1] == (len(phantoms), len(phantoms))
    for phantom in phantoms:
        name = f"{phantom.label}/{phantom.patient_id}_{phantom.number}.png"
        with Image.open(images / name) as image:
            assert image.mode == "L"
            assert image.info["Synthetic"] == "Pellucid phantom, not a patient"
            assert (image.info["Case"], image.info["Seed"]) == ("breast", "0")
            assert np.array_equal(np.asarray(image), phantom.pixels)
        with Image.open(tmp_path / "p" / "masks" / name) as mask:
            assert np.array_equal(np.asarray(mask) > 127, phantom.mask)
            assert "Synthetic" in mask.info
        assert read_image(images / name).facts["synthetic"] is True
    assert len(list(images.rglob("*.png"))) == len(phantoms)
    assert "SYNTHETIC" in (tmp_path / "p" / "README.txt").read_text()


def test_patient_pattern_finds_the_patient() -> None:
    import re

    match = re.search(PHANTOM_PATIENT_PATTERN, "P0012_3.png")
    assert match is not None
    assert match.group(1) == "P0012"


def test_interrupted_folder_is_finished_to_the_same_bytes(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    write_phantoms(tmp_path / "whole", "chest", n_patients=10)
    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "cut", "chest", n_patients=10, progress=stop)
    cut = contents(tmp_path / "cut")
    assert json.loads(cut["phantoms.json"])["complete"] is False
    next(iter((tmp_path / "cut" / "masks").rglob("P0001_2.png"))).unlink()
    write_phantoms(tmp_path / "cut", "chest", n_patients=10)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert len(cut) < len(contents(tmp_path / "whole"))


def test_complete_folder_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_phantoms(tmp_path / "p", "oct", n_patients=12)
    before = contents(tmp_path / "p")
    monkeypatch.setattr(folder, "_write_all", lambda *_: pytest.fail("drawn again"))
    write_phantoms(tmp_path / "p", "oct", n_patients=12)
    assert contents(tmp_path / "p") == before


def test_folder_with_other_content_is_left_alone(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "p", "oct", n_patients=12)
    before = contents(tmp_path / "p")
    with pytest.raises(UsageError, match=r"phantoms drawn otherwise\. Choose another folder"):
        write_phantoms(tmp_path / "p", "oct", n_patients=12, seed=1)
    (tmp_path / "q" / "images").mkdir(parents=True)
    with pytest.raises(UsageError, match="images of another origin"):
        write_phantoms(tmp_path / "q", "oct", n_patients=12)
    (tmp_path / "p" / "phantoms.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        write_phantoms(tmp_path / "p", "oct", n_patients=12)
    (tmp_path / "p" / "phantoms.json").write_bytes(before["phantoms.json"])
    assert contents(tmp_path / "p") == before
    assert list((tmp_path / "q").rglob("*.png")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"case": "ocd"}, r'No such phantom, got "ocd"\. Did you mean "oct"\?'),
        ({"n_patients": 0}, r"n_patients must be at least 1, got 0\."),
        ({"image_size": 31}, r"image_size must be in \[32, 1024\] pixels, got 31\."),
        ({"image_size": 1025}, r"image_size must be in \[32, 1024\] pixels, got 1025\."),
        ({"seed": -1}, r"seed must be 0 or more, got -1\."),
        ({"difficulty": 1.01}, r"difficulty must be in \[0, 1\], got 1\.01\."),
        ({"difficulty": -0.1}, r"difficulty must be in \[0, 1\], got -0\.1\."),
        ({"difficulty": float("nan")}, r"difficulty must be in \[0, 1\], got nan\."),
    ],
)
def test_bad_arguments_are_refused_at_once(
    arguments: dict[str, object], message: str, tmp_path: Path
) -> None:
    given = {"case": "oct", **arguments}
    with pytest.raises(UsageError, match=message):
        draw_phantoms(**given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        write_phantoms(tmp_path / "p", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "p").exists()


def test_too_few_patients_to_split(tmp_path: Path) -> None:
    fewest = {case: fewest_patients(case) for case in CASES}
    assert fewest == {"chest": 10, "breast": 9, "oct": 12}
    with pytest.raises(UsageError, match=r"oct phantoms need at least 12 patients.*got 11"):
        write_phantoms(tmp_path / "p", "oct", n_patients=11)
    assert not (tmp_path / "p").exists()
