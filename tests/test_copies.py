"""Copies: what is linked, and under which heading and level it is told."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from decoded import decode, make_dataset, noise
from pellucid.auditing.copies import Copies, copy_findings, find_copies
from pellucid.auditing.findings import Finding
from pellucid.data.index import Dataset


def tissue(n: int = 40, size: int = 96) -> npt.NDArray[np.uint8]:
    """Pictures with structure at several scales and nothing in common."""
    random = np.random.default_rng(1)
    layers = [
        gaussian_filter(random.normal(size=(n, size, size)), (0, sigma, sigma)) * sigma
        for sigma in (1, 3, 9)
    ]
    sums = sum(layers)
    low, high = sums.min(axis=(1, 2), keepdims=True), sums.max(axis=(1, 2), keepdims=True)
    return np.asarray(255 * (sums - low) / (high - low), dtype=np.uint8)


def cropped(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cut by 4 % at two sides, with less contrast, at the old size."""
    size = len(picture)
    edge = round(0.04 * size)
    inner = Image.fromarray(picture[edge:, edge:]).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(40 + 0.6 * np.asarray(inner, dtype=np.float32), dtype=np.uint8)


def findings(dataset: Dataset, copies: Copies) -> dict[str, Finding]:
    return {finding.code: finding for finding in copy_findings(dataset, copies)}


def copies_of(*pairs: tuple[int, int], identical: bool = True) -> Copies:
    return Copies(
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        np.full(len(pairs), identical),
        np.ones(len(pairs), dtype=np.float32),
    )


def test_strangers_are_no_copies() -> None:
    assert len(find_copies(decode(tissue())).pairs) == 0
    assert len(find_copies(decode(noise(30, size=64))).pairs) == 0


def test_identical_pictures_are_paired_with_the_first() -> None:
    pictures = noise(20)
    pictures[7] = pictures[12] = pictures[3]
    copies = find_copies(decode(pictures))
    assert copies.pairs.tolist() == [[3, 7], [3, 12]]
    assert copies.identical.all()


def test_a_contrast_changed_crop_is_a_near_duplicate() -> None:
    pictures = tissue()
    pictures[31] = cropped(pictures[4])
    copies = find_copies(decode(pictures))
    assert copies.pairs.tolist() == [[4, 31]]
    assert not copies.identical.any()
    assert copies.similarity[0] > 0.9


def test_a_text_over_the_picture_hides_nothing() -> None:
    pictures = tissue()
    pictures[20] = pictures[5]
    pictures[20, 4:16, 6:60] = 255
    assert find_copies(decode(pictures)).pairs.tolist() == [[5, 20]]


def test_constant_and_unreadable_pictures_are_left_out() -> None:
    pictures = tissue(10)
    pictures[:4] = 7
    cache = decode(pictures)
    cache.readable[5:] = False
    assert len(find_copies(cache).pairs) == 0
    assert len(find_copies(decode(pictures[:1])).pairs) == 0


def test_the_order_of_files_changes_nothing() -> None:
    pictures = tissue()
    pictures[31] = cropped(pictures[4])
    found, turned = (find_copies(decode(one)) for one in (pictures, pictures[::-1].copy()))
    assert turned.pairs.tolist() == [[39 - 31, 39 - 4]]
    # Exactly as alike, or else a pair at the threshold would come and go with the order.
    assert turned.similarity.tolist() == found.similarity.tolist()


def test_linked_rows_are_one_group() -> None:
    groups = copies_of((0, 3), (3, 5)).groups(7)
    assert groups[0] == groups[3] == groups[5]
    assert len(set(groups.tolist())) == 5


def test_the_gravest_heading_tells_a_group_once() -> None:
    dataset = make_dataset(split=["train", "test"] * 40, label=["ill"] * 40 + ["well"] * 40)
    found = findings(dataset, copies_of((0, 1), (2, 4)))
    assert set(found) == {"identical_across_splits", "identical_across_patients"}
    assert found["identical_across_splits"].level == "FAIL"
    assert found["identical_across_splits"].groups == (("0.png", "1.png"),)


@pytest.mark.parametrize("identical", [True, False])
def test_two_splits_do_not_hide_two_classes(identical: bool) -> None:
    dataset = make_dataset(split=["train", "test"] * 40)
    kind = "identical" if identical else "near_duplicates"
    found = findings(dataset, copies_of((0, 1), identical=identical))
    assert set(found) == {f"{kind}_across_splits", f"{kind}_across_classes"}


def test_classes_and_missing_labels() -> None:
    labels = ["ill", "well"] * 40
    found = findings(make_dataset(label=labels), copies_of((0, 1)))
    assert found["identical_across_classes"].level == "FAIL"
    near = findings(make_dataset(label=labels), copies_of((0, 1), identical=False))
    assert near["near_duplicates_across_classes"].level == "WARN"
    unknown = make_dataset(label=["ill", None, *labels[2:]])
    assert set(findings(unknown, copies_of((0, 1)))) == {"identical_across_patients"}


def test_near_duplicates_fail_where_they_are_more_than_one_in_a_hundred() -> None:
    splits = ["train"] * 200 + ["test"] * 200
    dataset = make_dataset(400, split=splits)
    few = findings(dataset, copies_of((0, 200), (1, 201), identical=False))
    assert few["near_duplicates_across_splits"].level == "WARN"
    many = findings(dataset, copies_of((0, 200), (1, 201), (2, 202), identical=False))
    assert many["near_duplicates_across_splits"].level == "FAIL"
    assert "3 groups of near-duplicates (6 images)" in many["near_duplicates_across_splits"].message


def test_one_patient_may_repeat() -> None:
    dataset = make_dataset(patient_id=["a"] * 80)
    assert set(findings(dataset, copies_of((0, 2)))) == {"identical"}
