"""Several networks of one build as one classifier, whose logits are the mean of theirs.

The members' feature maps stand side by side as channels, and the head holds the members' heads
divided by their number: pooling and the head are linear in them, so that

    head(features) = 1/M · Σ head_m(features_m)

holds exactly, and an ensemble is still head ∘ pooling ∘ backbone. Whatever looks at a classifier
(explanation, export, prediction) looks at an ensemble in the same way. Source: Lakshminarayanan et
al. 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles", but with
logits averaged, as a geometric mean of the probabilities. Knows no training.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pellucid.network.spec import NetworkSpec

MEMBERS = "members"
_OF_MEMBER = re.compile(rf"^backbone\.{MEMBERS}\.(\d+)\.")


class SideBySide(nn.Module):
    """Backbones of one build; each gets the image, and their maps are joined as channels."""

    def __init__(self, spec: NetworkSpec, build: Callable[[NetworkSpec], nn.Module]) -> None:
        super().__init__()
        alone = spec.model_copy(update={"members": 1})
        self.members = nn.ModuleList([build(alone) for _ in range(spec.members)])
        features: list[int] = [member.n_features for member in self.members]  # type: ignore[misc]
        self.n_features = sum(features)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, H, W) → (n, members · n_features, h, w)."""
        return torch.cat([member(x) for member in self.members], dim=1)


def first_member(backbone: nn.Module) -> nn.Module:
    """The backbone of the first member, or the backbone itself where it is alone."""
    return backbone.members[0] if isinstance(backbone, SideBySide) else backbone


def of_first_member(name: str) -> str:
    """The name of the same module, parameter or buffer in the first member.

    >>> of_first_member("backbone.members.2.layer1.0.bn1"), of_first_member("heads.label")
    ('backbone.members.0.layer1.0.bn1', 'heads.label')
    """
    return _OF_MEMBER.sub(f"backbone.{MEMBERS}.0.", name)


def joined_state(members: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The weights of the ensemble of these classifiers, under its names."""
    state: dict[str, Tensor] = {}
    for number, member in enumerate(members):
        prefix = f"backbone.{MEMBERS}.{number}."
        for name, value in member.state_dict().items():
            if name.startswith("backbone."):
                state[prefix + name.removeprefix("backbone.")] = value
    heads = [
        {name: value for name, value in member.state_dict().items() if name.startswith("heads.")}
        for member in members
    ]
    for name in heads[0]:
        parts = [head[name] for head in heads]
        whole = torch.cat(parts, dim=1) if name.endswith(".weight") else torch.stack(parts).sum(0)
        state[name] = whole / len(members)
    return state
