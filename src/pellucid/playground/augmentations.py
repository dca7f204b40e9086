"""One image under a policy's random changes: each change alone, and all of them together.

The changes are `training.augmentation`'s own, drawn as in training and at the size of training.
Source: lecture section "Augmentation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.errors import UsageError, did_you_mean
from pellucid.playground.columns import write_columns
from pellucid.training.augmentation import POLICIES, Policy, augment

Pixels = npt.NDArray[np.float32]

CHANGES = (
    "rotation",
    "translation",
    "scale",
    "crop",
    "left_right",
    "up_down",
    "brightness",
    "contrast",
    "gamma",
    "noise",
    "blur",
    "compression",
)
UNITS = {
    "rotation": "± {:.3g} degrees",
    "translation": "± {:.0%} of the side",
    "scale": "± {:.0%}",
    "crop": "up to {:.0%} of the side",
    "left_right": "in {:.0%} of images",
    "up_down": "in {:.0%} of images",
    "brightness": "± {:.0%} of the range",
    "contrast": "± {:.0%}",
    "gamma": "± {:.0%}",
    "noise": "sigma up to {:.0%} of the range",
    "blur": "sigma up to {:.2g} pixels",
    "compression": "JPEG, up to {:.0f} of 100 lost",
}
N_DRAWS = 16  # of which the one that changes the image most is shown
N_TOGETHER = 7
_LARGEST_STRENGTH = 10.0


@dataclass(frozen=True)
class Change:
    """One change alone: its range in words, the anatomical reason, and its strongest draw.

    `pixels` are (channel, row, column) in [0, 1]; `moved` is the mean |difference| per pixel.
    """

    name: str
    span: str
    reason: str
    pixels: Pixels
    moved: float

    @property
    def words(self) -> str:
        """The change as people say it."""
        return change_words(self.name)


@dataclass(frozen=True)
class Augmented:
    """An image under a policy: what it changes alone, all together (n, C, H, W), and never."""

    policy: str
    strength: float
    image: Pixels
    alone: tuple[Change, ...]
    together: Pixels
    never: dict[str, str]

    @property
    def refusals(self) -> list[str]:
        """What the policy leaves out, and why, a sentence each."""
        return [f"{change_words(name).capitalize()}: {why}." for name, why in self.never.items()]

    def describe(self) -> str:
        """What changes by how much, and why, as text."""
        if not self.alone:
            return f"Policy {self.policy} at strength {self.strength:g} changes nothing."
        heads = ("change", "range", "mean difference", "reason")
        rows = [(c.words, c.span, c.moved, c.reason) for c in self.alone]
        lines = [f"Policy {self.policy} at strength {self.strength:g}, drawn for each image anew:"]
        lines += [write_columns(heads, rows), ""]
        return "\n".join([*lines, *self.refusals])

    def to_json(self) -> dict[str, Any]:
        """Ranges, reasons and how much each change moved the pixels."""
        return {
            "policy": self.policy,
            "strength": self.strength,
            "changes": [
                {"name": c.name, "range": c.span, "reason": c.reason, "mean_difference": c.moved}
                for c in self.alone
            ],
            "never": self.never,
        }


def augment_in_turn(
    pixels: npt.ArrayLike, policy: str = "generic", *, strength: float = 1.0, seed: int = 0
) -> Augmented:
    """Each of the policy's changes alone, and all together, on one image (C, H, W) in [0, 1].

    Of 16 draws of a change the one that moves the pixels most is kept, since many draws lie near
    none. Raises `UsageError` for an unknown policy and a strength that is not in [0, 10].
    """
    if policy not in POLICIES:
        raise UsageError("No such policy", f'"{policy}"', did_you_mean(policy, list(POLICIES)))
    if not 0.0 <= strength <= _LARGEST_STRENGTH:
        rule = f"The strength of augmentation is in [0, {_LARGEST_STRENGTH:g}]"
        raise UsageError(rule, str(strength))
    whole = POLICIES[policy]
    image = torch.from_numpy(np.array(pixels, dtype=np.float32))
    names = [name for name in CHANGES if strength and getattr(whole, name) > 0]
    generator = torch.Generator().manual_seed(seed)
    alone = tuple(_alone(name, image, whole, (strength, generator)) for name in names)
    together = augment(_copies(image, N_TOGETHER), whole, generator, strength)
    never = {name: whole.reasons[name] for name in CHANGES if _is_left_out(name, whole)}
    return Augmented(policy, strength, image.numpy(), alone, together.numpy(), never)


def change_words(name: str) -> str:
    """A change as people say it.

    >>> change_words("left_right")
    'flip left to right'
    """
    flips = {"left_right": "flip left to right", "up_down": "flip upside down"}
    return flips.get(name, name)


def _alone(name: str, image: Tensor, whole: Policy, draw: tuple[float, torch.Generator]) -> Change:
    strength, generator = draw
    single = Policy(name, border=whole.border, **{name: getattr(whole, name)})
    drawn = augment(_copies(image, N_DRAWS), single, generator, strength)
    moved = (drawn - image).abs().mean(dim=(1, 2, 3))
    most = int(moved.argmax())
    size = getattr(whole, name) * strength
    span = UNITS[name].format(min(size, 1.0) if name in ("left_right", "up_down") else size)
    reason = whole.reasons.get(name, "")
    return Change(name, span.replace("%", " %"), reason, drawn[most].numpy(), float(moved[most]))


def _copies(image: Tensor, n: int) -> Tensor:
    return image.unsqueeze(0).repeat(n, 1, 1, 1)


def _is_left_out(name: str, policy: Policy) -> bool:
    return getattr(policy, name) == 0 and name in policy.reasons
