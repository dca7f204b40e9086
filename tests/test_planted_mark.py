"""A corner mark planted in one class: the maps of the trained network and the audit both expose it.

The twin without a mark is trained alike: what its maps and its audit say shows that the mark, and
not the method, is what was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import pellucid
from pellucid.bundle import Bundle
from pellucid.data.phantoms import draw_phantoms
from pellucid.explanation.attribution.attribute import METHODS, attribute
from pellucid.explanation.faithfulness.pointing import overlap_energy, pointing_game
from pellucid.explanation.goals import Goal
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import Block, NetworkSpec, build_classifier
from pellucid.prediction import predict_logits
from pellucid.progress import Progress
from pellucid.task import Target, Task
from pellucid.training import loop
from pellucid.training.plan import Plan

pytestmark = pytest.mark.slow

SIZE, MARK = 32, 4
NEAR = 2  # pixels: half a cell of Grad-CAM's map, and half a window of occlusion
PLACE = (slice(1, 1 + MARK), slice(SIZE - MARK - 1, SIZE - 1))  # top right, as lead markers are
TARGET = Target(name="label", classes=("NORMAL", "PNEUMONIA"), positive="PNEUMONIA")
SPEC = NetworkSpec(
    name="plain",
    channels=1,
    image_size=SIZE,
    blocks=(Block(channels=8), Block(channels=16)),
)
PLAN = Plan(epochs=20, batch_size=16, learning_rate=0.01, image_size=SIZE, augmentation="none")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Trained:
    """A network, and images of ill patients that it never saw, (n, 1, S, S)."""

    bundle: Bundle
    ill: Pixels


def draw(seed: int, n_patients: int, *, marked: bool) -> Iterator[tuple[Pixels, str, str]]:
    """Chest phantoms (S, S) with class and patient; with a mark, all the ill ones have it."""
    for phantom in draw_phantoms("chest", n_patients=n_patients, image_size=SIZE, seed=seed):
        pixels = phantom.pixels.copy()
        if marked and phantom.label == "PNEUMONIA":
            pixels[PLACE] = 250
        yield pixels, phantom.label, phantom.patient_id


def train(folder: Path, *, marked: bool) -> Trained:
    found = list(draw(0, 80, marked=marked))
    patients = np.array([patient for *_, patient in found])
    is_validation = np.isin(patients, np.unique(patients)[::4])
    task = Task(targets=(TARGET,))
    data = loop.TrainingData(
        task=task,
        pixels=np.stack([pixels for pixels, *_ in found])[:, None],
        codes=np.array([[TARGET.classes.index(label)] for _, label, _ in found]),
        train=np.flatnonzero(~is_validation),
        validation=np.flatnonzero(is_validation),
    )
    classifier = build_classifier(SPEC, task)
    loop.train(classifier, PLAN, data, folder, score=accuracy)
    preprocessing = Preprocessing(image_size=SIZE, channels=1, mean=PLAN.mean, std=PLAN.std)
    unseen = [image for image, label, _ in draw(1, 12, marked=marked) if label == "PNEUMONIA"][::2]
    return Trained(Bundle(classifier, SPEC, task, preprocessing, {}), np.stack(unseen)[:, None])


def accuracy(codes: npt.NDArray[np.int64], logits: npt.NDArray[np.float32]) -> float:
    return float(((logits[:, 0] > 0) == codes[:, 0]).mean())


@pytest.fixture(scope="module")
def fooled(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("marked"), marked=True)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("unmarked"), marked=False)


def calls(trained: Trained, pixels: Pixels) -> float:
    """The share that is called ill."""
    bundle = trained.bundle
    return float((predict_logits(bundle.classifier, pixels, bundle.preprocessing) > 0).mean())


def at_the_mark(trained: Trained, method: str) -> tuple[float, float]:
    """How often the maximum lies at the mark, and the energy's share inside it."""
    if method == "occlusion":
        pytest.importorskip("captum")
    maps = attribute(trained.bundle, trained.ill, Goal("label", "PNEUMONIA"), method).values
    masks = np.zeros(maps.shape, dtype=bool)
    masks[(slice(None), *PLACE)] = True
    return float(pointing_game(maps, masks, NEAR).mean()), float(overlap_energy(maps, masks).mean())


def codes_of(folder: Path, *, marked: bool) -> dict[str, str]:
    """What `pellucid audit` finds in such images: codes and levels."""
    for number, (pixels, label, patient) in enumerate(draw(0, 40, marked=marked)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / label / f"{patient}_{number}.png")
    dataset = pellucid.read_dataset(folder, patient_pattern=r"(P\d+)", positive="PNEUMONIA")
    found = pellucid.audit(dataset, progress=Progress(quiet=True)).findings
    return {finding.code: finding.level for finding in found}


def test_the_network_goes_by_the_mark(fooled: Trained) -> None:
    wiped = fooled.ill.copy()
    wiped[(slice(None), 0, *PLACE)] = 0
    assert calls(fooled, fooled.ill) > 0.9
    assert calls(fooled, wiped) < 0.2


@pytest.mark.parametrize("method", METHODS)
def test_the_map_points_at_the_mark(fooled: Trained, honest: Trained, method: str) -> None:
    hits, energy = at_the_mark(fooled, method)
    hits_without, energy_without = at_the_mark(honest, method)
    print(
        f"{method}: hits {hits:.2f}, {hits_without:.2f}; energy {energy:.3f}, {energy_without:.3f}"
    )
    assert hits > 0.9
    assert hits_without < 0.2
    assert energy > 3 * max(energy_without, (MARK / SIZE) ** 2)


def test_the_audit_exposes_the_mark(tmp_path: Path) -> None:
    assert codes_of(tmp_path / "marked", marked=True)["shortcut_corners"] == "WARN"
    assert "shortcut_corners" not in codes_of(tmp_path / "unmarked", marked=False)
