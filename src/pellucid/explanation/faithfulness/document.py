"""faithfulness(bundle, pixels, goals, methods) → one document: whether the maps mean something.

Puts together deletion and insertion, the sanity check and, where masks of lesions are given, the
pointing game and the overlap, by method and class, with intervals over patients. Bounds how many
images each takes. It draws nothing and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.bundle import Bundle
from pellucid.errors import MissingPackage, UsageError
from pellucid.explanation.attribution.attribute import Attribution, attribute
from pellucid.explanation.faithfulness.deletion import Removal, deletion_insertion
from pellucid.explanation.faithfulness.figures import (
    code_patients,
    mean_curve,
    mean_figure,
    share_figure,
)
from pellucid.explanation.faithfulness.pointing import (
    default_tolerance,
    mask_shares,
    overlap_energy,
    overlap_iou,
    point_at_centre,
    point_at_random,
    pointing_game,
)
from pellucid.explanation.faithfulness.randomisation import BOUND, Randomisation, check_randomised
from pellucid.explanation.goals import Goal, check_pixels, goals_of_each

FORMAT, VERSION = "pellucid-faithfulness", 1
ALL = "all"
UNIT = (0.0, 1.0)

Document = dict[str, Any]
Masks = npt.NDArray[np.bool_]
Counter = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True)
class Effort:
    """How much is measured: images in all, for curves, for the sanity check; steps; random maps."""

    images: int = 128
    curve_images: int = 32
    sanity_images: int = 8
    steps: int = 10
    rankings: int = 3
    replaced: str = "blur"

    def __post_init__(self) -> None:
        for name in ("images", "curve_images", "sanity_images"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is at least 1", str(getattr(self, name)))


@dataclass(frozen=True)
class Measured:
    """The images that are measured: pixels, goals, masks or None, patients as numbers (n,)."""

    bundle: Bundle
    pixels: npt.NDArray[np.uint8]
    goals: tuple[Goal, ...]
    masks: Masks | None
    patients: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[np.int64]) -> Measured:
        """The same of some rows."""
        masks = None if self.masks is None else self.masks[rows]
        goals = tuple(self.goals[row] for row in rows)
        return Measured(self.bundle, self.pixels[rows], goals, masks, self.patients[rows])

    @property
    def labels(self) -> npt.NDArray[np.str_]:
        """The goals' classes (n,)."""
        return np.array([goal.label for goal in self.goals])

    def by_class(self) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """All images, then those of each class in the task's order: name and rows (n,)."""
        yield ALL, np.ones(len(self.goals), dtype=bool)
        target = next(t for t in self.bundle.task.targets if t.name == self.goals[0].target)
        for label in target.classes:
            if (rows := self.labels == label).any():
                yield label, rows


def faithfulness(
    bundle: Bundle,
    pixels: npt.NDArray[np.uint8],
    goals: Goal | Sequence[Goal],
    methods: Sequence[str] = ("grad_cam",),
    *,
    masks: Masks | None = None,
    patient_ids: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    maps: Mapping[str, Attribution] | None = None,
    effort: Effort = Effort(),
    seed: int = 0,
    progress: Counter | None = None,
) -> Document:
    """Test whether the maps of images (n, C, S, S) mean something; the document is JSON-able.

    `goals` are of one target. `masks` (n, S, S) are bool, as `pointing.place_mask` makes them; an
    empty one says that no lesion is known. `options` are by method what `attribute` takes, `maps`
    what it has given for these very images. Where there are more images than `effort` allows, rows
    in equal steps are taken. A method that cannot be used is left out with its reason; `progress`
    makes a function of (done, total) for a text. Raises `UsageError`.
    """
    images = check_pixels(pixels, bundle.spec)
    each = goals_of_each(bundle.task, goals, len(images))
    _check(images, each, masks, patient_ids)
    patients = code_patients(patient_ids, len(images))
    rows = _spread(len(images), effort.images)
    measured = Measured(bundle, images, each, masks, patients).take(rows)
    document = _describe(measured, len(images), effort, seed)
    for method in methods:
        chosen = dict((options or {}).get(method, {}))
        try:
            given = (maps or {}).get(method)
            found = _maps(measured, method, chosen, (given, rows), progress)
            entry = _judge(measured, found, chosen, (effort, seed), progress)
        except MissingPackage as error:
            document["missing"][method] = str(error)
        else:
            document["methods"].append(entry)
    return document


