"""Synthetic patients in order: who has what, how many images, and each image drawn.

Knows the cases by name; it does not know files, nor how an organ is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.data.phantoms import breast, chest
from pellucid.data.phantoms import oct as oct_scan
from pellucid.data.phantoms.drawing import Canvas, Field, Mask, average_down, drawing_size
from pellucid.errors import UsageError, did_you_mean

DEFAULT_PATIENTS = 400
SIZES = (32, 1024)
N_IMAGES = (2, 4)  # a patient has from two to four images
_LABELS, _PATIENT, _IMAGE = range(3)  # what a random stream is for


@dataclass(frozen=True)
class Phantom:
    """One synthetic image and the truth about it."""

    pixels: NDArray[np.uint8]  # (row, column)
    mask: Mask  # (row, column), the lesion; empty for a normal image
    label: str
    patient_id: str  # "P0001", unique over the classes
    number: int  # of the image within the patient, from 1


@dataclass(frozen=True)
class Case:
    """How one organ's patients are drawn. `block` is the mix of classes that is shuffled."""

    number: int
    classes: tuple[str, ...]
    block: tuple[str, ...]
    draw_patient: Callable[[str, Canvas, np.random.Generator], Any]
    draw_image: Callable[[Any, Canvas, np.random.Generator], tuple[Field, Mask]]


CASES = {
    "chest": Case(0, chest.CLASSES, chest.BLOCK, chest.draw_patient, chest.draw_image),
    "breast": Case(1, breast.CLASSES, breast.BLOCK, breast.draw_patient, breast.draw_image),
    "oct": Case(2, oct_scan.CLASSES, oct_scan.BLOCK, oct_scan.draw_patient, oct_scan.draw_image),
}


def draw_phantoms(
    case: str,
    *,
    n_patients: int = DEFAULT_PATIENTS,
    image_size: int = 64,
    seed: int = 0,
    difficulty: float = 0.5,
) -> Iterator[Phantom]:
    """Synthetic images of a case ("chest", "breast" or "oct"), patient after patient.

    `image_size` is the side in pixels, 32 to 1024. `difficulty` runs from 0 (strong contrast) to 1
    (lesions close to invisible, more noise); it leaves the patients' anatomy as it is. A patient
    is the same whatever `n_patients` is. Raises `UsageError` at the call for anything else.
    """
    check_request(case, n_patients, image_size, seed, difficulty)
    patients = range(n_patients)
    return (p for i in patients for p in draw_patient(case, i, image_size, seed, difficulty))


def draw_patient(
    case: str, index: int, image_size: int, seed: int, difficulty: float
) -> Iterator[Phantom]:
    """All images of one patient; `index` counts from 0."""
    drawn = CASES[case]
    canvas = Canvas(drawing_size(image_size), difficulty)
    label = label_of(case, index, seed)
    patient = drawn.draw_patient(label, canvas, _generator(case, seed, _PATIENT, index))
    for number in range(1, count_images(case, index, seed) + 1):
        generator = _generator(case, seed, _IMAGE, index, number)
        picture, mask = drawn.draw_image(patient, canvas, generator)
        pixels = np.round(average_down(picture, image_size) * 255).astype(np.uint8)
        yield Phantom(pixels, _reduce(mask, image_size), label, patient_id(index), number)


def patient_id(index: int) -> str:
    """`P0001` for the first patient."""
    return f"P{index + 1:04d}"


def label_of(case: str, index: int, seed: int) -> str:
    """The patient's class: blocks with the case's mix of classes, each shuffled on its own.

    So the classes stay balanced for any number of patients, and a number tells nothing.
    """
    block = CASES[case].block
    turn, place = divmod(index, len(block))
    order = _generator(case, seed, _LABELS, turn).permutation(len(block))
    return block[int(order[place])]


def count_images(case: str, index: int, seed: int) -> int:
    """How many images the patient has, without drawing them."""
    low, high = N_IMAGES
    return int(_generator(case, seed, _IMAGE, index).integers(low, high, endpoint=True))


def fewest_patients(case: str) -> int:
    """The fewest that surely hold three patients of each class, one for each partition."""
    block = CASES[case].block
    rarest = min(Counter(block).values())
    return len(block) * -(-3 // rarest)


def check_request(
    case: str, n_patients: int, image_size: int, seed: int, difficulty: float
) -> None:
    """Raise `UsageError` for a case that is not known or a figure out of its range."""
    if case not in CASES:
        raise UsageError("No such phantom", f'"{case}"', did_you_mean(case, list(CASES)))
    if n_patients < 1:
        raise UsageError("n_patients must be at least 1", str(n_patients))
    low, high = SIZES
    if not low <= image_size <= high:
        raise UsageError(f"image_size must be in [{low}, {high}] pixels", str(image_size))
    if seed < 0:
        raise UsageError("seed must be 0 or more", str(seed))
    if not 0 <= difficulty <= 1:
        raise UsageError("difficulty must be in [0, 1]", str(difficulty))


def _generator(case: str, seed: int, *purpose: int) -> np.random.Generator:
    """The random stream of one thing: nothing else that is drawn can change it."""
    entropy = (seed, CASES[case].number, *purpose)
    return np.random.default_rng(np.random.SeedSequence(entropy))


def _reduce(mask: Mask, image_size: int) -> Mask:
    """The pixels mostly inside the lesion; a lesion finer than a pixel keeps what it touches."""
    share = average_down(mask.astype(np.float32), image_size)
    return np.asarray(share >= 0.5 if (share >= 0.5).any() else share > 0)
