"""Synthetic frontal chest radiographs: NORMAL and PNEUMONIA.

Each structure adds to one map of attenuation along the ray; the picture is what is left of the
beam, exp(-attenuation), with the detector's noise and blur, displayed as film is: bone bright.
The patient faces the reader: the heart's apex points to the right of the picture. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pellucid.data.phantoms.drawing import (
    Canvas,
    Field,
    Mask,
    bump,
    expose,
    ramp,
    smooth_fields,
)

CLASSES = ("NORMAL", "PNEUMONIA")
BLOCK = ("NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA", "PNEUMONIA")  # 60 % pneumonia

MARGIN = 0.1  # the anatomy reaches beyond the picture, so that a turned view has no empty corner
SOFT, AIR, BONE, FLUID = 1.7, 1.25, 0.42, 0.85  # attenuation of the full thickness
VISIBLE = 0.22  # the share of its fullest density from which an opacity counts as lesion


@dataclass(frozen=True)
class Chest:
    """One patient's chest; lengths are fractions of the picture, measured from its centre line."""

    label: str
    seed: int
    middle: float
    width: float  # half the rib cage at its widest
    apex: float  # where the lungs begin
    domes: tuple[float, float]  # height of the diaphragm on the picture's left and right
    heart: tuple[float, float, float]  # half-width, half-height, lean
    mediastinum: float
    rib_spacing: float
    rib_slope: float
    clavicle: float
    bubble: tuple[float, float]  # gas in the stomach: place and size
    spots: np.ndarray  # (n, 5): side, height in the lung, place across, half-height, half-width


@dataclass(frozen=True)
class Plates:
    """What one patient's images are made from, both (size, size), drawn once."""

    anatomy: Field
    opacity: Field  # attenuation that the opacity adds, at most `FLUID`


def draw_patient(label: str, canvas: Canvas, generator: np.random.Generator) -> Plates:
    """One patient, whose attenuation is drawn once and then seen in several views."""
    chest = _draw_chest(label, generator)
    return _draw_plates(chest, replace(canvas, margin=MARGIN))


def _draw_chest(label: str, generator: np.random.Generator) -> Chest:
    """One chest; what does not belong to the pneumonia is drawn without regard to it."""
    uniform = generator.uniform
    base = uniform(0.74, 0.84)
    n_spots = generator.integers(1, 5)
    spots = uniform((0, 0.2, 0.3, 0.09, 0.08), (2, 0.88, 0.75, 0.19, 0.16), (n_spots, 5))
    spots[:, 2] += 0.12 * (spots[:, 0] >= 1)  # clear of the heart, which would hide them
    return Chest(
        label=label,
        seed=int(generator.integers(2**62)),
        middle=uniform(0.48, 0.52),
        width=uniform(0.36, 0.42),
        apex=uniform(0.1, 0.17),
        domes=(base - uniform(0.02, 0.06), base),
        heart=(uniform(0.13, 0.18), uniform(0.19, 0.24), uniform(0.25, 0.5)),
        mediastinum=uniform(0.07, 0.1),
        rib_spacing=uniform(0.078, 0.092),
        rib_slope=uniform(0.05, 0.13),
        clavicle=uniform(0.02, 0.06),
        bubble=(uniform(0.12, 0.24), uniform(0.0, 0.07)),
        spots=spots[: n_spots if label == "PNEUMONIA" else 0],
    )


def _draw_plates(chest: Chest, canvas: Canvas) -> Plates:
    """The attenuation of one patient, seen straight."""
    generator = np.random.default_rng(chest.seed)
    x = canvas.x - np.float32(chest.middle)
    y = canvas.y
    halves = [_draw_half(chest, side, x, y) for side in (-1, 1)]
    air = np.where(x < 0, halves[0][0], halves[1][0])
    bone = np.where(x < 0, halves[0][1], halves[1][1])
    heart = _heart(chest, x, y)
    air = air * (1 - heart)
    middle = _middle(chest, x, y) + 0.16 * heart
    coarse, fine = smooth_fields(generator, canvas, 0.02, 0.02)
    markings = _markings(chest, x, y, coarse, fine)
    anatomy = SOFT * _body(chest, x, y) - AIR * air * (1 - markings) + BONE * bone + middle
    anatomy -= _bubble(chest, x, y)
    opacity = FLUID * air * _patches(chest, x, y, coarse, fine)
    return Plates(anatomy.astype(np.float32), opacity.astype(np.float32))


def _wall(chest: Chest, y: Field) -> Field:
    """The inner side of the rib cage at each height: a dome above, nearly upright below."""
    v = np.clip((y - chest.apex) / 0.5, 0, 1)
    return np.asarray(chest.width * (1 - (1 - v) ** 2.4) ** 0.62)


