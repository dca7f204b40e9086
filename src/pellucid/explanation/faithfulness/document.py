"""faithfulness(bundle, pixels, goals, methods) → one document: whether the maps mean something.

Puts together deletion and insertion, the sanity check and, where masks of lesions are given, the
pointing game and the overlap, by method and class, with intervals over patients. Bounds how many
images each takes. It draws nothing and writes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.bundle import Bundle
from pellucid.errors import MissingPackage, UsageError
from pellucid.explanation.attribution.attribute import Attribution, attribute
from pellucid.explanation.faithfulness.deletion import deletion_insertion
from pellucid.explanation.faithfulness.entries import (
    Measured,
    chance_entries,
    curves_entry,
    gain_entries,
    pointing_entries,
    randomisation_entry,
)
from pellucid.explanation.faithfulness.figures import code_patients
from pellucid.explanation.faithfulness.pointing import default_tolerance
from pellucid.explanation.faithfulness.randomisation import (
    BOUND,
    Randomisation,
    check_randomised,
    random_seeds,
)
from pellucid.explanation.goals import Goal, check_pixels, goals_of_each

FORMAT, VERSION = "pellucid-faithfulness", 1

Document = dict[str, Any]
Masks = npt.NDArray[np.bool_]
Counter = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True)
class Effort:
    """How much is measured: the time goes up with each of these.

    `images` in all, of which `curve_images` for deletion and insertion, with `steps`, `rankings`
    and `replaced` as in `deletion_insertion`, and `sanity_images` for the sanity check, in which
    each is explained again for every stage of `networks` random networks.
    """

    images: int = 128
    curve_images: int = 32
    sanity_images: int = 8
    networks: int = 3
    steps: int = 10
    rankings: int = 3
    replaced: str = "blur"

    def __post_init__(self) -> None:
        for name in ("images", "curve_images", "sanity_images", "networks"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is at least 1", str(getattr(self, name)))


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
    rows = spread(len(images), effort.images)
    measured = Measured(bundle, images, each, masks, patients).take(rows)
    document = _describe(measured, len(images), effort, seed)
    count = progress or (lambda what: lambda done, total: None)
    for method in methods:
        given = (maps or {}).get(method)
        try:
            made = _take(given, rows) if given else _make(measured, method, options, count)
            document["methods"].append(_judge(measured, made, (effort, seed), count))
        except MissingPackage as error:
            document["missing"][method] = str(error)
    return document


def _make(
    measured: Measured,
    method: str,
    options: Mapping[str, Mapping[str, Any]] | None,
    progress: Counter,
) -> Attribution:
    chosen = (options or {}).get(method, {})
    count = progress(_words(method))
    return attribute(
        measured.bundle, measured.pixels, measured.goals, method, progress=count, **chosen
    )


def _take(made: Attribution, rows: npt.NDArray[np.int64]) -> Attribution:
    """The same maps of some rows."""
    of_baseline = made.baseline_scores
    return dataclasses.replace(
        made,
        goals=tuple(made.goals[row] for row in rows),
        values=made.values[rows],
        scores=made.scores[rows],
        baseline_scores=None if of_baseline is None else of_baseline[rows],
    )


def _judge(
    measured: Measured, made: Attribution, draw: tuple[Effort, int], progress: Counter
) -> Document:
    """What the document says of one method."""
    effort, seed = draw
    some = spread(len(made.values), effort.curve_images)
    on_curves = measured.take(some)
    removal = deletion_insertion(
        measured.bundle,
        on_curves.pixels,
        on_curves.goals,
        made.values[some],
        steps=effort.steps,
        rankings=effort.rankings,
        replaced=effort.replaced,
        seed=seed,
        progress=progress(f"{_words(made.method)}: deletion"),
    )
    few = measured.take(spread(len(made.values), effort.sanity_images))
    return {
        "method": made.method,
        "layer": made.layer,
        "settings": made.settings,
        "n_silent": int(made.says_nothing.sum()),
        "deletion": curves_entry(removal, on_curves, "deletion"),
        "insertion": curves_entry(removal, on_curves, "insertion"),
        "randomisation": randomisation_entry(_randomise(few, made, effort, progress), few),
        "pointing": list(pointing_entries(measured, made.values)),
        "by_class": list(gain_entries(removal, on_curves)),
    }


def _randomise(
    measured: Measured, made: Attribution, effort: Effort, progress: Counter
) -> Randomisation:
    """The sanity check of the method as it made these maps: same layer, same settings."""
    settings = {**made.settings, **({"layer": made.layer} if made.layer else {})}

    def remake(bundle: Bundle) -> npt.NDArray[np.float32]:
        return attribute(bundle, measured.pixels, measured.goals, made.method, **settings).values

    return check_randomised(
        measured.bundle,
        remake,
        seeds=random_seeds(effort.networks),
        progress=progress(f"{_words(made.method)}: random weights"),
    )


def _words(method: str) -> str:
    return method.replace("_", " ").capitalize()


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
            "networks": effort.networks,
            "steps": effort.steps,
            "rankings": effort.rankings,
            "replaced": effort.replaced,
            "tolerance": default_tolerance(size),
            "bound": BOUND,
            "seed": seed,
        },
        "missing": {},
        "chance": list(chance_entries(measured)),
        "methods": [],
    }


def spread(n: int, most: int | None) -> npt.NDArray[np.int64]:
    """Rows of n in equal steps, at most `most`, so that every part of the order is there.

    >>> spread(10, 4).tolist(), spread(3, None).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    if most is None or most >= n:
        return np.arange(n)
    return np.unique(np.round(np.linspace(0, n - 1, most)).astype(np.int64))


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
