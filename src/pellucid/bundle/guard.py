"""The guard: whether an image is like those of training, or another kind of picture altogether.

A classifier answers for everything, also for a photograph of a cat. So a bundle keeps what the
training images have in common, as numbers of which no picture can be made again: the directions in
which their descriptions vary, how far they go along them, and how much is left over. An image that
lies far out, or is badly put together from what the others share, is called unlike them. How far
is too far was asked of training images that the numbers had not seen, and one in two hundred of
those is refused. It knows pictures; it does not know what the network makes of them.

Sources: T² and the residual of principal components (Jackson and Mudholkar, Technometrics 1979);
the threshold by peaks over threshold (Pickands 1975).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.errors import BundleError
from pellucid.images.describing import describe_views
from pellucid.images.image import Image
from pellucid.images.view import view_of

if TYPE_CHECKING:
    import pandas as pd

    from pellucid.bundle.files import BundleFiles

LEAST_IMAGES = 50  # below it nobody can say what is usual
REFUSED = 0.005  # of images like those of training
_DIRECTIONS = 24
_FOLDS = 5
_MOST_IMAGES = 20_000  # described; beyond, a sample stands for all
_TAIL = 0.05  # of the images: where the exponential tail of oddness begins
_SMALLER = 0.5  # of the shorter side of all but the smallest hundredth of the training images
_LEAST_STEP = 0.5 / 65535  # between two of the levels of 16 bits
_GREY = 0.02  # mean distance of channels, of full scale: below it a picture is grey to the eye
_SHAPES = {"centre": 1, "directions": 2, "spreads": 1, "usual": 2}

Floats = npt.NDArray[np.float32]


class Caution(NamedTuple):
    """Why an answer should not be relied on: a code for programs and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Guard:
    """What the training images have in common.

    `arrays`: centre (400,) and directions (k, 400) of descriptions, `spreads` (k,) along them, and
    median and spread of the logarithms of distance and residual (2, 2). `facts` are the rest, as
    the card says it: limit, shortest_side, is_grey, modalities, n_images.
    """

    arrays: dict[str, Floats]
    facts: dict[str, Any]

    def oddness(self, views: npt.NDArray[np.uint8]) -> Floats:
        """How odd grey views (n, 128, 128) are, (n,), in robust deviations from the usual."""
        described = describe_views(views, np.arange(len(views)))
        return _oddness(_distances(described, self.arrays), self.arrays["usual"])

    def cautions(self, image: Image) -> list[Caution]:
        """What speaks against an answer for this image; usually nothing."""
        if np.ptp(image.pixels) < _LEAST_STEP:
            said = "The image shows nothing: every pixel has the same value."
            return [Caution("blank", said)]
        found, facts = [], self.facts
        modality, known = str(image.facts.get("modality") or ""), facts["modalities"]
        if modality and known and modality not in known:
            said = f"Its modality is {modality}; the training images are {', '.join(known)}."
            found.append(Caution("wrong_modality", said))
        shorter, least = min(image.pixels.shape[1:]), _SMALLER * facts["shortest_side"]
        if shorter < least:
            said = (
                f"Its shorter side has {shorter} pixels, nearly all of those of training at least"
            )
            found.append(Caution("too_small", f"{said} {facts['shortest_side']:g}."))
        if facts["is_grey"] and colourfulness(image.pixels) > _GREY:
            found.append(Caution("in_colour", "It is in colour; the training images are grey."))
        oddness = float(self.oddness(view_of(image.pixels)[np.newaxis])[0])
        if not oddness <= facts["limit"]:
            said = (
                f"It is unlike the images of training (oddness {oddness:.1f}; of theirs, 1 in "
                f"{1 / REFUSED:.0f} is above {facts['limit']:.1f})."
            )
            found.append(Caution("unlike_training", said))
        return found

    def to_bytes(self) -> bytes:
        """The arrays as safetensors."""
        from safetensors.numpy import save

        return save({name: np.ascontiguousarray(array) for name, array in self.arrays.items()})

    @classmethod
    def load(cls, opened: BundleFiles) -> Guard:
        """The guard of a bundle; raises `BundleError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        from pellucid.bundle.files import GUARD

        try:
            stored = load(opened.read(GUARD))
            arrays = {name: np.asarray(array, np.float32) for name, array in stored.items()}
            guard = cls(arrays, dict(opened.card["guard"]))
            _check(guard)
        except (SafetensorError, ValueError, TypeError, KeyError) as error:
            raise BundleError(f"The guard of the bundle {opened.place} is damaged") from error
        return guard


def fit_guard(
    views: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    facts: pd.DataFrame,
    groups: npt.NDArray[Any],
) -> Guard | None:
    """What these rows of the views have in common, or None where they are too few to say.

    `facts` has a row a view, with width, height, colourfulness and, of DICOM, modality; `groups`
    (len(rows),) are the patients, who are measured by what the others have in common.
    """
    told = (facts["pixel_digest"].fillna("") != "").to_numpy()[rows]
    rows, groups = rows[told], groups[told]
    if len(rows) > _MOST_IMAGES:
        kept = np.sort(np.random.default_rng(0).choice(len(rows), _MOST_IMAGES, replace=False))
        rows, groups = rows[kept], groups[kept]
    if len(rows) < LEAST_IMAGES:
        return None
    described = describe_views(views, rows)
    fold = np.unique(groups.astype(str), return_inverse=True)[1] % _FOLDS
    distances = np.zeros((len(rows), 2), dtype=np.float32)
    for number in np.unique(fold):
        inside = fold == number
        others = described[~inside] if (~inside).any() else described
        distances[inside] = _distances(described[inside], _summarise(others))
    usual = np.stack([_middle_and_spread(column) for column in np.log(distances.T)])
    limit = _limit(_oddness(distances, usual))
    return Guard({**_summarise(described), "usual": usual}, _facts(facts.iloc[rows], limit))


def colourfulness(pixels: npt.NDArray[np.float32]) -> float:
    """The mean distance of the channels (channel, row, column), of full scale."""
    if len(pixels) == 1:
        return 0.0
    return float((pixels.max(axis=0) - pixels.min(axis=0)).mean())


def _facts(facts: pd.DataFrame, limit: float) -> dict[str, Any]:
    shorter = facts[["width", "height"]].astype(float).min(axis=1)
    modalities: list[str] = []
    if "modality" in facts.columns and facts["modality"].notna().all():
        modalities = sorted({str(name) for name in facts["modality"] if name})
    return {
        "n_images": len(facts),
        "limit": round(limit, 3),
        "refused_of_its_own": REFUSED,
        "shortest_side": round(float(shorter.quantile(0.01)), 1),
        "is_grey": bool((facts["colourfulness"].astype(float) <= _GREY).mean() > 0.99),
        "modalities": modalities,
    }


def _summarise(described: Floats) -> dict[str, Floats]:
    """Centre, directions and spreads of the nine tenths nearest to the median: of the bulk."""
    centre = np.median(described, axis=0)
    centred = described - centre
    distance = np.linalg.norm(centred, axis=1)
    bulk = centred[distance <= np.quantile(distance, 0.9)]
    _, values, directions = np.linalg.svd(bulk, full_matrices=False)
    kept = min(_DIRECTIONS, len(values))
    spreads = np.maximum(values[:kept] / np.sqrt(len(bulk)), 1e-6)
    parts = {"centre": centre, "directions": directions[:kept], "spreads": spreads}
    return {name: np.asarray(part, np.float32) for name, part in parts.items()}


def _distances(described: Floats, arrays: dict[str, Floats]) -> Floats:
    """Distance along the directions in units of their spreads, and what is left over, (n, 2)."""
    centred = described - arrays["centre"]
    along = centred @ arrays["directions"].T
    left = np.linalg.norm(centred - along @ arrays["directions"], axis=1)
    far = np.linalg.norm(along / arrays["spreads"], axis=1)
    return np.asarray(np.maximum(np.stack([far, left], axis=1), 1e-6), dtype=np.float32)


def _middle_and_spread(values: Floats) -> Floats:
    median = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - median))
    return np.array([median, max(float(spread), 1e-6)], dtype=np.float32)


def _oddness(distances: Floats, usual: Floats) -> Floats:
    deviations = (np.log(distances) - usual[:, 0]) / usual[:, 1]
    return np.asarray(deviations.max(axis=1), dtype=np.float32)


def _limit(oddness: Floats) -> float:
    """The oddness that one in two hundred passes, if beyond 95 % it falls off exponentially."""
    start, half = np.quantile(oddness, [1 - _TAIL, 1 - _TAIL / 2])
    decay = (half - start) / np.log(2)
    return float(start + decay * np.log(_TAIL / REFUSED))


def _check(guard: Guard) -> None:
    """Raise `ValueError` or `KeyError` for arrays and facts that no guard of ours has."""
    for name, dimensions in _SHAPES.items():
        array = guard.arrays[name]
        if array.ndim != dimensions or not np.isfinite(array).all():
            raise ValueError(name)
    k, n = guard.arrays["directions"].shape
    if guard.arrays["centre"].shape != (n,) or guard.arrays["spreads"].shape != (k,):
        raise ValueError("shapes")
    n_described = len(describe_views(np.zeros((1, 128, 128), np.uint8), np.arange(1))[0])
    if n != n_described or guard.arrays["usual"].shape != (2, 2):
        raise ValueError("shapes")
    numbers = [guard.facts[key] for key in ("limit", "shortest_side", "n_images")]
    known = guard.facts["modalities"]
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in numbers):
        raise ValueError("facts")
    if not np.isfinite(numbers).all() or min(numbers) < 0:
        raise ValueError("facts")
    if not isinstance(known, list) or not all(isinstance(name, str) for name in known):
        raise ValueError("facts")
    if not isinstance(guard.facts["is_grey"], bool):
        raise ValueError("facts")
