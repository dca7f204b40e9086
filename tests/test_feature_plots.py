"""Feature pictures: sharp squares, one scale with its values, and words where nothing is shown."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pellucid.reporting.drawing.feature_plots import (
    PatchTile,
    Tile,
    common_scale,
    draw_filters,
    draw_maps,
    draw_maximised,
    draw_patches,
    figure_to_png,
)
from pellucid.reporting.drawing.walk_plot import LogitBars, StageRow, draw_walk

IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
COLOUR = np.stack([IMAGE, IMAGE[::-1], IMAGE.T], axis=-1)


def words_of(figure) -> str:
    """Every text that the figure holds, a line each."""
    return "\n".join(
        text.get_text() for text in figure.findobj(match=lambda o: hasattr(o, "get_text"))
    )


def test_a_scale_starts_at_zero_and_is_symmetric_where_values_have_a_sign():
    plain = common_scale([np.array([[0.0, 1.0]]), np.array([[4.0, 2.0]])])
    assert (plain.low, plain.colours) == (0.0, "magma")
    assert 3.9 < plain.high <= 4.0
    signed = common_scale([np.array([[-1.0, 3.0]])])
    assert signed.low == -signed.high
    assert signed.colours == "cividis"
    assert common_scale([np.zeros((2, 2))]).high == 1.0


def test_one_hot_pixel_does_not_darken_a_map():
    values = np.ones((64, 64))
    values[0, 0] = 1000
    scale = common_scale([values])
    assert scale.high < 2
    assert scale.is_clipped


def test_a_small_map_is_enlarged_without_smoothing():
    tile = Tile("channel 3", np.array([[0.0, 1.0], [1.0, 0.0]]))
    figure = draw_maps(IMAGE, [tile], title="Maps", note="A note.")
    shown = [image for axes in figure.axes for image in axes.images]
    assert {image.get_interpolation() for image in shown} == {"nearest"}
    picture = np.asarray(Image.open(io.BytesIO(figure_to_png(figure))).convert("RGB"))
    box = figure.axes[1].get_position()
    height, width, _ = picture.shape
    rows = slice(int((1 - box.y1) * height) + 4, int((1 - box.y0) * height) - 4)
    columns = slice(int(box.x0 * width) + 4, int(box.x1 * width) - 4)
    assert len(np.unique(picture[rows, columns].reshape(-1, 3), axis=0)) <= 3
    assert all(word in words_of(figure) for word in ("Maps", "A note.", "channel 3", "activation"))


def test_the_same_figure_gives_the_same_bytes():
    tiles = [Tile(str(k), np.full((2, 2), float(k))) for k in range(5)]
    first, second = (figure_to_png(draw_maps(COLOUR, tiles, title="t", note="n")) for _ in "ab")
    assert first == second
    assert first.startswith(b"\x89PNG")


@pytest.mark.parametrize(("shape", "label"), [((5, 3, 3), "weight"), ((5, 3, 3, 3), "red, green")])
def test_filters_share_a_symmetric_scale(shape, label):
    weights = np.linspace(-0.5, 0.25, int(np.prod(shape))).reshape(shape)
    figure = draw_filters(weights, list("abcde"), title="Filters", note="")
    assert label in words_of(figure)
    assert figure.axes[-1].get_ylim() == (-0.5, 0.5)


def test_a_patch_is_hatched_where_no_image_is_and_a_silent_channel_says_so():
    inside = np.ones((3, 3), bool)
    inside[0] = False
    patch = PatchTile("2.5", np.full((3, 3), 9, np.uint8), inside, (1, 1))
    figure = draw_patches([("channel\n4", [patch]), ("channel\n5", [])], title="t", note="n")
    drawn = next(axes for axes in figure.axes if axes.images)
    seen = drawn.images[0].get_array()
    assert seen[..., 3].tolist() == [[0] * 3, [255] * 3, [255] * 3]
    assert drawn.patch.get_hatch()
    assert drawn.lines[0].get_xydata().tolist() == [[1, 1]]
    assert "not active in any of the images" in words_of(figure)


def test_what_was_reached_stands_beside_the_bars():
    bars = [("made picture", 12.5), ("this image", -1.25)]
    figure = draw_maximised(
        IMAGE, COLOUR, bars, titles=("made", "real"), title="t", note="not a disease", unit="logit"
    )
    words = words_of(figure)
    assert all(
        word in words for word in ("12.50", "−1.25", "made", "real", "logit", "not a disease")
    )


def test_a_walk_names_stages_features_and_sums():
    tiles = tuple(Tile(str(k), np.eye(4) * k) for k in range(1, 4))
    rows = [
        StageRow(("first", "8 maps of 4 × 4"), (-2.5, 1.5, 5), tiles),
        StageRow(("last", "8 maps of 4 × 4"), (-99.0, -99.0, 300), tiles),
    ]
    sums = (("2 others", 0.1), ("bias", -0.2), ("logit", 0.4))
    logits = [LogitBars(f"Logit {k}", (("3", 0.75), ("7", -0.25)), sums) for k in range(6)]
    figure = draw_walk(IMAGE, rows, np.arange(8.0), logits, title="Walk", note="note")
    words = words_of(figure)
    assert all(word in words for word in ("first", "last", "Logit 3", "+0.75", "−0.25", "+0.40"))
    assert "Logit 4" not in words
    frames = [patch for axes in figure.axes for patch in axes.patches if not patch.get_fill()]
    for frame in frames:
        left, top = frame.get_xy()
        assert -0.5 <= left <= left + frame.get_width() <= 7.5
        assert -0.5 <= top <= top + frame.get_height() <= 7.5
    assert figure_to_png(figure).startswith(b"\x89PNG")
