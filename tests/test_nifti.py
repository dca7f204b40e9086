"""NIfTI volumes: orientation as a radiologist looks, slices as rows of one patient, bad files."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from pellucid.auditing.leakage import find_leakage
from pellucid.data.index import read_dataset
from pellucid.data.split import assign_splits
from pellucid.errors import PellucidError, ReadError
from pellucid.images.nifti import count_slices
from pellucid.images.reading import read_image

SHAPE = (6, 8, 10)  # x, y, z


def volume() -> npt.NDArray[np.int16]:
    """Voxels that know where they are: 100 x + 10 y + z."""
    x, y, z = np.indices(SHAPE)
    return np.asarray(100 * x + 10 * y + z, dtype=np.int16)


def save(path: Path, voxels: npt.NDArray[np.generic], codes: str = "RAS", **header: object) -> Path:
    """The volume as a file whose stored axes run as `codes` say."""
    image = nib.Nifti1Image(voxels, np.eye(4))
    wanted = nib.orientations.axcodes2ornt(codes)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), wanted)
    turned = image.as_reoriented(turn)
    for name, value in header.items():
        turned.header[name] = value
    nib.save(turned, path)
    return path


def shown(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """A plane in the grey of its volume: from the 0.5 to the 99.5 percentile."""
    low, high = np.percentile(volume(), (0.5, 99.5))
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), dtype=np.float32)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "ASR", "SPL", "PIR"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_however_it_is_stored_it_is_shown_alike(tmp_path: Path, codes: str, ending: str) -> None:
    path = save(tmp_path / f"v{ending}", volume(), codes)
    axial = read_image(path, 4).pixels[0]  # rows from the front, columns from the patient's right
    np.testing.assert_allclose(axial, shown(volume()[::-1, ::-1, 4].T), atol=1e-6)
    coronal = read_image(f"{path}#coronal", 3).pixels[0]
    np.testing.assert_allclose(coronal, shown(volume()[::-1, 3, ::-1].T), atol=1e-6)
    sagittal = read_image(f"{path}#sagittal", 2).pixels[0]
    np.testing.assert_allclose(sagittal, shown(volume()[2, ::-1, ::-1].T), atol=1e-6)
    counts = [count_slices(path, axis) for axis in ("axial", "coronal", "sagittal")]
    assert counts == [10, 8, 6]


def test_slope_window_and_voxels_that_are_not_square(tmp_path: Path) -> None:
    image = nib.Nifti1Image(volume(), np.diag([1.0, 2.0, 5.0, 1.0]))
    image.header.set_slope_inter(2.0, -1000.0)
    nib.save(image, tmp_path / "v.nii")
    read = read_image(tmp_path / "v.nii", 0, window="-500,1000")
    assert read.facts["window"] == "linear -500 1000"
    plane = volume()[::-1, ::-1, 0].T * 2.0 - 1000  # stored slice 0, in its units
    grey = np.clip((plane + 500.5) / 999 + 0.5, 0, 1)
    assert 0 < grey.mean() < 1
    np.testing.assert_allclose(read.pixels[0].mean(axis=0), grey.mean(axis=0), atol=2e-2)
    assert (read.facts["voxel_y_mm"], read.facts["voxel_z_mm"]) == (2.0, 5.0)
    assert read.pixels.shape == (1, 16, 6)


def test_a_window_is_not_laid_over_numbers_that_are_no_hounsfield_units(tmp_path: Path) -> None:
    byte = (volume() % 256).astype(np.uint8)
    share = (volume() / volume().max()).astype(np.float32)
    for voxels, window, words in (
        (byte, "lung", "not applied: 8 bits"),
        (byte, "100,50", "not applied: 8 bits"),
        (share, "lung", "not applied: no Hounsfield units"),
        (volume().astype(np.uint16), "lung", "not applied: no Hounsfield units"),
    ):
        path = save(tmp_path / "v.nii", voxels)
        read = read_image(path, 3, window=window)
        assert str(read.facts["window"]).endswith(f"; {words}")
        np.testing.assert_array_equal(read.pixels, read_image(path, 3).pixels)
    image = nib.Nifti1Image(volume().astype(np.uint16), np.eye(4))
    image.header.set_slope_inter(1.0, -1024.0)
    nib.save(image, tmp_path / "ct.nii")
    assert read_image(tmp_path / "ct.nii", 3, window="lung").facts["window"] == "lung -600 1500"


def test_labels_name_volumes_without_their_two_endings(tmp_path: Path) -> None:
    (tmp_path / "volumes").mkdir()
    for number in range(4):
        save(tmp_path / "volumes" / f"sub{number}.nii.gz", volume())
    (tmp_path / "labels.csv").write_text("image,finding\nsub0,a\nsub1,b\nsub2,a\nsub3,b\n")
    dataset = read_dataset(tmp_path / "volumes", labels=tmp_path / "labels.csv")
    assert len(dataset.table) == 4 * 10


@pytest.mark.parametrize("frame", [-1, 10])
def test_a_slice_that_is_not_there(tmp_path: Path, frame: int) -> None:
    with pytest.raises(ReadError, match="from 0 to 9"):
        read_image(save(tmp_path / "v.nii", volume()), frame)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_volume_cut_short(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"v{ending}", volume())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ReadError, match="whole"):
        read_image(path, 0)


def test_what_is_no_volume(tmp_path: Path) -> None:
    path = tmp_path / "v.nii.gz"
    path.write_bytes(gzip.compress(b"something else" * 100))
    with pytest.raises(ReadError, match="something else"):
        read_image(path)
    series = save(tmp_path / "t.nii", np.zeros((4, 4, 4, 3), np.int16))
    with pytest.raises(ReadError, match="three dimensions, got 4 x 4 x 4 x 3"):
        read_image(series)


def test_a_header_that_promises_more_than_the_file_holds(tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii", volume())
    data = bytearray(path.read_bytes())
    data[40:48] = np.array([3, 30000, 30000, 30000], dtype="<i2").tobytes()
    for name, whole in (("a.nii", bytes(data)), ("a.nii.gz", gzip.compress(bytes(data)))):
        (tmp_path / name).write_bytes(whole)
        with pytest.raises(ReadError):
            read_image(tmp_path / name)


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Twelve volumes under two classes."""
    for number in range(12):
        folder = tmp_path / "volumes" / ("ill" if number % 2 else "well")
        folder.mkdir(parents=True, exist_ok=True)
        save(folder / f"p{number:02d}.nii.gz", volume() + np.int16(number))
    return tmp_path / "volumes"


