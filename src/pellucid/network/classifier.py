"""The classifier f = head ∘ global pooling ∘ backbone, one fully connected block a target.

It takes normalised images and gives logits; what the logits mean is the task's matter
(`pellucid.outputs`). This module does not know how the classifier is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pellucid.network.backbones import build_backbone
from pellucid.network.ensemble import joined_state
from pellucid.network.layers import GlobalPooling
from pellucid.network.spec import (
    Block,
    NetworkSpec,
    check_image_size,
    minimum_image_size,
    target_name,
)
from pellucid.network.weights import LoadedWeights, load_weights
from pellucid.task import Task

__all__ = [
    "Block",
    "Classifier",
    "NetworkSpec",
    "build_classifier",
    "evaluating",
    "head_name",
    "join",
    "minimum_image_size",
    "normalise",
    "scale_logits",
    "target_name",
]


class Classifier(nn.Module):
    """Images (n, C, H, W), float and normalised → logits (n, task.n_logits).

    The columns are ordered as `task.slices()` says. `loaded` tells what pretrained weights were
    taken over, or is None.
    """

    def __init__(self, spec: NetworkSpec, task: Task) -> None:
        super().__init__()
        self.spec, self.task = spec, task
        self.loaded: LoadedWeights | None = None
        self.backbone = build_backbone(spec)
        self.pooling = GlobalPooling(spec.global_pooling)
        self.dropout = nn.Dropout(spec.dropout) if spec.dropout else nn.Identity()
        n_features = int(self.backbone.n_features)  # type: ignore[arg-type]
        self.heads = nn.ModuleDict(
            {head_name(t.name): nn.Linear(n_features, t.n_logits) for t in task.targets}
        )

    def features(self, x: Tensor) -> Tensor:
        """The feature map (n, n_features, h, w), before global pooling."""
        features: Tensor = self.backbone(x)
        return features

    def judge(self, features: Tensor) -> Tensor:
        """Logits (n, task.n_logits) of a feature map: each target's block, side by side."""
        pooled = self.dropout(self.pooling(features))
        return torch.cat([head(pooled) for head in self.heads.values()], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, task.n_logits) of images."""
        return self.judge(self.features(x))


def build_classifier(
    spec: NetworkSpec, task: Task, *, weights: str | None = None, seed: int = 0
) -> Classifier:
    """A classifier with weights drawn from `seed`, its backbone's replaced by `weights` if given.

    `weights` is a `.safetensors`, `.pth` or `.pt` file, or "imagenet". The global random state
    stays as it was. Raises `PlanError` when the image is smaller than the network needs, and
    what `load_weights` raises.
    """
    check_image_size(spec)
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also reseed the GPUs, whose state is not kept here.
        torch.default_generator.manual_seed(seed)
        classifier = Classifier(spec, task)
    if weights:
        classifier.loaded = load_weights(classifier.backbone, weights, spec.name)
    return classifier


def join(members: Sequence[Classifier]) -> Classifier:
    """The ensemble of classifiers of one build: its logits are the mean of theirs.

    One alone is given back as it is.
    """
    if len(members) == 1:
        return members[0]
    spec = members[0].spec.model_copy(update={"members": len(members)})
    ensemble = build_classifier(spec, members[0].task)
    ensemble.load_state_dict(joined_state(members))
    ensemble.loaded = members[0].loaded
    return ensemble.eval()


def scale_logits(head: nn.Module, slope: float, intercepts: Sequence[float]) -> None:
    """Make a head say slope · z + intercept instead of z, with an intercept a logit."""
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(slope)
        bias = head.get_parameter("bias")
        bias.add_(torch.tensor(tuple(intercepts), dtype=bias.dtype, device=bias.device))


@contextmanager
def evaluating(classifier: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every module gets back the mode it had."""
    modes = {module: module.training for module in classifier.modules()}
    try:
        classifier.eval()
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(x / 255 - mean) / std: uint8 (n, C, H, W) → float32, one value or one a channel.

    The twin of `pellucid.images.preprocessing.normalise`.
    """
    centre = torch.tensor(tuple(mean), dtype=torch.float32, device=pixels.device).view(-1, 1, 1)
    spread = torch.tensor(tuple(std), dtype=torch.float32, device=pixels.device).view(-1, 1, 1)
    return (pixels.to(torch.float32) / 255.0 - centre) / spread


def head_name(target: str) -> str:
    """A target's name as the key of a ModuleDict; `target_name` gives it back.

    A key may not hold a dot, be empty or be the name of one of ModuleDict's own attributes.

    >>> head_name("finding.2"), head_name("type"), head_name("label")
    ('finding%2E2', '%74ype', 'label')
    """
    key = target.replace("%", "%25").replace(".", "%2E")
    if hasattr(nn.ModuleDict(), key):
        key = f"%{ord(key[0]):02X}{key[1:]}"
    return key or "%"
