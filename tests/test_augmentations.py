"""Each change of a policy alone: it changes what it says and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.errors import UsageError
from pellucid.playground.augmentations import CHANGES, UNITS, augment_in_turn
from pellucid.training.augmentation import POLICIES

IMAGE = np.random.default_rng(0).random((1, 24, 24)).astype(np.float32)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_change_of_the_policy_is_shown_and_no_other(policy: str) -> None:
    found = augment_in_turn(IMAGE, policy)
    asked = {name for name in CHANGES if getattr(POLICIES[policy], name) > 0}
    assert {change.name for change in found.alone} == asked
    assert all(change.moved > 0.001 and change.reason for change in found.alone)
    assert found.together.shape[1:] == IMAGE.shape
    assert set(UNITS) == set(CHANGES)


def test_what_a_chest_is_spared_is_given_with_its_reason() -> None:
    found = augment_in_turn(IMAGE, "chest_xray")
    assert set(found.never) == {"left_right", "up_down"}
    assert "dextrocardia" in found.describe()
    assert "± 7 degrees" in found.describe()


def test_a_flip_alone_is_a_flip_and_brightness_moves_no_pixel() -> None:
    changes = {change.name: change for change in augment_in_turn(IMAGE, "retinal_oct").alone}
    np.testing.assert_allclose(changes["left_right"].pixels, IMAGE[..., ::-1], atol=1e-5)
    brighter = changes["brightness"].pixels
    inside = (brighter > 0.01) & (brighter < 0.99)
    assert np.ptp((brighter - IMAGE)[inside]) < 1e-5


def test_seed_and_strength() -> None:
    first, again = (augment_in_turn(IMAGE, "generic", seed=1) for _ in range(2))
    assert np.array_equal(first.together, again.together)
    assert not np.array_equal(first.together, augment_in_turn(IMAGE, "generic").together)
    still = augment_in_turn(IMAGE, "generic", strength=0.0)
    assert still.alone == ()
    assert "changes nothing" in still.describe()
    assert "± 10 degrees" in augment_in_turn(IMAGE, "generic", strength=2.0).describe()


def test_wrong_settings_are_said_plainly() -> None:
    with pytest.raises(UsageError, match='Did you mean "chest_xray"'):
        augment_in_turn(IMAGE, "chest_ray")
    for strength in (-0.1, 11.0, float("nan")):
        with pytest.raises(UsageError, match="strength"):
            augment_in_turn(IMAGE, "generic", strength=strength)
