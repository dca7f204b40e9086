"""Augmentation: what it keeps, what it may do for which anatomy, and that it can be repeated."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from pellucid.errors import PlanError, TrainingError
from pellucid.training.augmentation import (
    POLICIES,
    Policy,
    as_augmentation,
    augment,
    build_augmentation,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> Tensor:
    return torch.rand((6, 1, 16, 16), generator=generator(7))


@pytest.mark.parametrize("policy", list(POLICIES.values()), ids=list(POLICIES))
@pytest.mark.parametrize("shape", [(4, 1, 12, 12), (3, 3, 9, 14), (1, 1, 8, 8)])
def test_shape_type_and_range_stay(policy: Policy, shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, generator=generator())
    images.view(-1)[:2] = torch.tensor([0.0, 1.0])
    before = images.clone()
    out = augment(images, policy, generator(), 3.0)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert 0.0 <= float(out.min()) <= float(out.max()) <= 1.0
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", list(POLICIES))
def test_strength_zero_is_the_identity(name: str, images: Tensor) -> None:
    assert torch.equal(augment(images, POLICIES[name], generator(), 0.0), images)


def test_none_is_the_identity(images: Tensor) -> None:
    assert torch.equal(augment(images, POLICIES["none"], generator()), images)


def test_an_empty_policy_resamples_to_the_same_image(images: Tensor) -> None:
    out = augment(images, Policy("still"), generator())
    torch.testing.assert_close(out, images, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["chest_xray", "breast_ultrasound", "retinal_oct", "generic"])
def test_draws_follow_the_seed_and_differ_by_sample(name: str, images: Tensor) -> None:
    same = images[:1].expand(6, -1, -1, -1).contiguous()
    first, again = (augment(same, POLICIES[name], generator(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(same, POLICIES[name], generator(4)))
    distances = torch.cdist(first.flatten(1), first.flatten(1))
    assert float(distances[~torch.eye(6, dtype=torch.bool)].min()) > 0.01


def test_the_global_random_state_is_left_alone(images: Tensor) -> None:
    state = torch.get_rng_state()
    augment(images, POLICIES["chest_xray"], generator())
    as_augmentation(v2.RandomHorizontalFlip())(images, generator())
    assert torch.equal(torch.get_rng_state(), state)


def test_only_the_allowed_flips_happen() -> None:
    assert {name: (p.left_right, p.up_down) for name, p in POLICIES.items()} == {
        "chest_xray": (0.0, 0.0),
        "breast_ultrasound": (0.5, 0.0),
        "retinal_oct": (0.5, 0.0),
        "generic": (0.0, 0.0),
        "none": (0.0, 0.0),
    }


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    ramp = torch.linspace(0, 1, 8).expand(400, 1, 8, 8).contiguous()
    out = augment(ramp, Policy("flip", left_right=0.5), generator())
    mirrored = out[:, 0, 0, 0] > out[:, 0, 0, -1]
    assert 150 < int(mirrored.sum()) < 250
    torch.testing.assert_close(out[mirrored], ramp[mirrored].flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[~mirrored], ramp[~mirrored], atol=1e-5, rtol=0)
    upended = augment(ramp.transpose(2, 3).contiguous(), Policy("up", up_down=1.0), generator())
    torch.testing.assert_close(upended, ramp.transpose(2, 3).flip(-2), atol=1e-5, rtol=0)


def test_left_stays_left_in_a_chest() -> None:
    images = torch.zeros((200, 1, 32, 32))
    images[:, :, 14:18, 24:28] = 1.0
    out = augment(images, replace(POLICIES["chest_xray"], noise=0.0), generator())
    columns = (out * torch.arange(32.0)).sum(dim=(1, 2, 3)) / out.sum(dim=(1, 2, 3))
    assert float(columns.min()) > 16.0


def test_a_rotation_keeps_within_its_range_and_its_shape_on_a_wide_image() -> None:
    images = torch.zeros((100, 1, 41, 81))
    images[:, :, 20, 60] = 1.0  # a point 20 pixels right of the centre
    images = torch.nn.functional.avg_pool2d(images, 5, 1, 2)
    out = augment(images, Policy("turn", rotation=30.0), generator())
    mass = out.sum(dim=(1, 2, 3))
    y = (out * torch.arange(41.0)[:, None]).sum(dim=(1, 2, 3)) / mass - 20
    x = (out * torch.arange(81.0)).sum(dim=(1, 2, 3)) / mass - 40
    angles = torch.atan2(y, x) * 180 / math.pi
    assert 25.0 < float(angles.abs().max()) <= 30.5
    torch.testing.assert_close(x.hypot(y), torch.full((100,), 20.0), atol=0.2, rtol=0)


def test_translation_keeps_within_its_range() -> None:
    images = torch.zeros((200, 1, 40, 40))
    images[:, :, 19:21, 19:21] = 1.0
    out = augment(images, Policy("shift", translation=0.1), generator())
    x = (out * torch.arange(40.0)).sum(dim=(1, 2, 3)) / out.sum(dim=(1, 2, 3)) - 19.5
    assert 3.0 < float(x.abs().max()) <= 4.05


def test_a_crop_never_looks_outside_the_image() -> None:
    out = augment(torch.ones((200, 1, 16, 16)), Policy("crop", crop=0.4), generator())
    assert float(out[..., 1:-1, 1:-1].min()) > 0.999  # the outermost row is half a pixel from it


def test_blur_keeps_the_sum_and_lowers_the_peak() -> None:
    images = torch.zeros((20, 1, 9, 9))
    images[:, :, 4, 4] = 1.0
    out = augment(images, Policy("blur", blur=0.8), generator())
    torch.testing.assert_close(out.sum(dim=(1, 2, 3)), torch.ones(20), atol=1e-4, rtol=0)
    assert len(out[:, 0, 4, 4].unique()) == 20
    assert float(out[:, 0, 4, 4].min()) < 0.6
    assert float(out[:, 0, 5, 4].min()) >= 0.0


def test_noise_and_gamma_have_the_size_they_say() -> None:
    flat = torch.full((300, 1, 16, 16), 0.5)
    noisy = augment(flat, Policy("noise", noise=0.05), generator())
    assert 0.045 < float(noisy.std(dim=(1, 2, 3)).max()) < 0.06
    bent = augment(flat, Policy("gamma", gamma=0.25), generator())[:, 0, 8, 8]
    assert 0.5**1.25 - 1e-4 <= float(bent.min()) < 0.43
    assert 0.56 < float(bent.max()) <= 0.5**0.8 + 1e-4


def test_every_range_in_use_has_its_reason() -> None:
    for policy in POLICIES.values():
        if policy.name == "none":
            continue
        dials = set(Policy.__dataclass_fields__) - {"name", "border", "reasons"}
        assert set(policy.reasons) == dials


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(PlanError, match=r'Did you mean "chest_xray"'):
        build_augmentation("chest_xry")


def test_a_users_pipeline_is_called_image_by_image() -> None:
    ramp = torch.linspace(0, 1, 8).expand(64, 1, 8, 8).contiguous()
    apply = build_augmentation("generic", transform=v2.RandomHorizontalFlip(0.5))
    out = apply(ramp, generator())
    mirrored = int((out[:, 0, 0, 0] > 0.5).sum())
    assert 16 < mirrored < 48
    assert torch.equal(out, apply(ramp, generator()))
    assert not torch.equal(out, apply(ramp, generator(1)))


def test_a_pipeline_that_changes_the_shape_is_refused(images: Tensor) -> None:
    with pytest.raises(TrainingError, match="must keep the shape"):
        as_augmentation(v2.CenterCrop(8))(images, generator())


def test_a_pipeline_that_leaves_the_range_is_brought_back(images: Tensor) -> None:
    out = as_augmentation(lambda image: (image * 3 - 1).double())(images, generator())
    assert out.dtype == torch.float32
    assert 0.0 <= float(out.min()) <= float(out.max()) <= 1.0