def _maps(
    measured: Measured,
    method: str,
    options: dict[str, Any],
    given: tuple[Attribution | None, npt.NDArray[np.int64]],
    progress: Counter | None,
) -> tuple[Attribution, npt.NDArray[np.float32]]:
    """The maps (n, S, S) of the images that are measured, and how they were made."""
    attribution, rows = given
    if attribution is not None:
        return attribution, attribution.values[rows]
    count = progress(method.replace("_", " ").capitalize()) if progress else None
    made = attribute(
        measured.bundle, measured.pixels, measured.goals, method, progress=count, **options
    )
    return made, made.values


def _judge(
    measured: Measured,
    found: tuple[Attribution, npt.NDArray[np.float32]],
    options: dict[str, Any],
    draw: tuple[Effort, int],
    progress: Counter | None,
) -> Document:
    """What the document says of one method."""
    made, values = found
    effort, seed = draw
    name = made.method.replace("_", " ").capitalize()
    some = _spread(len(values), effort.curve_images)
    on_curves = measured.take(some)
    removal = deletion_insertion(
        measured.bundle,
        on_curves.pixels,
        on_curves.goals,
        values[some],
        steps=effort.steps,
        rankings=effort.rankings,
        replaced=effort.replaced,
        seed=seed,
        progress=progress(f"{name}: deletion") if progress else None,
    )
    few = measured.take(_spread(len(values), effort.sanity_images))

    def remake(bundle: Bundle) -> npt.NDArray[np.float32]:
        return attribute(bundle, few.pixels, few.goals, made.method, **options).values

    count = progress(f"{name}: random weights") if progress else None
    randomised = check_randomised(measured.bundle, remake, progress=count)
    return {
        "method": made.method,
        "layer": made.layer,
        "settings": made.settings,
        "n_silent": int((np.ptp(values.reshape(len(values), -1), axis=1) == 0).sum()),
        "deletion": _curves(removal, on_curves, "deletion"),
        "insertion": _curves(removal, on_curves, "insertion"),
        "randomisation": _randomisation(randomised, few),
        "pointing": list(_pointing(measured, values)),
        "by_class": list(_gains(removal, on_curves)),
    }


def _curves(removal: Removal, measured: Measured, kind: str) -> Document:
    """Both mean curves with their bands, the areas, and the gain over random maps."""
    own, random = getattr(removal, kind), getattr(removal, f"random_{kind}")
    return {
        "shares": removal.shares.tolist(),
        "map": mean_curve(own, measured.patients),
        "random": mean_curve(random, measured.patients),
        "area": mean_figure(removal.area(own), measured.patients, UNIT),
        "random_area": mean_figure(removal.area(random), measured.patients, UNIT),
        "gain": mean_figure(getattr(removal, f"{kind}_gains"), measured.patients),
    }


def _gains(removal: Removal, measured: Measured) -> Iterator[Document]:
    for label, rows in measured.by_class():
        patients = measured.patients[rows]
        yield {
            "class": label,
            "n": int(rows.sum()),
            "deletion_gain": mean_figure(removal.deletion_gains[rows], patients),
            "insertion_gain": mean_figure(removal.insertion_gains[rows], patients),
        }


def _randomisation(randomised: Randomisation, measured: Measured) -> Document:
    strength = randomised.strength
    return {
        "stages": list(randomised.stages),
        "correlation": mean_curve(strength.T, measured.patients),
        "signed": _means(randomised.correlations),
        "magnitude": _means(np.abs(randomised.magnitude_correlations)),
        "chance": _means(randomised.chance[None])[0],
        "n_silent": randomised.n_silent,
        "n_networks": randomised.correlations.shape[1],
        "final": mean_figure(strength[-1], measured.patients, UNIT),
        "bound": BOUND,
        "verdict": randomised.verdict,
        "reason": randomised.reason,
    }


