"""Synthetic breast ultrasound: normal tissue, benign and malignant lumps.

Tissue is a map of echo strength in decibels; lumps follow the words of the BI-RADS ultrasound
lexicon (ACR, 5th edition): shape, orientation, margin, echo pattern, posterior features. The map
is multiplied with fully developed speckle and log-compressed. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pellucid.data.phantoms.drawing import (
    Canvas,
    Field,
    Mask,
    bump,
    expose,
    ramp,
    smooth_curve,
    smooth_fields,
    speckle,
)

CLASSES = ("benign", "malignant", "normal")
BLOCK = CLASSES  # each class once in every three patients

SKIN_DB, FAT_DB, GLAND_DB, MUSCLE_DB = 6.0, -12.0, 2.0, -11.0
RANGE_DB = 46.0  # the display's dynamic range


@dataclass(frozen=True)
class Lump:
    """One lesion: place and size in fractions of the picture, and its outline."""

    x: float
    y: float
    radius: float
    aspect: float  # height over width
    turn: float  # radians
    waves: np.ndarray  # (n, 3): lobes round the outline: number, height, phase
    spikes: np.ndarray  # (n, 3): spicules: angle, length, half-width
    echo_db: float  # against the tissue around it
    behind_db: float  # posterior enhancement (> 0) or shadow (< 0)
    rim_db: float
    rim_width: float


@dataclass(frozen=True)
class Breast:
    """One patient's breast; `echo` (size, size) wraps round sideways, so the probe may slide."""

    echo: Field  # dB
    attenuation_db: float  # over the whole depth, beyond what the gain makes up
    lump: Lump | None


@dataclass(frozen=True)
class _Layers:
    """How deep the boundaries lie, and what is between them."""

    fat: float
    gland: float
    muscle: float
    density: float  # how much of the gland is bright
    ribs: bool


def draw_patient(label: str, canvas: Canvas, generator: np.random.Generator) -> Breast:
    """One breast; what does not belong to the lump is drawn without regard to it."""
    fat = generator.uniform(0.12, 0.26)
    gland = fat + generator.uniform(0.34, 0.48)
    layers = _Layers(
        fat=fat,
        gland=gland,
        muscle=gland + generator.uniform(0.1, 0.2),
        density=generator.uniform(-0.6, 0.9),
        ribs=bool(generator.random() < 0.35),
    )
    return Breast(
        attenuation_db=generator.uniform(8, 22),
        lump=None if label == "normal" else _draw_lump(label, fat, generator.spawn(1)[0]),
        echo=_draw_tissue(layers, canvas, generator),
    )


def _draw_lump(label: str, fat: float, generator: np.random.Generator) -> Lump:
    """A smooth, oval, wide lump or an irregular, spiculated, tall one, of the same area."""
    malignant = label == "malignant"
    n_spikes = generator.integers(9, 16)
    angles = np.sort(generator.uniform(-np.pi, np.pi, n_spikes))
    lengths = generator.uniform(0.08, 0.3, n_spikes)
    halves = generator.uniform(0.1, 0.2, n_spikes)
    lobes = np.stack([np.arange(2, 8), np.zeros(6), generator.uniform(0, 2 * np.pi, 6)], axis=1)
    lobes[:, 1] = generator.normal(0, 0.13 if malignant else 0.012, 6) / np.sqrt(lobes[:, 0] / 2)
    wide, tall = generator.uniform(0.48, 0.74), generator.uniform(1.05, 1.5)
    enhancement, shadow = generator.uniform(4, 9), -generator.uniform(8, 16)
    return Lump(
        x=generator.uniform(0.28, 0.72),
        y=fat + generator.uniform(0.12, 0.24),
        radius=generator.uniform(0.085, 0.15),
        aspect=tall if malignant else wide,
        turn=generator.normal(0, 0.14),
        waves=lobes,
        spikes=np.stack([angles, lengths, halves], axis=1)[: n_spikes if malignant else 0],
        echo_db=-generator.uniform(15, 24),
        behind_db=shadow if malignant else enhancement,
        rim_db=generator.uniform(2, 6),
        rim_width=0.45 if malignant else 0.14,
    )


def draw_image(
    breast: Breast, canvas: Canvas, generator: np.random.Generator
) -> tuple[Field, Mask]:
    """One scan of the breast: display values in [0, 1] and the lump's mask, both (size, size)."""
    echo = _place_probe(breast.echo, canvas, generator)
    mask = np.zeros(echo.shape, dtype=bool)
    if breast.lump:
        mask = _add_lump(breast.lump, echo, canvas, generator)
    echo += _shade(breast, canvas, generator)
    return _acquire(echo, canvas, generator), mask


def _draw_tissue(layers: _Layers, canvas: Canvas, generator: np.random.Generator) -> Field:
    """Echo strength in dB (size, size) of fat, gland, muscle and what divides them."""
    coarse, fine = smooth_fields(generator, canvas, 0.035, 0.06)
    strands, wisps = smooth_fields(generator, canvas, 0.02, 0.09)
    depths = (layers.fat, 0.03), (layers.gland, 0.02), (layers.muscle, 0.012)
    curves = [depth + sway * smooth_curve(generator, canvas, 0.16) for depth, sway in depths]
    fat, gland, muscle = (canvas.y - curve.astype(np.float32) for curve in curves)
    lobules = ramp(coarse + np.float32(layers.density), 1.2)
    echo = FAT_DB + 9 * bump(strands * np.float32(3.2))
    echo += ramp(fat, 0.03) * (GLAND_DB - FAT_DB + 2.5 * fine - 12 * (1 - lobules))
    fibres = bump(wisps * np.float32(2.2))
    echo += ramp(gland, 0.03) * (MUSCLE_DB + 11 * fibres - echo)
    for edge, width, strength in ((fat, 0.012, 8), (gland, 0.014, 10), (muscle, 0.014, 12)):
        echo += np.float32(strength) * bump(edge * np.float32(1 / width))
    if layers.ribs:
        echo -= 8 * ramp(muscle - np.float32(0.02), 0.03)
    return np.asarray(echo, dtype=np.float32)