def test_slices_are_rows_of_one_patient(patients: Path) -> None:
    dataset = read_dataset(patients, slices="coronal:3", patient_pattern=r"p\d+")
    assert len(dataset.table) == 12 * 3
    of_one = dataset.table[dataset.table["patient_id"] == "p03"]
    assert of_one["frame"].tolist() == [0, 3, 6]
    assert of_one["image_path"].str.endswith("#coronal").all()
    done, _ = assign_splits(dataset, seed=1)
    assert (done.table.groupby("patient_id")["split"].nunique() == 1).all()
    torn = dataset.table.assign(split=["train", "test", "test"] * 12)
    codes = {
        finding.code for finding in find_leakage(done.__class__(**{**done.__dict__, "table": torn}))
    }
    assert {"shared_patients", "shared_objects"} <= codes


@pytest.mark.parametrize("slices", ["axail", "axial:0", "axial:x", "axial:-2"])
def test_bad_slices(patients: Path, slices: str) -> None:
    with pytest.raises(PellucidError, match=r"[Ss]lices"):
        read_dataset(patients, slices=slices)


def test_a_manifest_may_name_slices(tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii.gz", volume())
    rows = [{"file": f"{path}#sagittal", "frame": n, "finding": "ab"[n % 2]} for n in range(6)]
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    dataset = read_dataset(tmp_path / "m.csv", label_columns=["finding"])
    assert dataset.table["frame"].tolist() == list(range(6))