def _means(values: npt.NDArray[np.float64]) -> list[float | None]:
    """The mean of each row, over all else, NaN left out."""
    rows = values.reshape(len(values), -1)
    return [None if np.isnan(row).all() else float(np.nanmean(row)) for row in rows]


def _pointing(measured: Measured, values: npt.NDArray[Any]) -> Iterator[Document]:
    """Hits and overlap by class, of the images that have a mask."""
    if measured.masks is None:
        return
    hits = pointing_game(values, measured.masks, default_tolerance(values.shape[-1]))
    overlap = overlap_iou(values, measured.masks)
    energy = overlap_energy(values, measured.masks)
    for label, rows in _with_masks(measured):
        yield {
            "class": label,
            "n": int(rows.sum()),
            "pointing": share_figure(hits[rows], measured.patients[rows]),
            "iou": mean_figure(overlap[rows], measured.patients[rows], UNIT),
            "energy": mean_figure(energy[rows], measured.patients[rows], UNIT),
        }


def _chance(measured: Measured) -> Iterator[Document]:
    """What pointing without a map would hit, by class."""
    if measured.masks is None:
        return
    tolerance = default_tolerance(measured.masks.shape[-1])
    shares = mask_shares(measured.masks)
    random = point_at_random(measured.masks, tolerance)
    centre = point_at_centre(measured.masks, tolerance)
    for label, rows in _with_masks(measured):
        patients = measured.patients[rows]
        yield {
            "class": label,
            "n": int(rows.sum()),
            "mask_share": mean_figure(shares[rows], patients, UNIT),
            "random": mean_figure(random[rows], patients, UNIT),
            "centre": share_figure(centre[rows], patients),
        }


def _with_masks(measured: Measured) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    if measured.masks is None:
        return
    has_mask = measured.masks.any(axis=(1, 2))
    for label, rows in measured.by_class():
        if (rows & has_mask).any():
            yield label, rows & has_mask


def _describe(measured: Measured, n_given: int, effort: Effort, seed: int) -> Document:
    size = measured.pixels.shape[-1]
    masks = measured.masks
    return {
        "format": FORMAT,
        "version": VERSION,
        "target": measured.goals[0].target,
        "image_size": size,
        "n": len(measured.goals),
        "n_given": n_given,
        "n_patients": len(np.unique(measured.patients)),
        "n_masks": 0 if masks is None else int(masks.any(axis=(1, 2)).sum()),
        "settings": {
            "curve_images": min(effort.curve_images, len(measured.goals)),
            "sanity_images": min(effort.sanity_images, len(measured.goals)),
            "steps": effort.steps,
            "rankings": effort.rankings,
            "replaced": effort.replaced,
            "tolerance": default_tolerance(size),
            "bound": BOUND,
            "seed": seed,
        },
        "missing": {},
        "chance": list(_chance(measured)),
        "methods": [],
    }


def _spread(n: int, most: int) -> npt.NDArray[np.int64]:
    """Rows of n in equal steps, at most `most`."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def _check(
    images: npt.NDArray[np.uint8],
    goals: tuple[Goal, ...],
    masks: Masks | None,
    patient_ids: Sequence[str] | None,
) -> None:
    if len({goal.target for goal in goals}) > 1:
        rule = "The goals of one document are of one target"
        raise UsageError(rule, ", ".join(sorted({goal.target for goal in goals})))
    shape = (len(images), *images.shape[2:])
    if masks is not None and (np.shape(masks) != shape or masks.dtype != np.bool_):
        raise UsageError(f"Masks are bool, {shape}", f"{masks.dtype}, {np.shape(masks)}")
    if patient_ids is not None and len(patient_ids) != len(images):
        raise UsageError(f"There is one patient for each of {len(images)}", str(len(patient_ids)))
