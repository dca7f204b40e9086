"""The network layer by layer, as the lecture writes it: f = head ∘ global pooling ∘ backbone.

Shapes and receptive fields are found by running the network once on an empty image. The rows are
plain data for the screen, the run folder and the report. The classifier is left as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from pellucid.network.classifier import Classifier, NetworkSpec, target_name
from pellucid.network.ensemble import MEMBERS, SideBySide, of_first_member
from pellucid.network.layers import PADDING_MODES, GlobalPooling
from pellucid.network.receptive_field import FieldTracker, ReceptiveField, watch

MAX_WIDTH = 100
_MODE_NAMES: dict[str, str] = {torchs: ours for ours, torchs in PADDING_MODES.items()}
SIDE_BY_SIDE = "Side by side"
_HEADINGS = ("layer", "what it does", "output", "sees", "parameters")

_KINDS: dict[type[nn.Module], str] = {
    nn.Conv2d: "Convolution",
    nn.BatchNorm2d: "Batch normalisation",
    nn.InstanceNorm2d: "Instance normalisation",
    nn.GroupNorm: "Group normalisation",
    nn.MaxPool2d: "Max pooling",
    nn.AvgPool2d: "Average pooling",
    nn.Linear: "Fully connected",
    nn.LeakyReLU: "Leaky ReLU",
}


@dataclass(frozen=True)
class LayerRow:
    """One layer as it is run. `output_shape` has no batch axis: (C, H, W) or (C,).

    A layer that is run twice has two rows; its parameters count in the first. `multiply_adds` are
    those of one image in convolutions and fully connected layers, the other layers' being few.
    `receptive_field` is what one unit sees, None where that could not be followed; `not_followed`
    says why.
    """

    name: str
    kind: str
    hyperparameters: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int = 0
    receptive_field: ReceptiveField | None = None
    not_followed: str = ""


def network_formula(spec: NetworkSpec) -> str:
    """The composition, to be read from right to left.

    >>> network_formula(NetworkSpec(name="resnet18", channels=1, image_size=64))
    'f = head ∘ global average pooling ∘ resnet18'
    >>> network_formula(NetworkSpec(name="resnet18", channels=1, image_size=64, members=3))
    'f = head ∘ global average pooling ∘ (3 × resnet18)'
    """
    dropout = "dropout ∘ " if spec.dropout else ""
    backbone = spec.called if spec.members == 1 else f"({spec.called})"
    return f"f = head ∘ {dropout}global {spec.global_pooling} pooling ∘ {backbone}"


def summarise(classifier: Classifier, spec: NetworkSpec) -> list[LayerRow]:
    """One row a layer, in the order of execution, for an image as `spec` says.

    The layers of an ensemble are one member's, and a row for the others follows them. Runs one
    empty image through without gradients, in evaluation mode; the modes are put back.
    """
    rows: list[LayerRow] = []
    counted: set[int] = set()
    watch(classifier, spec, partial(_record, rows, counted))
    return rows


def _record(
    rows: list[LayerRow],
    counted: set[int],
    tracker: FieldTracker,
    name: str,
    module: nn.Module,
    output: Tensor,
) -> None:
    if isinstance(module, SideBySide):
        rows.append(_other_members(rows, name, module, output, tracker))
    if list(module.children()) or isinstance(module, nn.Identity) or of_first_member(name) != name:
        return
    fresh = [p for p in module.parameters(recurse=False) if id(p) not in counted]
    counted.update(id(p) for p in fresh)
    if name.startswith("heads."):
        name = f"head of {target_name(name.removeprefix('heads.'))}"
    rows.append(
        LayerRow(
            name,
            _kind(module),
            _hyperparameters(module),
            tuple(output.shape[1:]),
            sum(p.numel() for p in fresh),
            _multiply_adds(module, output),
            tracker.field(output),
            tracker.reason(output),
        )
    )


def _other_members(
    rows: list[LayerRow], name: str, module: SideBySide, output: Tensor, tracker: FieldTracker
) -> LayerRow:
    """The row that stands for all members but the first, whose layers are in the rows."""
    others = len(module.members) - 1
    return LayerRow(
        name,
        SIDE_BY_SIDE,
        f"{others} more of these",
        tuple(output.shape[1:]),
        others * sum(row.parameters for row in rows),
        others * sum(row.multiply_adds for row in rows),
        tracker.field(output),
        tracker.reason(output),
    )


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    """Of one image: each number of the output costs as many as it has weights."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return output[0].numel() * module.weight[0].numel()
    return 0


