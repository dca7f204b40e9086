"""Synthetic retinal OCT: CNV, DME, DRUSEN and NORMAL eyes, drawn layer by layer.

Each disease pushes the retina's layers apart in its own place and paints what lies between them.
Knows no files.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pellucid.data.phantoms.drawing import Canvas, Field, Mask, bump, ramp, smooth_curve
from pellucid.data.phantoms.retina import (
    LAYERS,
    Eye,
    Scan,
    acquire,
    lay_out,
    paint_layers,
    shade_choroid,
    shade_vessels,
)

CLASSES = ("CNV", "DME", "DRUSEN", "NORMAL")
BLOCK = CLASSES  # each class once in every four patients


def draw_patient(label: str, canvas: Canvas, generator: np.random.Generator) -> Eye:
    """One eye; what does not belong to the disease is drawn without regard to it."""
    total = generator.uniform(0.9, 1.15)
    thickness = {n: t * total * generator.uniform(0.85, 1.15) for n, t, _ in LAYERS}
    n_vessels = generator.integers(0, 5)
    return Eye(
        label=label,
        thickness=thickness,
        fovea=generator.uniform(0.38, 0.62),
        pit_width=generator.uniform(0.10, 0.15),
        nasal=generator.choice([-1.0, 1.0]),
        level=generator.uniform(0.56, 0.68),
        tilt=generator.normal(0, 0.07),
        curvature=generator.normal(-0.12, 0.16),
        choroid=generator.uniform(0.10, 0.18),
        vessels=generator.uniform((0.02, 0.006), (0.98, 0.016), (n_vessels, 2)),
        severity=generator.uniform(0.65, 1.3),
        spots=_SPOTS[label](generator),
    )


def _draw_drusen(generator: np.random.Generator) -> np.ndarray:
    n = generator.integers(2, 9)
    low, high = (-0.26, 0.022, 0.014, 0.0), (0.26, 0.055, 0.046, 1.0)
    return generator.uniform(low, high, (n, 4))


def _draw_cysts(generator: np.random.Generator) -> np.ndarray:
    n = generator.integers(3, 10)
    spots = generator.uniform((-1, 0.6, 0.18, 0.25), (1, 1.1, 0.3, 0.75), (n, 4))
    place = np.linspace(-1, 1, n)
    reach = generator.uniform(0.1, 0.2)
    spots[:, 0] = place * reach + spots[:, 0] * 0.012
    spots[:, 1] *= 0.85 * reach / n  # half the distance to the neighbour, so that septa stay
    spots[:, 2] *= 1.6 - 0.8 * np.abs(place)  # the largest cysts lie in the middle
    return np.asarray(spots)


def _draw_membranes(generator: np.random.Generator) -> np.ndarray:
    n = generator.integers(1, 4)
    low, high = (-0.14, 0.07, 0.028, 0.3), (0.14, 0.14, 0.06, 1.0)
    return generator.uniform(low, high, (n, 4))


def _draw_nothing(generator: np.random.Generator) -> np.ndarray:
    return np.zeros((0, 4))


_SPOTS = {
    "CNV": _draw_membranes,
    "DME": _draw_cysts,
    "DRUSEN": _draw_drusen,
    "NORMAL": _draw_nothing,
}


def draw_image(eye: Eye, canvas: Canvas, generator: np.random.Generator) -> tuple[Field, Mask]:
    """One B-scan of the eye: display values in [0, 1] and the lesion's mask, both (size, size)."""
    scan = lay_out(eye, canvas, generator)
    lesions = _LESIONS[eye.label](scan)
    tops = scan.tops()
    tissue = paint_layers(scan, tops)
    tissue *= shade_choroid(scan)
    mask = lesions(scan, tops, tissue)
    tissue *= shade_vessels(scan, tops["RNFL"])
    return acquire(tissue, canvas, generator), mask


def _strength(scan: Scan, easy: float, hard: float) -> float:
    """How strongly this eye's disease shows at this difficulty."""
    return scan.eye.severity * scan.canvas.fade(easy, hard)


def _lift_drusen(scan: Scan) -> Lesions:
    """Deposits between Bruch's membrane and the RPE, which they lift; the ONL gives way."""
    lift = np.zeros_like(scan.x)
    for position, width, height, _ in scan.eye.spots.tolist():
        place = position + scan.generator.normal(0, 0.01)
        size = height * scan.generator.uniform(0.75, 1.15) * _strength(scan, 1.25, 0.3)
        lift = np.maximum(lift, size * bump((scan.x - place) / width))
    scan.thickness["deposit"] = lift
    _yield_above(scan, lift)

    def mark(scan: Scan, tops: dict[str, Field], tissue: Field) -> Mask:
        return _between(scan, tops["RPE"], lift > 0.3 * lift.max())

    return mark


