"""Synthetic retinal OCT: CNV, DME, DRUSEN and NORMAL eyes, drawn layer by layer.

A retina is a stack of boundaries over the columns, from Bruch's membrane up to the inner limiting
membrane; diseases push the boundaries apart. Layer names and their brightness follow the
International Nomenclature for OCT (Staurenghi et al., Ophthalmology 2014). Knows no files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pellucid.data.phantoms.drawing import (
    Canvas,
    Field,
    Mask,
    bump,
    expose,
    ramp,
    smooth_curve,
    smooth_fields,
)

CLASSES = ("CNV", "DME", "DRUSEN", "NORMAL")
BLOCK = CLASSES  # each class once in every four patients

# From Bruch's membrane upwards: name, thickness (fraction of the height), reflectivity (display).
LAYERS = (
    ("deposit", 0.0, 0.50),
    ("RPE", 0.021, 0.92),
    ("mound", 0.0, 0.72),
    ("fluid", 0.0, 0.10),
    ("IZ", 0.012, 0.50),
    ("EZ", 0.014, 0.82),
    ("ONL", 0.062, 0.30),
    ("OPL", 0.022, 0.52),
    ("INL", 0.034, 0.34),
    ("GCL", 0.062, 0.54),
    ("RNFL", 0.030, 0.74),
)
NAMES = tuple(name for name, _, _ in LAYERS)
VITREOUS, CHOROID = 0.06, 0.42


@dataclass(frozen=True)
class Eye:
    """One patient's retina; lengths are fractions of the picture."""

    label: str
    thickness: dict[str, float]
    fovea: float
    pit_width: float
    nasal: float  # +1: the nerve fibre layer thickens towards the right, -1: towards the left
    level: float
    tilt: float
    curvature: float
    choroid: float
    vessels: np.ndarray  # (n, 2): position, half-width
    severity: float  # how far the disease has gone, about 1
    spots: np.ndarray  # (n, 4): position, half-width, height, place within the layer; the lesions


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


@dataclass
class _Scan:
    """One B-scan while it is drawn. Curves over the columns have shape (size,)."""

    canvas: Canvas
    eye: Eye
    generator: np.random.Generator
    x: Field  # columns, from the fovea
    base: Field  # Bruch's membrane
    thickness: dict[str, Field]
    brightness: dict[str, Field]

    def tops(self) -> dict[str, Field]:
        """The upper boundary of each layer."""
        heights = np.cumsum([self.thickness[name] for name in NAMES], axis=0)
        return {name: self.base - height for name, height in zip(NAMES, heights, strict=True)}


def draw_image(eye: Eye, canvas: Canvas, generator: np.random.Generator) -> tuple[Field, Mask]:
    """One B-scan of the eye: display values in [0, 1] and the lesion's mask, both (size, size)."""
    scan = _lay_out(eye, canvas, generator)
    lesions = _LESIONS[eye.label](scan)
    tops = scan.tops()
    tissue = _paint_layers(scan, tops)
    tissue *= _choroid(scan)
    mask = lesions(scan, tops, tissue)
    tissue *= _vessel_shadows(scan, tops["RNFL"])
    return _acquire(tissue, canvas, generator), mask


def _lay_out(eye: Eye, canvas: Canvas, generator: np.random.Generator) -> _Scan:
    """The healthy boundaries of this B-scan, which passes the fovea at some distance."""
    shift, level, tilt, distance = generator.normal(0, (0.02, 0.02, 0.02, 0.9)).tolist()
    x = canvas.x[0] - np.float32(eye.fovea + shift)
    depth = np.exp(-0.5 * distance**2)
    pit = depth * np.exp(-((x / eye.pit_width) ** 2))
    rim = depth * bump((np.abs(x) - 1.7 * eye.pit_width) / (1.6 * eye.pit_width))
    inner = (1 - 0.93 * pit) * (1 + 0.2 * rim) * (1 - 0.5 * x**2)
    thickness = {name: np.full_like(x, eye.thickness[name]) for name in NAMES}
    for name in ("OPL", "INL", "GCL", "RNFL"):
        thickness[name] = thickness[name] * inner
    thickness["RNFL"] = thickness["RNFL"] * np.clip(1 + 1.8 * eye.nasal * x, 0.3, 2.0)
    thickness["ONL"] = thickness["ONL"] * (1 + 0.55 * pit)
    wave = 0.003 * smooth_curve(generator, canvas, 0.15)
    base = eye.level + level + (eye.tilt + tilt) * x + eye.curvature * x**2 + wave
    brightness = {name: np.full_like(x, value) for name, _, value in LAYERS}
    return _Scan(canvas, eye, generator, x, base, thickness, brightness)


def _strength(scan: _Scan, easy: float, hard: float) -> float:
    """How strongly this eye's disease shows at this difficulty."""
    return scan.eye.severity * scan.canvas.fade(easy, hard)