def _kind(module: nn.Module) -> str:
    if isinstance(module, GlobalPooling):
        return f"Global {module.kind} pooling"
    for layer, kind in _KINDS.items():
        if isinstance(module, layer):
            return kind
    return type(module).__name__


def _hyperparameters(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return _convolution_text(module)
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        window = f"kernel {_by(module.kernel_size)}, stride {_one(module.stride)}"
        return window + (f", padding {_one(module.padding)}" if _one(module.padding) != "0" else "")
    if isinstance(module, nn.Linear):
        bias = "bias" if module.bias is not None else "no bias"
        return f"{module.in_features}→{module.out_features}, {bias}"
    if isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
        return f"{module.num_features}"
    if isinstance(module, nn.GroupNorm):
        return f"{module.num_channels}, groups {module.num_groups}"
    if isinstance(module, nn.Dropout):
        return f"probability {module.p:g}"
    if isinstance(module, nn.LeakyReLU):
        return f"slope {module.negative_slope:g}"
    return ""


def _convolution_text(module: nn.Conv2d) -> str:
    parts = [
        f"{module.in_channels}→{module.out_channels}",
        f"kernel {_by(module.kernel_size)}",
        f"stride {_one(module.stride)}",
        f"padding {_one(module.padding)}",
    ]
    if any(module.padding):
        parts[-1] += f" ({_MODE_NAMES.get(module.padding_mode, module.padding_mode)})"
    if module.groups > 1:
        parts.append(f"groups {module.groups}")
    parts.append("bias" if module.bias is not None else "no bias")
    return ", ".join(parts)


def _pair(value: Any) -> tuple[Any, Any]:
    return (value, value) if isinstance(value, int | str) else (value[0], value[-1])


def _by(value: Any) -> str:
    return "{}×{}".format(*_pair(value))


def _one(value: Any) -> str:
    rows, columns = _pair(value)
    return str(rows) if rows == columns else f"{rows}×{columns}"


def summary_text(rows: Sequence[LayerRow], formula: str = "") -> str:
    """An aligned table of at most 100 columns, below the formula if one is given.

    Stride 1, padding 0 or by zeros, and "no bias" are left out here; the rows themselves hold them.
    "sees" is the side of the receptive field in pixels.
    """
    total = sum(row.parameters for row in rows)
    cells = [_HEADINGS, *map(_cells, rows), ("total", "", "", "", f"{total:,}")]
    widths = [max(len(cell[i]) for cell in cells) for i in range(5)]
    spare = MAX_WIDTH - 8 - sum(widths[2:])
    widths[0] = min(widths[0], max(spare - widths[1], spare // 3))
    widths[1] = min(widths[1], spare - widths[0])
    lines = [formula] if formula else []
    return "\n".join(lines + [_line(cell, widths) for cell in cells])


def _cells(row: LayerRow) -> tuple[str, str, str, str, str]:
    parts = [
        part.removeprefix("kernel ").removesuffix(" (zero)")
        for part in row.hyperparameters.split(", ")
        if part not in ("stride 1", "padding 0", "no bias")
    ]
    what = f"{row.kind} {', '.join(parts)}".strip()
    shape = "×".join(map(str, row.output_shape))
    count = f"{row.parameters:,}" if row.parameters else ""
    name = row.name.removeprefix("backbone.").removeprefix(f"{MEMBERS}.0.")
    return name, what, shape, field_text(row.receptive_field), count


def field_text(field: ReceptiveField | None) -> str:
    """The side of the square that a unit sees, in pixels; "all" once the whole image is pooled.

    >>> field_text(ReceptiveField(7, 2, 0)), field_text(None)
    ('7', '?')
    """
    if field is None:
        return "?"
    return "all" if field.is_whole_image else f"{field.size:g}"


def _line(cell: Sequence[str], widths: Sequence[int]) -> str:
    name, what = cell[0], cell[1]
    if len(name) > widths[0]:
        name = "…" + name[len(name) - widths[0] + 1 :]
    if len(what) > widths[1]:
        what = what[: widths[1] - 1] + "…"
    texts = (f"{name:<{widths[0]}}", f"{what:<{widths[1]}}")
    numbers = (f"{text:>{width}}" for text, width in zip(cell[2:], widths[2:], strict=True))
    return "  ".join((*texts, *numbers)).rstrip()
