"""Shortcuts: planted ones are found, honest data and shuffled labels give none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from decoded import decode, make_dataset
from pellucid.auditing.findings import Finding
from pellucid.auditing.markers import find_markers
from pellucid.auditing.shortcut_facts import fact_groups
from pellucid.auditing.shortcuts import find_shortcuts
from pellucid.data.cache import PixelCache
from pellucid.data.index import Dataset, read_dataset
from pellucid.images.measures import measure
from pellucid.images.preprocessing import Preprocessing
from pellucid.task import Target

N = 200


def tissue(n: int = N) -> npt.NDArray[np.float32]:
    return np.random.default_rng(2).normal(0.4, 0.05, (n, 64, 64)).clip(0, 1).astype(np.float32)


def measured(pictures: npt.NDArray[np.float32], **facts: Any) -> PixelCache:
    """A cache whose facts hold the measures, as decoding gives them."""
    values = [measure(picture[np.newaxis]) for picture in pictures]
    columns = {name: [row[name] for row in values] for name in values[0]}
    return decode(pictures, **{**columns, **facts})


def run(dataset: Dataset, cache: PixelCache) -> dict[str, Finding]:
    return {finding.code: finding for finding in find_shortcuts(dataset, cache)}


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_a_corner_mark(share: float) -> None:
    pictures = tissue()
    marked = np.arange(0, N, 2)[: int(share * N / 2)]  # only of the class "ill"
    pictures[marked, 2:7, 55:62] = 1.0
    finding = run(make_dataset(N), measured(pictures))["shortcut_corners"]
    assert finding.level == "WARN"
    assert "AUROC" in finding.message
    assert float(finding.figures["low"]) > 0.7
    assert len(finding.groups[0]) == 4


def test_a_site_and_a_patients_age() -> None:
    random = np.random.default_rng(0)
    ill = np.arange(N) % 2 == 0
    site = np.where(ill ^ (random.random(N) < 0.05), "north", "south")
    age = np.where(ill, 70, 50) + random.normal(0, 8, N)
    dataset = make_dataset(N, site=site, age=[f"{value:.0f}" for value in age])
    found = run(dataset, measured(tissue()))
    assert set(found) == {"shortcut_site", "shortcut_age"}
    assert found["shortcut_site"].level == "WARN"
    assert found["shortcut_age"].level == "NOTE"


def test_files_that_differ_by_class() -> None:
    ill = np.arange(N) % 2 == 0
    formats = np.where(ill, "PNG", "JPEG")
    found = run(make_dataset(N), measured(tissue(), format=formats, width=np.where(ill, 64, 80)))
    assert found["shortcut_file"].level == "WARN"
    assert found["shortcut_dimensions"].level == "WARN"


def test_honest_pictures_give_nothing() -> None:
    assert run(make_dataset(N), measured(tissue())) == {}


def test_shuffled_labels_give_nothing() -> None:
    random = np.random.default_rng(3)
    cache = measured(tissue(), site=random.choice(["a", "b", "c"], N), format="PNG")
    for seed in range(4):
        labels = np.random.default_rng(seed).permutation(["ill", "well"] * (N // 2))
        sites = random.choice(["north", "south", "west"], N)
        assert run(make_dataset(N, label=labels, site=sites), cache) == {}


def test_one_patient_with_many_images_gives_nothing_away() -> None:
    """A fact that is the patient's own tells the label only within the patient."""
    patients = [f"p{row // 10}" for row in range(N)]
    labels = ["ill" if row // 10 % 2 else "well" for row in range(N)]
    room = [f"room{row // 10}" for row in range(N)]
    dataset = make_dataset(N, patient_id=patients, label=labels, room=room)
    assert run(dataset, measured(tissue())) == {}


def test_too_few_patients_are_said() -> None:
    labels = ["ill"] * 5 + ["well"] * (N - 5)
    found = run(make_dataset(N, label=labels), measured(tissue()))
    assert set(found) == {"shortcuts_not_judged"}
    assert found["shortcuts_not_judged"].level == "NOTE"


def test_a_rare_class_does_not_hide_what_tells_the_others() -> None:
    labels = ["rare"] * 4 + (["ill", "well"] * N)[: N - 4]
    site = ["north" if label == "ill" else "south" for label in labels]
    dataset = make_dataset(N, label=labels, site=site)
    target = Target(name="label", classes=("ill", "rare", "well"))
    dataset.task = dataset.task.model_copy(update={"targets": (target,)})
    found = run(dataset, measured(tissue()))
    assert set(found) == {"shortcut_site"}
    assert "(among ill, well)" in found["shortcut_site"].message
    assert found["shortcut_site"].figures["n"] == N - 4


@pytest.mark.parametrize("name", ["site_id", "hospital_name", "scanner_id", "view"])
def test_a_site_by_any_name(name: str) -> None:
    values = [str(101 + row % 2) for row in range(N)]
    found = run(make_dataset(N, **{name: values}), measured(tissue()))
    assert {code: finding.level for code, finding in found.items()} == {f"shortcut_{name}": "WARN"}


def test_numbers_of_images_are_no_site() -> None:
    ids = {"record_id": [str(row) for row in range(N)], "file_name": [f"{n}.png" for n in range(N)]}
    names = {group.name for group in fact_groups(make_dataset(N, **ids), measured(tissue()).facts)}
    assert not names & set(ids)


def test_ids_and_notes_are_no_facts() -> None:
    ids = {"study_uid": [f"1.2.{row}" for row in range(N)], "url": ["x", "y"] * (N // 2)}
    dataset = make_dataset(N, **ids, remark=[f"text {row}" for row in range(N)])
    names = {group.name for group in fact_groups(dataset, measured(tissue()).facts)}
    assert not names & {"study_uid", "url", "remark"}


def test_letters_are_said_and_shown() -> None:
    cache = measured(tissue())
    assert list(find_markers(make_dataset(N), cache)) == []
    cache.facts.loc[:19, "letters_top_left"] = 3.0
    (finding,) = find_markers(make_dataset(N), cache)
    assert (finding.level, finding.code, finding.n_rows) == ("NOTE", "burned_in_text", 20)
    assert finding.message.startswith("20 pictures (10%) seem to bear letters or markers, 20 of")
    cache.facts["burnedinannotation"] = ["YES", *["NO"] * (N - 1)]
    assert next(find_markers(make_dataset(N), cache)).level == "WARN"


@pytest.mark.slow
@pytest.mark.parametrize("case", ["oct", "chest", "breast"])
def test_phantoms_hold_no_shortcut(case: str) -> None:
    from pellucid.data.cache import build_cache

    dataset = read_dataset(f"phantom:{case}")
    cache = build_cache(dataset, Preprocessing(image_size=64, channels=1))
    assert {
        code for code, finding in run(dataset, cache).items() if finding.level != "NOTE"
    } == set()
