"""JPEG as products of matrices, against JPEG by libjpeg."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from pellucid.training.augmentation import Policy, augment
from pellucid.training.compression import compress


def picture(height: int, width: int) -> np.ndarray:
    """Something with flat parts, edges and a little noise, uint8."""
    random = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(random.normal(size=(height, width)), 3)
    grey = 128 + 60 * smooth / np.abs(smooth).max() + random.normal(0, 4, (height, width))
    grey[: height // 3, : width // 2] += 50
    return np.clip(grey, 0, 255).astype(np.uint8)


def by_libjpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize("quality", [95, 60, 30, 10])
@pytest.mark.parametrize("shape", [(64, 64), (37, 50), (28, 28)])
def test_it_is_what_libjpeg_does(shape: tuple[int, int], quality: int) -> None:
    pixels = picture(*shape)
    images = torch.from_numpy(pixels)[None, None].float() / 255
    ours = compress(images, torch.tensor([float(quality)]))[0, 0].numpy() * 255
    theirs = by_libjpeg(pixels, quality).astype(float)
    lost = np.abs(theirs - pixels).mean()
    # a wave at the edge between two steps may be rounded otherwise; no more than that
    assert np.abs(ours - theirs).mean() < 0.1 * lost + 0.4
    assert np.abs(ours - pixels).mean() == pytest.approx(lost, rel=0.1, abs=0.2)


def test_each_image_and_channel_has_its_own_quality() -> None:
    grey = torch.from_numpy(picture(16, 24)).float() / 255
    images = torch.stack([grey, grey.flip(0)]).repeat(3, 1, 1, 1)
    qualities = torch.tensor([90.0, 50.0, 5.0])
    together = compress(images, qualities)
    for number, quality in enumerate(qualities):
        for channel in range(2):
            alone = compress(images[number, channel][None, None], quality[None])
            torch.testing.assert_close(together[number, channel], alone[0, 0])
    loss = (together - images).abs().mean(dim=(1, 2, 3))
    assert (loss.diff() > 0).all()


def test_a_policy_compresses_some_images_and_leaves_the_others() -> None:
    images = torch.from_numpy(picture(32, 32)).float()[None, None].repeat(200, 1, 1, 1) / 255
    policy = Policy("jpeg", compression=70.0)
    out = augment(images.clone(), policy, torch.Generator().manual_seed(0))
    changed = (out - images).abs().mean(dim=(1, 2, 3)) > 1e-3
    assert 0.35 < changed.float().mean() < 0.6
    assert out.min() >= 0
    assert out.max() <= 1
    weak = augment(images.clone(), policy, torch.Generator().manual_seed(0), strength=0.2)
    assert (weak - images).abs().mean() < (out - images).abs().mean()
