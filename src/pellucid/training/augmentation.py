"""Random changes to training images, each sample its own, in one resampling.

Every change must leave the diagnosis as it was; a policy says for its anatomy what does, with the
reason. Validation and test images never come here. This module knows no dataset and no network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  the customary name
from torch import Tensor

from pellucid.errors import PlanError, TrainingError, did_you_mean
from pellucid.training.compression import compress
from pellucid.training.device import own_randomness, seed_randomness

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
_POOL = 2**22  # numbers
_COMPRESSED = 0.5  # share of the images, where a policy compresses


@dataclass(frozen=True)
class Policy:
    """Ranges of random changes; every one is drawn for each image anew.

    `rotation` ± degrees; `translation` ± share of the side; `scale` ± share; `crop` the largest
    share of the side cut off; `left_right`, `up_down` probabilities of a flip; `brightness` ± of
    the range [0, 1]; `contrast` and `gamma` ± share (as a factor or exponent); `noise` largest
    standard deviation; `blur` largest sigma in pixels (at most 0.8); `compression` what JPEG's
    quality may lose of 100, for every second image. `border` says what stands
    where the turned image has no pixel.
    """

    name: str
    rotation: float = 0.0
    translation: float = 0.0
    scale: float = 0.0
    crop: float = 0.0
    left_right: float = 0.0
    up_down: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    compression: float = 0.0
    border: Literal["zeros", "border", "reflection"] = "zeros"
    reasons: dict[str, str] = field(default_factory=dict)


POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "chest_xray",
            rotation=7.0,
            translation=0.05,
            scale=0.1,
            crop=0.1,
            brightness=0.08,
            contrast=0.2,
            gamma=0.2,
            noise=0.02,
            blur=0.6,
            compression=60.0,
            reasons={
                "left_right": "never: the heart points left, and a mirrored chest is another "
                "finding (dextrocardia, situs inversus)",
                "up_down": "never: nobody is imaged upside down, and fluid levels lie by gravity",
                "rotation": "a few degrees, as patients stand before the detector",
                "translation": "positioning and collimation vary",
                "scale": "body size and distance from the tube vary",
                "crop": "little: the costophrenic angles at the border carry findings",
                "brightness": "exposure varies",
                "contrast": "tube voltage and window vary",
                "gamma": "look-up tables of makers differ",
                "noise": "dose varies",
                "blur": "motion and detector sharpness vary",
                "compression": "archives and e-mail compress",
            },
        ),
        Policy(
            "breast_ultrasound",
            rotation=8.0,
            translation=0.06,
            scale=0.12,
            crop=0.12,
            left_right=0.5,
            brightness=0.08,
            contrast=0.25,
            gamma=0.25,
            noise=0.03,
            blur=0.7,
            compression=60.0,
            reasons={
                "left_right": "allowed: the probe may be held either way round",
                "up_down": "never: depth runs downwards, and shadow or enhancement behind a "
                "lesion tells malignant from benign",
                "rotation": "a few degrees of probe tilt; more would turn tall into wide",
                "translation": "the lesion lies anywhere in the field",
                "scale": "the depth setting varies; both axes alike, since the ratio of height "
                "to width is a sign of malignancy",
                "crop": "little: the posterior shadow must stay in view",
                "brightness": "gain varies",
                "contrast": "dynamic range varies",
                "gamma": "grey maps of makers differ",
                "noise": "electronic noise grows with gain and depth",
                "blur": "focus and frequency vary",
                "compression": "video captures and archives compress",
            },
        ),
        Policy(
            "retinal_oct",
            rotation=10.0,
            translation=0.08,
            scale=0.1,
            crop=0.1,
            left_right=0.5,
            brightness=0.06,
            contrast=0.2,
            gamma=0.2,
            noise=0.04,
            blur=0.6,
            compression=60.0,
            border="border",
            reasons={
                "left_right": "allowed: it turns a right eye (OD) into a left one (OS)",
                "up_down": "never: the vitreous is above and the choroid below, and drusen rise "
                "from the pigment epithelium upwards",
                "rotation": "the retina is tilted when the beam enters off the pupil's centre",
                "translation": "fixation and the depth of the scan vary",
                "scale": "axial length and scan width vary",
                "crop": "little: the fovea must stay in view",
                "brightness": "signal strength varies",
                "contrast": "media opacities lower it",
                "gamma": "makers compress the signal differently",
                "noise": "the number of averaged scans varies",
                "blur": "focus and motion vary",
                "compression": "exports of scans are often JPEG",
            },
        ),
        Policy(
            "generic",
            rotation=5.0,
            translation=0.05,
            scale=0.1,
            crop=0.1,
            brightness=0.05,
            contrast=0.15,
            gamma=0.15,
            noise=0.02,
            blur=0.5,
            compression=60.0,
            border="border",
            reasons={
                "left_right": "never: without knowing the anatomy, a mirrored image may be another "
                "finding",
                "up_down": "never: gravity and depth may matter",
                "rotation": "small, as positioning varies everywhere",
                "translation": "positioning varies",
                "scale": "body size varies",
                "crop": "little: findings may lie at the border",
                "brightness": "devices differ",
                "contrast": "devices differ",
                "gamma": "devices differ",
                "noise": "devices differ",
                "blur": "sharpness varies",
                "compression": "archives compress",
            },
        ),
        Policy("none", reasons={"all": "nothing is changed"}),
    )
}


def build_augmentation(
    policy: str, strength: float = 1.0, transform: Callable[[Any], Any] | None = None
) -> Augmentation:
    """The function of (images, generator) that the loop calls; a user's `transform` wins.

    Raises `PlanError` for an unknown policy.
    """
    if transform is not None:
        return as_augmentation(transform)
    if policy not in POLICIES:
        known = did_you_mean(policy, list(POLICIES))
        raise PlanError("The augmentation must be a known policy", repr(policy), known)
    return partial(_augment_by, POLICIES[policy], strength)


def _augment_by(
    policy: Policy, strength: float, images: Tensor, generator: torch.Generator
) -> Tensor:
    return augment(images, policy, generator, strength)


def augment(
    images: Tensor, policy: Policy, generator: torch.Generator, strength: float = 1.0
) -> Tensor:
    """Change each image of a batch (n, C, H, W), float32 in [0, 1], in its own random way.

    `strength` multiplies the ranges; at 0, or with the policy "none", the images come back as they
    are. `generator` lives on the CPU, so that a seed means the same on every device.
    """
    if strength == 0.0 or policy.name == "none":
        return images
    u = torch.rand((16, len(images)), generator=generator).to(images.device)
    moved = _resample(images, _affine(u, policy, strength, images.shape), policy)
    return _change_intensity(moved, u, policy, (strength, generator))


def _affine(u: Tensor, policy: Policy, strength: float, shape: torch.Size) -> Tensor:
    """Matrices (n, 2, 3) from output to input coordinates in [-1, 1], from uniform draws u."""
    angle = math.radians(policy.rotation * strength) * (2 * u[0] - 1)
    kept = 1 - min(policy.crop * strength, 0.9) * u[1]
    zoom = kept * torch.exp(math.log1p(policy.scale * strength) * (2 * u[2] - 1))
    # The window of the crop lies anywhere in the image; 2 is the side in these coordinates.
    shift_x = 2 * policy.translation * strength * (2 * u[3] - 1) + (1 - kept) * (2 * u[5] - 1)
    shift_y = 2 * policy.translation * strength * (2 * u[4] - 1) + (1 - kept) * (2 * u[6] - 1)
    mirror = 1 - 2 * (u[7] < policy.left_right * min(strength, 1.0)).float()
    upend = 1 - 2 * (u[8] < policy.up_down * min(strength, 1.0)).float()
    cosine, sine, aspect = angle.cos() * zoom, angle.sin() * zoom, shape[-2] / shape[-1]
    rows = [
        torch.stack([mirror * cosine, -upend * sine * aspect, shift_x], dim=1),
        torch.stack([mirror * sine / aspect, upend * cosine, shift_y], dim=1),
    ]
    return torch.stack(rows, dim=1)


def _resample(images: Tensor, matrices: Tensor, policy: Policy) -> Tensor:
    return F.grid_sample(
        images,
        _grid(matrices, images.shape),
        mode="bilinear",
        padding_mode=policy.border,
        align_corners=False,
    )


def _grid(matrices: Tensor, shape: torch.Size) -> Tensor:
    """Where each output pixel comes from, (n, H, W, 2): `F.affine_grid` in a quarter of its time.

    A coordinate is a sum of what the column and what the row give to it.
    """
    n, _, height, width = shape
    along = (2 * torch.arange(width, device=matrices.device) + 1) / width - 1
    down = (2 * torch.arange(height, device=matrices.device) + 1) / height - 1
    grid = matrices.new_empty((n, height, width, 2))
    by_column = matrices[:, :, 0, None] * along
    by_row = matrices[:, :, 1, None] * down + matrices[:, :, 2, None]
    for axis in (0, 1):
        torch.add(by_column[:, axis, None, :], by_row[:, axis, :, None], out=grid[..., axis])
    return grid


def _change_intensity(
    images: Tensor, u: Tensor, policy: Policy, draw: tuple[float, torch.Generator]
) -> Tensor:
    """Contrast about the image's mean and brightness, blur, gamma, noise and JPEG, in [0, 1]."""
    strength, generator = draw
    v = (2 * u - 1)[..., None, None, None]
    factor = torch.exp(math.log1p(policy.contrast * strength) * v[9])
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = images.mul_(factor).add_(mean * (1 - factor) + policy.brightness * strength * v[10])
    images = _blur(images, min(policy.blur * strength, 0.8) * u[11])
    exponent = torch.exp(math.log1p(policy.gamma * strength) * v[12])
    # x^y as exp(y · log x): a third of the time of pow, and log 0 = -∞ gives 0 again.
    images = images.clamp_(0.0, 1.0).log_().mul_(exponent).exp_()
    if policy.noise > 0:
        sigma = policy.noise * strength * u[13][:, None, None, None]
        images = images.addcmul_(_noise(images, generator), sigma).clamp_(0.0, 1.0)
    if policy.compression > 0:
        chosen = torch.nonzero(u[14] < _COMPRESSED)[:, 0]
        lost = min(policy.compression * strength, 95.0) * u[15][chosen]
        images = images.index_copy_(0, chosen, compress(images[chosen], 100 - lost))
    return images


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Convolve with (w, 1-2w, w) along both axes: variance 2w = sigma², an image its own w."""
    n, channels, height, width = images.shape
    w = sigma**2 / 2
    line = torch.stack([w, 1 - 2 * w, w], dim=1)
    kernels = (line[:, :, None] * line[:, None, :]).repeat_interleave(channels, dim=0)
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    side_by_side = padded.view(1, n * channels, height + 2, width + 2)
    blurred = F.conv2d(side_by_side, kernels[:, None], groups=n * channels)
    return blurred.view(n, channels, height, width)


def _noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise for each image: a stretch of a fixed pool, from a random place on.

    To draw it anew took a fifth of the time of all augmentation.
    """
    pixels = images[0].numel()
    if pixels > _POOL:
        return torch.randn(images.shape, generator=generator).to(images.device)
    pool = _pool(images.device)
    places = torch.randint(_POOL - pixels + 1, (len(images),), generator=generator)
    stretches = pool.as_strided((_POOL - pixels + 1, pixels), (1, 1))
    return stretches[places.to(images.device)].view(images.shape)


@cache
def _pool(device: torch.device) -> Tensor:
    return torch.randn(_POOL, generator=torch.Generator().manual_seed(0)).to(device)


def as_augmentation(transform: Callable[[Any], Any]) -> Augmentation:
    """Wrap a user's pipeline, such as one of `torchvision.transforms.v2`, for the loop.

    It is called image by image, (C, H, W) float32 in [0, 1], since v2 draws one set of parameters
    a call. It draws from torch's global random state, which is seeded for it and put back, also
    that of the images' device.
    Raises `TrainingError` when it changes the shape.
    """

    def apply(images: Tensor, generator: torch.Generator) -> Tensor:
        with own_randomness(images.device):
            seed_randomness(int(torch.randint(2**62, (), generator=generator)), images.device)
            changed = [torch.as_tensor(transform(image)) for image in images]
        for image in changed:
            if image.shape != images.shape[1:]:
                found = f"{tuple(images.shape[1:])} → {tuple(image.shape)}"
                raise TrainingError("A transform must keep the shape of the image", found)
        return torch.stack(changed).to(images).clamp_(0.0, 1.0)

    return apply
