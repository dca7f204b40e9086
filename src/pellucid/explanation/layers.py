"""Layers by name: which there are, which are worth showing, and what each gives for an image.

A name is the module's in the backbone: `layer4.2.bn2`, `features.29`, `0.conv`; with `backbone.`
before it, it is the same layer. Three names are ours: `backbone` is its whole output, `pooled` what
the head gets, and `logits` the classifier's answer. In an ensemble a layer is that of all members,
whose maps stand side by side as channels; `members.0.layer4` is one member's. The classifier is
left exactly as it was found. This module knows no image, no preprocessing and no task.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import UsageError, did_you_mean
from pellucid.network.classifier import Classifier, NetworkSpec, evaluating
from pellucid.network.ensemble import MEMBERS, SideBySide, first_member
from pellucid.network.spec import RESNETS, TIMM, VGGS

BACKBONE, POOLED, LOGITS = "backbone", "pooled", "logits"
_PREFIX = "backbone."
_TIMM_PREFIX = "model."  # where TimmBackbone keeps timm's network


def layer_names(classifier: Classifier) -> list[str]:
    """Every module of the backbone, in the order of its making, without `backbone.`.

    Of an ensemble those of one member, since all are built alike.
    """
    return [name for name, _ in first_member(classifier.backbone).named_modules() if name]


def full_name(classifier: Classifier, name: str) -> str:
    """The layer's name among all of the classifier's modules, such as `backbone.layer1.0.conv1`.

    Of an ensemble it is the first member's, unless the name says whose. Raises `UsageError` when
    there is no such layer; the message lists the stages.
    """
    ours = {BACKBONE: BACKBONE, POOLED: "pooling", LOGITS: ""}
    if name in ours:
        return ours[name]
    short = name.removeprefix(_PREFIX)
    modules = dict(classifier.backbone.named_modules())
    own = f"{MEMBERS}.0." if isinstance(classifier.backbone, SideBySide) else ""
    for candidate in (short, own + short, own + _TIMM_PREFIX + short):
        if candidate and candidate in modules:
            return _PREFIX + candidate
    raise _unknown_layer(classifier, name)


def find_modules(classifier: Classifier, name: str) -> list[nn.Module]:
    """The modules of a layer, one a member; raises `UsageError` when there is no such layer."""
    whole, first = full_name(classifier, name), f"{_PREFIX}{MEMBERS}.0."
    names = [whole]
    if whole.startswith(first) and not name.removeprefix(_PREFIX).startswith(f"{MEMBERS}."):
        rest = whole.removeprefix(first)
        names = [f"{_PREFIX}{MEMBERS}.{k}.{rest}" for k in range(classifier.spec.members)]
    return [classifier.get_submodule(each) for each in names]


def last_convolutional_layer(classifier: Classifier) -> str:
    """The layer whose output global pooling gets: `layer4`, `features.30`; the last stage."""
    return stages(classifier, classifier.spec)[-1]


def stages(classifier: Classifier, spec: NetworkSpec) -> list[str]:
    """The layers worth showing, from the first to the one whose output global pooling gets.

    `plain`: every block. VGG: before each pooling, and the last pooling. ResNet: the first
    activation, then the four groups of blocks. timm: the stages that it names itself, else the
    children of the network. Where the last of them is not yet what is pooled, the layer that gives
    it follows; it is found by running the network, and is `backbone` where no module gives it.
    """
    if spec.name == "plain":
        return [name for name, _ in first_member(classifier.backbone).named_children()]
    if spec.name in VGGS:
        return _vgg_stages(first_member(classifier.backbone))
    if spec.name in RESNETS:
        return ["relu", "layer1", "layer2", "layer3", "layer4"]
    names = layer_names(classifier)
    outputs = _outputs(classifier, [BACKBONE, *names])
    named = [name for name in _timm_stages(classifier) if _is_map(outputs.get(name), True)]
    final = [name for name in names if _are_equal(outputs.get(name), outputs[BACKBONE])]
    if named and named[-1] in final:
        return named
    return [*named, (final or [BACKBONE])[0]]


def capture(
    classifier: Classifier, x: Tensor, names: Sequence[str], *, gradients: bool = False
) -> dict[str, Tensor]:
    """The outputs of layers for normalised images `x` (n, C, S, S): name → (n, channels, h, w).

    `pooled` gives (n, n_features) and `logits` (n, n_logits). With `gradients` the outputs hang in
    one graph with `x`; without, they are detached. Of a layer that runs more than once
    (`relu` of a ResNet block) the last run counts. What later layers do in place does not reach
    an output. Raises `UsageError` for an unknown layer, one that does not run, or one whose output
    is no map (channel, row, column).
    """
    parts = capture_members(classifier, x, names, gradients=gradients)
    return {name: _side_by_side(outputs) for name, outputs in parts.items()}


def capture_members(
    classifier: Classifier, x: Tensor, names: Sequence[str], *, gradients: bool = False
) -> dict[str, tuple[Tensor, ...]]:
    """As `capture`, with one output a member of an ensemble, in the order of their channels.

    With `gradients`, `torch.autograd.grad(score_of_logits, outputs["layer4"])` works even where no
    parameter asks for gradients.
    """
    modules = {name: find_modules(classifier, name) for name in names}
    seen: dict[tuple[str, int], Tensor] = {}
    if gradients and not x.requires_grad:
        x = x.clone().requires_grad_()
    with torch.set_grad_enabled(gradients), _hooked(modules, seen), evaluating(classifier):
        classifier(x)
    is_square = x.shape[-1] == x.shape[-2]
    for name in names:
        if (name, 0) not in seen:
            raise _no_map(classifier, name, "it does not run")
        if name not in (POOLED, LOGITS) and not _is_map(seen[name, 0], is_square):
            raise _no_map(classifier, name, f"the shape {_shape(seen[name, 0])}")
    return {name: tuple(seen[name, k] for k in range(len(modules[name]))) for name in names}


@contextmanager
def _hooked(
    modules: dict[str, list[nn.Module]], seen: dict[tuple[str, int], Any]
) -> Iterator[None]:
    """Put the output of each module into `seen` under its name and member, for a while."""
    handles = []
    try:
        for name, members in modules.items():
            for number, module in enumerate(members):
                keep = partial(_keep, seen, (name, number))
                handles.append(module.register_forward_hook(keep))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _side_by_side(outputs: Sequence[Tensor]) -> Tensor:
    return outputs[0] if len(outputs) == 1 else torch.cat(list(outputs), dim=1)


def _keep(
    seen: dict[tuple[str, int], Any],
    key: tuple[str, int],
    module: nn.Module,
    inputs: Any,
    output: Any,
) -> Any:
    """Keep the output and hand on a copy, which later layers may change in place."""
    seen[key] = output
    return output.clone() if isinstance(output, Tensor) else None


def _outputs(classifier: Classifier, names: Sequence[str]) -> dict[str, Any]:
    """What the layers give for one image of noise; a layer that does not run is left out."""
    spec = classifier.spec
    shape = (1, spec.channels, spec.image_size, spec.image_size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    seen: dict[tuple[str, int], Any] = {}
    modules = {name: find_modules(classifier, name) for name in names}
    with torch.no_grad(), _hooked(modules, seen), evaluating(classifier):
        classifier.features(noise.to(next(classifier.parameters()).device))
    outputs: dict[str, Any] = {}
    for name, members in modules.items():
        parts = [seen[name, k] for k in range(len(members)) if (name, k) in seen]
        if parts and all(isinstance(part, Tensor) for part in parts):
            outputs[name] = _side_by_side(parts)
    return outputs


def _vgg_stages(backbone: nn.Module) -> list[str]:
    """The layer before each pooling, the last activation of a size; and the last pooling."""
    layers = list(backbone.features)  # type: ignore[arg-type]
    poolings = [k for k, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    return [f"features.{k}" for k in (*(k - 1 for k in poolings), poolings[-1])]


def _timm_stages(classifier: Classifier) -> list[str]:
    """The modules that timm's `feature_info` names, or else the children of the network."""
    model: Any = first_member(classifier.backbone).model
    info = getattr(model, "feature_info", None) or ()
    known = layer_names(classifier)
    told = [_TIMM_PREFIX + str(stage["module"]) for stage in info]
    children = [_TIMM_PREFIX + name for name, _ in model.named_children()]
    return [name for name in told if name in known] or children


def _is_map(output: Any, is_square: bool) -> bool:
    """(n, channels, h, w). Of a square image rows equal columns, where channels are not last."""
    if not isinstance(output, Tensor) or output.ndim != 4:
        return False
    return not is_square or output.shape[2] == output.shape[3]


def _are_equal(one: Any, other: Any) -> bool:
    return isinstance(one, Tensor) and one.shape == other.shape and torch.equal(one, other)


def _shape(output: Any) -> str:
    return str(tuple(output.shape[1:])) if isinstance(output, Tensor) else type(output).__name__


def _no_map(classifier: Classifier, name: str, found: str) -> UsageError:
    rule = f"The layer {name!r} gives no map (channel, row, column)"
    return UsageError(rule, found, _stages_text(classifier))


def _unknown_layer(classifier: Classifier, name: str) -> UsageError:
    near = did_you_mean(name.removeprefix(_PREFIX), layer_names(classifier))
    hint = f"{near} " if near.startswith("Did") else ""
    rule = f"{classifier.spec.name.removeprefix(TIMM)} has no such layer"
    return UsageError(rule, repr(name), hint + _stages_text(classifier))


def _stages_text(classifier: Classifier) -> str:
    return f"Its stages are {', '.join(stages(classifier, classifier.spec))}."