def _yield_above(scan: Scan, lift: Field) -> None:
    """The outer nuclear layer takes up a sharp bump, so that the inner retina bends gently."""
    gentle = 0.6 * gaussian_filter1d(lift, 0.06 * scan.canvas.size, mode="nearest")
    scan.thickness["ONL"] = np.maximum(scan.thickness["ONL"] + gentle - lift, 0.012)


def _lift_membranes(scan: Scan) -> Lesions:
    """A bright neovascular membrane under the retina, fluid above it, a broken and ragged RPE."""
    dial, generator = scan.canvas.dial, scan.generator
    mound, fluid = np.zeros_like(scan.x), np.zeros_like(scan.x)
    ragged = smooth_curve(generator, scan.canvas, 0.02)
    for position, width, height, wet in scan.eye.spots.tolist():
        x = scan.x - position - generator.normal(0, 0.01)
        size = height * generator.uniform(0.85, 1.15) * _strength(scan, 1.2, 0.18)
        mound = np.maximum(mound, size * bump(x / width) * (1 + 0.25 * ragged))
        side = (wet - 0.5) * width
        fluid = np.maximum(fluid, 1.3 * wet * size * bump((x - side) / (1.7 * width)))
    mound, fluid = np.maximum(mound, 0), np.maximum(fluid - 0.4 * mound, 0)
    inside = np.minimum(mound / max(mound.max(), 1e-6) * 2, 1)
    scan.thickness |= {"mound": mound, "fluid": fluid, "deposit": 0.35 * mound}
    _yield_above(scan, 1.35 * mound + fluid)
    broken = inside * np.clip(0.6 + 0.5 * smooth_curve(generator, scan.canvas, 0.025), 0, 1)
    for name in ("RPE", "EZ"):
        scan.brightness[name] = scan.brightness[name] * (1 - dial(0.6, 0.1) * broken)
    scan.brightness["fluid"] = scan.brightness["fluid"] + dial(0.0, 0.25)

    def mark(scan: Scan, tops: dict[str, Field], tissue: Field) -> Mask:
        extent = mound + fluid
        return _between(scan, tops["fluid"], extent > 0.2 * extent.max())

    return mark


def _swell(scan: Scan) -> Lesions:
    """Oedema: the middle layers swell around the cysts and flatten the pit."""
    spots = scan.eye.spots
    strength = _strength(scan, 1.1, 0.14) * scan.generator.uniform(0.8, 1.1)
    centre, spread = spots[:, 0].mean(), 0.5 * np.ptp(spots[:, 0]) + 0.1
    dome = strength * bump((scan.x - centre) / spread)
    for name in ("INL", "GCL", "RNFL"):
        healthy = np.float32(scan.eye.thickness[name])
        scan.thickness[name] = np.maximum(
            scan.thickness[name], 0.6 * healthy * np.minimum(2 * dome, 1)
        )
    for name, growth in (("INL", 0.03), ("OPL", 0.012), ("ONL", 0.095)):
        scan.thickness[name] = scan.thickness[name] + growth * dome
    return _paint_cysts


def _paint_cysts(scan: Scan, tops: dict[str, Field], tissue: Field) -> Mask:
    """Dark fluid between INL and ONL; thin septa stay between neighbours."""
    mask = np.zeros(tissue.shape, dtype=bool)
    depth = np.float32(min(_strength(scan, 1.2, 0.25), 0.97))
    for position, width, tall, place in scan.eye.spots.tolist():
        x0 = position + scan.generator.normal(0, 0.006)
        column = int(np.argmin(np.abs(scan.x - x0)))
        top, bottom = tops["INL"][column], tops["EZ"][column] - 0.006
        radius = max(tall * (bottom - top), 0.016) * scan.generator.uniform(0.8, 1.1)
        y0 = np.clip(top + place * (bottom - top), top + radius, max(bottom - radius, top + radius))
        distance = ((scan.x[None, :] - x0) / width) ** 2 + ((scan.canvas.y - y0) / radius) ** 2
        tissue -= depth * (tissue - np.float32(0.07)) * ramp(1 - distance, 0.5)
        mask |= distance < 1
    return mask


def _leave(scan: Scan) -> Lesions:
    return lambda scan, tops, tissue: np.zeros(tissue.shape, dtype=bool)


Lesions = Callable[[Scan, dict[str, Field], Field], Mask]
_LESIONS: dict[str, Callable[[Scan], Lesions]] = {
    "CNV": _lift_membranes,
    "DME": _swell,
    "DRUSEN": _lift_drusen,
    "NORMAL": _leave,
}


def _between(scan: Scan, top: Field, columns: Mask) -> Mask:
    """The pixels from `top` down to Bruch's membrane in the given columns."""
    y = scan.canvas.y
    return np.asarray((y > top) & (y < scan.base) & columns)
