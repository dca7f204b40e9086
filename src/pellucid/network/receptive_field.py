"""The receptive field: which pixels of the image a unit of a layer can see, exactly.

The lecture's recursion, from the image on: a layer with kernel k, stride s and padding p makes of
size r, step j (the distance of neighbouring units in pixels) and first centre c

    r' = r + (k - 1)·j        j' = j·s        c' = c + ((k - 1)/2 - p)·j

and where branches meet, as in a residual block, the union counts. It is followed through the
functions that the network really runs, so that it holds for any network made of known functions.
Padding by zeros, mirror or wrap gives the same field away from the border; at the border a mirror
shows pixels again and a wrap those of the opposite side. Sources: lecture section "Receptive
field"; Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks".
What a trained network really uses of its field is `explanation.effective_field`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from pellucid.network.classifier import evaluating
from pellucid.network.field_rules import Axis, NotFollowed, Seen, follow, tensors_of


@dataclass(frozen=True)
class ReceptiveField:
    """The square of the image that one unit sees, in pixels of the image.

    `stride` is the distance between the fields of neighbouring units; `start` the centre of the
    first unit's field, where 0 is the centre of the first pixel. Unit i sees the pixels from
    `start + i·stride - (size - 1)/2` to `start + i·stride + (size - 1)/2`; those outside the image
    are padding. `is_whole_image`: the layer knows no place any more (global pooling).
    `is_global`: it also knows means over the whole image (squeeze and excitation, instance or
    group normalisation), beside what it sees in its square.
    """

    size: float
    stride: float
    start: float
    is_whole_image: bool = False
    is_global: bool = False

    def bounds(self, unit: int) -> tuple[float, float]:
        """The first and the last pixel along one axis that the unit sees.

        >>> ReceptiveField(size=7, stride=2, start=0).bounds(3)
        (3.0, 9.0)
        """
        centre, reach = self.start + unit * self.stride, (self.size - 1) / 2
        return centre - reach, centre + reach


class FieldTracker(TorchFunctionMode):
    """While it is active, keeps for every tensor made from `image` what its units see."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self._size = float(image.shape[-1])
        self._seen: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._lost: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._seen[image] = Seen((Axis(0.0, 0.0, 1.0), Axis(0.0, 0.0, 1.0)))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        sources = [t for t in tensors_of(args, kwargs) if t in self._seen or t in self._lost]
        lost = [self._lost[t] for t in sources if t in self._lost]
        known = [self._seen[t] for t in sources if t in self._seen]
        result = func(*args, **kwargs)
        outputs = list(tensors_of((result,), {}))
        if func.__name__ == "__setitem__" and len(sources) > 1:  # a part of it now sees otherwise
            self._lost[args[0]] = "a map that is written into"
        if not sources or not outputs:
            return result
        try:
            if lost:
                raise NotFollowed(lost[0])
            seen = follow(func.__name__, known, args, kwargs, outputs[0])
        except NotFollowed as reason:
            for output in outputs:
                self._lost[output] = str(reason)
        else:
            for output in outputs:
                self._seen[output] = seen
        return result

    def field(self, tensor: Tensor) -> ReceptiveField | None:
        """The field of a tensor's units; None where it could not be followed."""
        if tensor in self._lost or tensor not in self._seen:
            return None
        seen: Seen = self._seen[tensor]
        if seen.axes is None:
            whole = self._size
            return ReceptiveField(whole, whole, (whole - 1) / 2, True, seen.is_global)
        rows, columns = seen.axes
        if rows != columns:
            return None
        size, start = rows.high - rows.low + 1, (rows.low + rows.high) / 2
        return ReceptiveField(size, rows.step, start, False, seen.is_global)

    def reason(self, tensor: Tensor) -> str:
        """Why a tensor has no field; empty where it has one."""
        if self.field(tensor) is not None:
            return ""
        return str(self._lost[tensor]) if tensor in self._lost else "its field is not square"


Record = Callable[[FieldTracker, str, nn.Module, Any], None]


def receptive_fields(classifier: nn.Module, spec: Any) -> dict[str, ReceptiveField]:
    """The field of every module's output by the module's name, `backbone.layer1.0.conv1`.

    Runs one empty image as `spec` says (`channels`, `image_size`). A module that runs twice has the
    field of its last run. One whose field cannot be followed (attention, slices) is not there.
    """
    fields: dict[str, ReceptiveField] = {}
    watch(classifier, spec, partial(_keep, fields))
    return fields


def watch(classifier: nn.Module, spec: Any, record: Record) -> None:
    """Run one empty image as `spec` says, and tell `record` of each module's output and name.

    Without gradients, in evaluation mode; hooks are removed and modes put back.
    """
    device = next(classifier.parameters()).device
    image = torch.zeros(1, spec.channels, spec.image_size, spec.image_size, device=device)
    tracker = FieldTracker(image)
    handles = [
        module.register_forward_hook(
            lambda module, _, output, name=name: record(tracker, name, module, output)
        )
        for name, module in classifier.named_modules()
        if name
    ]
    try:
        with torch.no_grad(), tracker, evaluating(classifier):
            classifier(image)
    finally:
        for handle in handles:
            handle.remove()


def _keep(
    fields: dict[str, ReceptiveField], tracker: FieldTracker, name: str, _: nn.Module, out: Any
) -> None:
    field = tracker.field(out) if isinstance(out, Tensor) else None
    fields.pop(name, None)
    if field is not None:
        fields[name] = field
