"""A picture of a hundred people: so many rightly called, so many not. Solid is right, hollow wrong.

Drawn as plain SVG, so that it can be saved and opened alone; right and wrong differ in fill and not
only in colour.
"""

from __future__ import annotations

from html import escape

RIGHT, WRONG = "#0072B2", "#D55E00"  # Okabe and Ito (2008)
PER_ROW = 25
STEP_X, STEP_Y = 13.0, 22.0


def draw_people(right: int, *, label: str, name: str) -> str:
    """A hundred figures in four rows of twenty-five, `right` of them solid; `label` is read aloud.

    `right` is in 0..100; raises `ValueError` outside.
    """
    if not 0 <= right <= 100:
        raise ValueError(f"right must be in 0..100, got {right}")
    solid = "".join(_person(place) for place in range(right))
    hollow = "".join(_person(place) for place in range(right, 100))
    width, height = PER_ROW * STEP_X, 100 // PER_ROW * STEP_Y
    parts = [
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{escape(label)}" data-name="{escape(name)}">',
        f"<title>{escape(label)}</title>",
        f'<path d="{solid}" fill="{RIGHT}"/>' if solid else "",
        f'<path d="{hollow}" fill="#ffffff" stroke="{WRONG}" stroke-width="1.5"/>'
        if hollow
        else "",
        "</svg>",
    ]
    return "".join(parts)


def _person(place: int) -> str:
    """A head and shoulders, in the box of that place."""
    x = place % PER_ROW * STEP_X + STEP_X / 2
    y = place // PER_ROW * STEP_Y + 1.5
    head = f"M{x - 2.7:g} {y + 2.7:g}a2.7 2.7 0 1 0 5.4 0a2.7 2.7 0 1 0 -5.4 0z"
    body = f"M{x - 4.2:g} {y + 17.5:g}v-6.2a4.2 4.2 0 0 1 8.4 0v6.2z"
    return head + body
