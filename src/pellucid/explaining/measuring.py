"""Whether the maps of a run mean anything: faithfulness on a bounded number of its images.

Knows which images, methods and masks are taken, and how much work is spent; the tests themselves
are `explanation.faithfulness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.bundle import Bundle
from pellucid.explaining.masks import read_masks
from pellucid.explanation.attribution.attribute import Attribution
from pellucid.explanation.faithfulness.document import Effort, faithfulness
from pellucid.explanation.goals import Goal
from pellucid.progress import Progress

MEASURED = 40  # images of 64 pixels for a report: about 20 seconds of one core
FEWEST_MEASURED = 12
_COUNTED_SIDE = 64
QUICK = Effort(images=MEASURED, curve_images=12, sanity_images=3, networks=2, steps=10, rankings=2)


def images_to_measure(image_size: int) -> int:
    """How many images a report measures: fewer of larger ones, since each takes longer."""
    share = (_COUNTED_SIDE / image_size) ** 2
    return int(np.clip(round(MEASURED * share), FEWEST_MEASURED, MEASURED))


def measure(
    bundle: Bundle,
    pixels: npt.NDArray[np.uint8],
    goals: Sequence[Goal],
    methods: Sequence[str],
    *,
    masks: Sequence[Path | None] | None,
    patient_ids: Sequence[str] | None = None,
    options: dict[str, dict[str, Any]] | None = None,
    maps: dict[str, Attribution] | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The faithfulness document of images (n, C, S, S), whose goals are of one target.

    `masks` are paths, one an image, None where no lesion is known. `maps` that stand already are
    not computed again.
    """
    known = masks is not None and any(masks)
    return faithfulness(
        bundle,
        pixels,
        list(goals),
        tuple(methods),
        masks=read_masks(masks or (), bundle.preprocessing) if known else None,
        patient_ids=patient_ids,
        options=options,
        maps=maps,
        effort=effort or Effort(),
        seed=seed,
        progress=progress.counter if progress else None,
    )