def _draw_half(chest: Chest, side: int, x: Field, y: Field) -> tuple[Field, Field]:
    """Air and bone (share of the full thickness) of one half, where `side * x` runs outwards."""
    u = side * x
    wall = _wall(chest, y)
    inner = chest.mediastinum * (0.45 + 0.3 * y)
    dome = chest.domes[0 if side < 0 else 1]
    floor = dome - 0.02 + 0.9 * (np.abs(u - 0.42 * chest.width)) ** 2 / chest.width * 1.6
    inside = np.minimum(np.minimum((wall - u) * 1.0, (u - inner) * 1.2), floor - y)
    air = ramp(inside - 0.045, 0.10) ** 0.8
    return air, _ribs(chest, u, y, wall) + _clavicle(chest, u, y) + _scapula(chest, u, y)


def _ribs(chest: Chest, u: Field, y: Field, wall: Field) -> Field:
    """Ribs behind, level and bright at the wall, and in front, steep and faint.

    One field counts the ribs downwards; each whole number is the middle of a rib.
    """
    share = np.clip(u / np.maximum(wall, 0.05), 0, 1.08)
    out = ramp(0.012 + wall - u, 0.02) * ramp(u - 0.03, 0.02)
    edge = np.exp(-(((share - 1.0) / 0.09) ** 2))
    behind = (y - chest.apex + 0.02 + 0.05 * share * (1 - share)) / chest.rib_spacing
    behind = behind - chest.rib_slope / chest.rib_spacing * share**2
    front = (y - chest.apex - 0.03) / (1.25 * chest.rib_spacing)
    front = front - (0.24 * (1 - share) + 0.02) / (1.25 * chest.rib_spacing)
    down = ramp(0.86 - y, 0.2)
    posterior = _tube(behind) * (0.62 + 0.8 * edge) * ramp(behind, 0.6)
    anterior = 0.35 * _tube(front) * ramp(share - 0.45, 0.2) * ramp(front, 0.6)
    return np.asarray(out * down * (posterior + anterior) + 0.35 * edge * out * ramp(behind, 1.0))


def _tube(count: Field) -> Field:
    """Bones across the beam at whole numbers of `count`: a shell, brightest at its borders."""
    across = (count - np.round(count)) * np.float32(1 / 0.3)
    solid = ramp(1 - np.abs(across), 0.35)
    return np.asarray(solid * (0.65 + 0.5 * across**2))


def _clavicle(chest: Chest, u: Field, y: Field) -> Field:
    s = (u - 0.03) / 0.36
    line = chest.apex + 0.035 - chest.clavicle * np.sin(np.pi * 0.5 * s) - 0.015 * np.sin(6 * s)
    return np.asarray(0.9 * bump((y - line) / 0.02) * ramp(s, 0.1) * ramp(1.15 - s, 0.1))


def _scapula(chest: Chest, u: Field, y: Field) -> Field:
    """The blade beside the upper ribs, its border nearest the spine the brightest."""
    border = chest.width * 0.93 + 0.25 * (y - chest.apex - 0.2) ** 2
    blade = ramp(u - border, 0.03) * ramp(y - chest.apex, 0.06) * ramp(chest.apex + 0.4 - y, 0.1)
    return np.asarray(blade * (0.25 + 0.35 * bump((u - border - 0.012) / 0.02)))


def _heart(chest: Chest, x: Field, y: Field) -> Field:
    """The heart, two thirds of it on the patient's left, with the aortic knob above; 0 to 1."""
    half_width, half_height, lean = chest.heart
    dy = y - np.float32(chest.domes[1] - 0.72 * half_height)
    dx = x - np.float32(0.055) - np.float32(lean) * dy
    heart = ramp(1 - (dx / half_width) ** 2 - (dy / half_height) ** 2, 0.45)
    knob = bump(np.hypot(x - 0.045, y - chest.apex - 0.2) / 0.07)
    return np.asarray(np.maximum(heart, np.minimum(1.4 * knob, 1)))


def _middle(chest: Chest, x: Field, y: Field) -> Field:
    """Attenuation of spine, great vessels and windpipe along the centre line."""
    count = (y - chest.apex) / (0.62 * chest.rib_spacing)
    bodies = 0.75 + 0.25 * ramp(np.abs(count - np.round(count)) * -1 + 0.33, 0.2)
    spine = 0.32 * ramp(0.036 - np.abs(x), 0.014) * bodies
    vessels = 0.30 * ramp(chest.mediastinum * 0.75 - np.abs(x), 0.06) * ramp(0.8 - y, 0.3)
    pipe = 0.28 * bump(x / 0.024) * ramp(chest.apex + 0.24 - y, 0.08)
    processes = 0.12 * bump(np.hypot(x, 0.4 * (count - np.round(count)) * 0.05) / 0.012)
    return np.asarray(spine + vessels + processes - pipe)


