"""The healthy retina of the OCT phantoms: an eye, a scan's layers, how they look on a display.

A retina is a stack of boundaries over the columns, from Bruch's membrane up to the inner limiting
membrane. Layer names and their order of brightness follow the International Nomenclature for OCT
(Staurenghi et al., Ophthalmology 2014). Knows no disease, beyond the room that it leaves for one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pellucid.data.phantoms.drawing import (
    Canvas,
    Field,
    bump,
    expose,
    ramp,
    smooth_curve,
    smooth_fields,
)

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


@dataclass
class Scan:
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


def lay_out(eye: Eye, canvas: Canvas, generator: np.random.Generator) -> Scan:
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
    return Scan(canvas, eye, generator, x, base, thickness, brightness)


def paint_layers(scan: Scan, tops: dict[str, Field]) -> Field:
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


def shade_choroid(scan: Scan) -> Field:
    """What lies under Bruch's membrane: dark vessels, and light that fades with depth."""
    depth = (scan.canvas.y - scan.base.astype(np.float32)) / np.float32(scan.eye.choroid)
    vessels, _ = smooth_fields(scan.generator, scan.canvas, 0.018, 0.025)
    dark = 1 - 0.3 * np.clip(vessels + 0.3, 0, 1.2) * bump(np.clip(depth * 2 - 1, -1, 1))
    return np.asarray(dark * np.exp(-1.3 * np.clip(depth - 0.4, 0, 4)))


def shade_vessels(scan: Scan, ilm: Field) -> Field:
    """Retinal vessels lie in the nerve fibre layer and shade the columns under them."""
    shade = np.zeros_like(scan.x)
    for position, width in scan.eye.vessels.tolist():
        place = position + scan.generator.normal(0, 0.01)
        shade = np.maximum(shade, bump((scan.canvas.x[0] - place) / np.float32(width)))
    below = ramp(scan.canvas.y - ilm.astype(np.float32) - np.float32(0.03), 0.03)
    return np.asarray(1 - np.float32(0.3) * shade.astype(np.float32) * below)


def acquire(tissue: Field, canvas: Canvas, generator: np.random.Generator) -> Field:
    """Speckle of a few averaged frames, the detector's floor, and the display's exposure."""
    looks = generator.uniform(7, 14) * canvas.dial(1.8, 0.6)
    grain = generator.standard_gamma(looks, tissue.shape, dtype=np.float32) / np.float32(looks)
    grain[:, 1:] = 0.65 * grain[:, 1:] + 0.35 * grain[:, :-1]
    floor = generator.standard_exponential(tissue.shape, dtype=np.float32)
    tissue = tissue * grain + np.float32(generator.uniform(0.02, 0.05)) * floor
    contrast = generator.uniform(0.85, 1.1)
    return expose(np.float32(contrast) * tissue, generator.uniform(0.2, 0.3))