def _place_probe(echo: Field, canvas: Canvas, generator: np.random.Generator) -> Field:
    """The tissue under the probe, which slides sideways and presses more or less; skin on top."""
    slide, press = generator.normal(0, (0.1, 0.06)).tolist()
    steps = np.arange(canvas.size)
    rows = (steps * np.exp(-abs(press))).astype(int)  # never past the bottom
    columns = (steps + round(slide * canvas.size)) % canvas.size
    seen = echo[rows[:, None], columns]
    skin = 0.035 + 0.004 * smooth_curve(generator, canvas, 0.16)
    seen += ramp(skin.astype(np.float32) - canvas.y, 0.012) * (SKIN_DB - seen)
    return np.asarray(seen)


def _outline(lump: Lump, angle: Field, generator: np.random.Generator) -> Field:
    """The lump's radius against its mean in each direction."""
    radius = np.ones_like(angle)
    for number, height, phase in lump.waves.tolist():
        radius += np.float32(height) * np.cos(np.float32(number) * angle + np.float32(phase))
    for direction, length, half in lump.spikes.tolist():
        apart = np.abs((angle - np.float32(direction) + np.pi) % (2 * np.pi) - np.pi)
        size = length * generator.uniform(0.7, 1.2)
        radius += np.float32(size) * np.maximum(1 - apart * np.float32(1 / half), 0)
    return np.asarray(np.maximum(radius, 0.5))


def _add_lump(lump: Lump, echo: Field, canvas: Canvas, generator: np.random.Generator) -> Mask:
    """Draw the lump, its rim and what lies behind it into `echo`; returns its mask."""
    dx, dy, turn = generator.normal(0, (0.03, 0.012, 0.05)).tolist()
    size = lump.radius * generator.uniform(0.92, 1.08)
    cos, sin = np.cos(lump.turn + turn), np.sin(lump.turn + turn)
    x, y = canvas.x - np.float32(lump.x + dx), canvas.y - np.float32(lump.y + dy)
    tall = float(np.sqrt(lump.aspect) * size)
    across = (x * np.float32(cos) + y * np.float32(sin)) * np.float32(lump.aspect / tall)
    along = (y * np.float32(cos) - x * np.float32(sin)) * np.float32(1 / tall)
    distance = np.sqrt(across * across + along * along)
    directions = np.linspace(-np.pi, np.pi, 257, dtype=np.float32)
    outline = _outline(lump, directions, generator)
    radius = np.interp(np.arctan2(along, across), directions, outline).astype(np.float32)
    inside = radius - distance
    strength = np.float32(canvas.dial(1.15, 0.12))
    body = ramp(inside, 0.3 if len(lump.spikes) else 0.16)
    echo += strength * np.float32(lump.echo_db) * body
    echo += strength * np.float32(lump.rim_db) * bump(inside / np.float32(lump.rim_width))
    width = tall / lump.aspect
    behind = ramp(y - np.float32(0.6 * tall), tall) * ramp(width - np.abs(x), 0.8 * float(width))
    echo += strength * np.float32(lump.behind_db) * behind * (1 - body)
    return np.asarray(inside > 0)


def _shade(breast: Breast, canvas: Canvas, generator: np.random.Generator) -> Field:
    """Loss with depth that the gain does not make up, and shadows of poor contact, in dB."""
    loss = breast.attenuation_db * generator.uniform(0.8, 1.2) * canvas.y**1.5
    bands = np.minimum(smooth_curve(generator, canvas, 0.06) + 0.6, 0).astype(np.float32)
    return np.asarray(-loss.astype(np.float32) + 7 * bands * ramp(canvas.y - np.float32(0.3), 0.6))


def _acquire(echo: Field, canvas: Canvas, generator: np.random.Generator) -> Field:
    """Speckle, electronic noise, log compression and the display's gain."""
    lateral = generator.uniform(0.010, 0.014)
    grain = speckle(generator, canvas, 0.005, round(lateral, 3))
    noise = np.float32(10 ** (canvas.dial(-4.2, -2.0) + generator.normal(0, 0.15)))
    power = np.exp(echo * np.float32(np.log(10) / 10)) * grain
    power += noise * generator.standard_exponential(echo.shape, dtype=np.float32)
    softness = np.float32(canvas.dial(0.6, 1.0))
    grey = np.float32(10 / np.log(10) / RANGE_DB) * np.log(power) * softness
    grey[1:] = (grey[1:] + grey[:-1]) / 2  # the screen's interpolation softens the deepest fades
    grey[:, 1:] = (grey[:, 1:] + grey[:, :-1]) / 2
    return expose(grey + np.float32(0.6), generator.uniform(0.22, 0.38))