def _body(chest: Chest, x: Field, y: Field) -> Field:
    """The trunk's thickness along the beam, 1 at its fullest, with neck and shoulders."""
    side = np.interp(
        y[:, 0],
        [-0.2, chest.apex - 0.12, chest.apex - 0.02, chest.apex + 0.12, 0.5, 1.2],
        [0.13, 0.15, 0.34, chest.width + 0.13, chest.width + 0.075, chest.width + 0.06],
    ).astype(np.float32)[:, None]
    round_ = np.maximum(1 - (x / side) ** 4, 0) ** 0.5
    belly = 0.25 * ramp(y - np.float32(chest.domes[1] - 0.03), 0.1)
    return np.asarray(round_ * (0.9 + belly))


def _bubble(chest: Chest, x: Field, y: Field) -> Field:
    place, size = chest.bubble
    apart = np.hypot(x - place, 1.3 * (y - chest.domes[1] - 0.08)) / np.float32(size + 0.01)
    return np.asarray(0.45 * bump(np.minimum(apart, 1)))


def _markings(chest: Chest, x: Field, y: Field, coarse: Field, fine: Field) -> Field:
    """Vessels of the lung: strands, densest at the hila; share of the air that they fill."""
    apart = np.hypot(np.abs(x) - 0.095, 0.8 * (y - chest.apex - 0.33))
    near = np.exp(-apart / 0.11)
    strands = bump(coarse * 1.6) + bump(fine * 1.6)
    return np.asarray(near * (0.2 + 0.2 * strands) + 0.03 * strands)


def _patches(chest: Chest, x: Field, y: Field, coarse: Field, fine: Field) -> Field:
    """Fluffy opacities, 0 to 1: clouds within the region of each spot."""
    region = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.float32)
    for side, height, across, tall, wide in chest.spots.tolist():
        sign = -1 if side < 1 else 1
        row = chest.apex + height * (chest.domes[0] - chest.apex)
        column = sign * chest.width * across
        apart = np.hypot((x - np.float32(column)) / wide, (y - np.float32(row)) / tall)
        region = np.maximum(region, 1 - apart)
    cloud = region + 0.12 * coarse + 0.06 * fine
    return np.asarray(ramp(cloud - 0.35, 0.7) * (region > 0))


def draw_image(
    plates: Plates, canvas: Canvas, generator: np.random.Generator
) -> tuple[Field, Mask]:
    """One radiograph: display values in [0, 1] and the opacities' mask, both (size, size)."""
    look = _View(canvas.size, generator)
    density = generator.uniform(0.8, 1.1) * canvas.dial(1.0, 0.06)
    attenuation = look.see(plates.anatomy)
    mask = np.zeros(attenuation.shape, dtype=bool)
    if plates.opacity.any():
        opacity = look.see(plates.opacity)
        attenuation += np.float32(density) * opacity
        mask = opacity > VISIBLE * plates.opacity.max()
    return _acquire(attenuation, canvas, generator), mask


class _View:
    """A view of the plates, turned, magnified and moved, with linear interpolation.

    The places are worked out once for both plates, which is twice as fast as
    `scipy.ndimage.affine_transform`.
    """

    def __init__(self, size: int, generator: np.random.Generator) -> None:
        turn, zoom = generator.normal(0, 0.03), generator.uniform(0.96, 1.06)
        dy, dx = generator.normal(0, 0.015 * size, 2).tolist()
        inner = 1 / (1 + 2 * MARGIN) / zoom
        cos, sin = float(inner * np.cos(turn)), float(inner * np.sin(turn))
        away = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
        y, x = away[:, None] + np.float32(dy), away[None, :] + np.float32(dx)
        middle = np.float32((size - 1) / 2)
        rows = np.clip(middle + cos * y - sin * x, 0, size - 1.001)
        columns = np.clip(middle + sin * y + cos * x, 0, size - 1.001)
        row, column = rows.astype(np.int32), columns.astype(np.int32)
        self._place = row * size + column
        self._down, self._right = rows - row, columns - column

    def see(self, plate: Field) -> Field:
        """The plate in this view, of its own shape."""
        flat, place, below = plate.ravel(), self._place, self._place + plate.shape[0]
        upper = flat[place] + self._right * (flat[place + 1] - flat[place])
        lower = flat[below] + self._right * (flat[below + 1] - flat[below])
        return np.asarray(upper + self._down * (lower - upper))


def _acquire(attenuation: Field, canvas: Canvas, generator: np.random.Generator) -> Field:
    """The beam behind the patient: quantum noise, scatter and the display's curve.

    The noise of n photons is drawn as a Gaussian of variance n, which for hundreds of photons is
    what Poisson's law gives.
    """
    photons = np.float32(generator.uniform(1500, 3000) * canvas.dial(2.0, 0.35))
    beam = np.exp(-attenuation) + np.float32(generator.uniform(0.02, 0.06))
    noise = generator.standard_normal(beam.shape, dtype=np.float32)
    noise[:, 1:] = 0.75 * noise[:, 1:] + 0.4 * noise[:, :-1]
    seen = np.maximum(beam + np.sqrt(beam / photons) * noise, 0.01)
    film = -np.log(seen) * np.float32(generator.uniform(0.4, 0.5))
    return expose(film - np.float32(0.3), generator.uniform(0.4, 0.55))
