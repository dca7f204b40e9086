"""A picture of what augmentation does to one training image, for the report.

Shows the image as the network would get it, then changed copies. Knows no run and no report.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from pellucid.storage import write_image
from pellucid.training.augmentation import build_augmentation
from pellucid.training.hyperparameters import Plan

COLUMNS, ROWS, GAP = 6, 2, 6
_SHORTEST_SIDE = 96


def save_augmentations(
    pixels: npt.NDArray[np.uint8],
    plan: Plan,
    path: Path,
    transform: Callable[[Any], Any] | None = None,
) -> Path:
    """Write a PNG with the image (C, H, W) first, then eleven augmented copies of it.

    Small images are enlarged by a whole factor, so that their pixels stay visible.
    """
    copies = torch.from_numpy(np.array(pixels)).float().div(255)
    batch = copies.unsqueeze(0).repeat(COLUMNS * ROWS - 1, 1, 1, 1)
    augment = build_augmentation(plan.augmentation, plan.augmentation_strength, transform)
    changed = augment(batch, torch.Generator().manual_seed(plan.seed))
    tiles = torch.cat([copies.unsqueeze(0), changed]).clamp(0, 1).mul(255).round()
    return write_image(path, _sheet(tiles.to(torch.uint8).numpy()))


def _sheet(tiles: npt.NDArray[np.uint8]) -> Image.Image:
    """White paper with tiles (n, C, H, W) in rows."""
    factor = max(1, -(-_SHORTEST_SIDE // tiles.shape[-1]))
    tiles = tiles.repeat(factor, axis=2).repeat(factor, axis=3)
    side = tiles.shape[-1] + GAP
    sheet = np.full((ROWS * side - GAP, COLUMNS * side - GAP, 3), 255, dtype=np.uint8)
    for number, tile in enumerate(tiles):
        top, left = side * (number // COLUMNS), side * (number % COLUMNS)
        picture = np.moveaxis(np.broadcast_to(tile, (3, *tile.shape[1:])), 0, -1)
        sheet[top : top + tile.shape[1], left : left + tile.shape[2]] = picture
    return Image.fromarray(sheet)
