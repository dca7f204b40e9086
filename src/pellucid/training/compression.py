"""What JPEG does to pictures, as a few products of matrices, each image of a batch its own quality.

Blocks of 8 × 8 pixels become cosine waves, whose amplitudes are rounded: the finer the wave, the
coarser. Source: ITU-T T.81 (JPEG), A.3.3 (the transform) and table K.1 (the steps of quality 50),
scaled with the quality as libjpeg does. Colours are rounded channel by channel.
"""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812  the customary name
from torch import Tensor

_SIDE = 8
_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def compress(images: Tensor, quality: Tensor) -> Tensor:
    """Images (n, C, H, W) in [0, 1] after JPEG of these qualities (n,), 1 to 100."""
    n, channels, height, width = images.shape
    padded = F.pad(images, (0, -width % _SIDE, 0, -height % _SIDE), mode="replicate")
    rows, columns = (side // _SIDE for side in padded.shape[2:])
    blocks = padded.mul(255).sub(128).view(n, channels * rows, _SIDE, columns, _SIDE)
    waves, steps = _waves(images.device), _steps(quality)[:, None, :, None, :]
    amplitudes = torch.einsum("ui,nrick,vk->nrucv", waves, blocks, waves)
    amplitudes = (amplitudes / steps).round_() * steps
    back = torch.einsum("ui,nrucv,vk->nrick", waves, amplitudes, waves)
    pixels = back.reshape(padded.shape).add_(128).div_(255).clamp_(0.0, 1.0)
    return pixels[:, :, :height, :width]


@cache
def _waves(device: torch.device) -> Tensor:
    """The cosine transform (wave, pixel) of 8 pixels, orthogonal."""
    k, i = torch.meshgrid(torch.arange(_SIDE), torch.arange(_SIDE), indexing="ij")
    waves = torch.cos((2 * i + 1) * k * math.pi / (2 * _SIDE)) * math.sqrt(2 / _SIDE)
    waves[0] /= math.sqrt(2)
    return waves.to(device)


def _steps(quality: Tensor) -> Tensor:
    """What amplitudes are rounded to multiples of, (n, 8, 8)."""
    quality = quality.clamp(1, 100)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    steps = torch.tensor(_STEPS, dtype=torch.float32, device=quality.device)
    return (steps * scale[:, None, None] / 100).round().clamp(1, 255)