def _lift_drusen(scan: _Scan) -> Lesions:
    """Deposits between Bruch's membrane and the RPE, which they lift; the ONL gives way."""
    lift = np.zeros_like(scan.x)
    for position, width, height, _ in scan.eye.spots.tolist():
        place = position + scan.generator.normal(0, 0.01)
        size = height * scan.generator.uniform(0.75, 1.15) * _strength(scan, 1.25, 0.3)
        lift = np.maximum(lift, size * bump((scan.x - place) / width))
    scan.thickness["deposit"] = lift
    _yield_above(scan, lift)

    def mark(scan: _Scan, tops: dict[str, Field], tissue: Field) -> Mask:
        return _between(scan, tops["RPE"], lift > 0.3 * lift.max())

    return mark


def _yield_above(scan: _Scan, lift: Field) -> None:
    """The outer nuclear layer takes up a sharp bump, so that the inner retina bends gently."""
    gentle = 0.6 * gaussian_filter1d(lift, 0.06 * scan.canvas.size, mode="nearest")
    scan.thickness["ONL"] = np.maximum(scan.thickness["ONL"] + gentle - lift, 0.012)


def _lift_membranes(scan: _Scan) -> Lesions:
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

    def mark(scan: _Scan, tops: dict[str, Field], tissue: Field) -> Mask:
        extent = mound + fluid
        return _between(scan, tops["fluid"], extent > 0.2 * extent.max())

    return mark


def _swell(scan: _Scan) -> Lesions:
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


def _paint_cysts(scan: _Scan, tops: dict[str, Field], tissue: Field) -> Mask:
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


def _leave(scan: _Scan) -> Lesions:
    return lambda scan, tops, tissue: np.zeros(tissue.shape, dtype=bool)


Lesions = Callable[[_Scan, dict[str, Field], Field], Mask]
_LESIONS: dict[str, Callable[[_Scan], Lesions]] = {
    "CNV": _lift_membranes,
    "DME": _swell,
    "DRUSEN": _lift_drusen,
    "NORMAL": _leave,
}


def _between(scan: _Scan, top: Field, columns: Mask) -> Mask:
    """The pixels from `top` down to Bruch's membrane in the given columns."""
    y = scan.canvas.y
    return np.asarray((y > top) & (y < scan.base) & columns)


def _paint_layers(scan: _Scan, tops: dict[str, Field]) -> Field:
    """Reflectivity (size, size): from above, each boundary adds the step to the next layer."""
    y, soft = scan.canvas.y, 0.012
    tissue = np.full((scan.canvas.size,) * 2, VITREOUS, dtype=np.float32)
    above: Field | float = VITREOUS
    for name in reversed(NAMES):
        value = scan.brightness[name].astype(np.float32)
        tissue += ramp(y - tops[name].astype(np.float32), soft) * (value - above)
        above = value
    tissue += ramp(y - scan.base.astype(np.float32), soft) * (CHOROID - above)
    return tissue


def _choroid(scan: _Scan) -> Field:
    """What lies under Bruch's membrane: dark vessels, and light that fades with depth."""
    depth = (scan.canvas.y - scan.base.astype(np.float32)) / np.float32(scan.eye.choroid)
    vessels, _ = smooth_fields(scan.generator, scan.canvas, 0.018, 0.025)
    dark = 1 - 0.3 * np.clip(vessels + 0.3, 0, 1.2) * bump(np.clip(depth * 2 - 1, -1, 1))
    return np.asarray(dark * np.exp(-1.3 * np.clip(depth - 0.4, 0, 4)))


def _vessel_shadows(scan: _Scan, ilm: Field) -> Field:
    """Retinal vessels lie in the nerve fibre layer and shade the columns under them."""
    shade = np.zeros_like(scan.x)
    for position, width in scan.eye.vessels.tolist():
        place = position + scan.generator.normal(0, 0.01)
        shade = np.maximum(shade, bump((scan.canvas.x[0] - place) / np.float32(width)))
    below = ramp(scan.canvas.y - ilm.astype(np.float32) - np.float32(0.03), 0.03)
    return np.asarray(1 - np.float32(0.3) * shade.astype(np.float32) * below)


def _acquire(tissue: Field, canvas: Canvas, generator: np.random.Generator) -> Field:
    """Speckle of a few averaged frames, the detector's floor, and the display's exposure."""
    looks = generator.uniform(7, 14) * canvas.dial(1.8, 0.6)
    grain = generator.standard_gamma(looks, tissue.shape, dtype=np.float32) / np.float32(looks)
    grain[:, 1:] = 0.65 * grain[:, 1:] + 0.35 * grain[:, :-1]
    floor = generator.standard_exponential(tissue.shape, dtype=np.float32)
    tissue = tissue * grain + np.float32(generator.uniform(0.02, 0.05)) * floor
    contrast = generator.uniform(0.85, 1.1)
    return expose(np.float32(contrast) * tissue, generator.uniform(0.2, 0.3))
