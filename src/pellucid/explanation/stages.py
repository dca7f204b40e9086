"""Layers in groups: a ResNet's blocks of one stage, a VGG's convolutions between two poolings.

A picture of a network shows stages, since a hundred layers side by side show nothing. The grouping
goes by the names and kinds of the rows alone; it knows no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pellucid.network.receptive_field import ReceptiveField
from pellucid.network.summary import SIDE_BY_SIDE, LayerRow

Kind = Literal["convolution", "pooling", "global pooling", "head"]
_CONTAINERS = ("features", "stages", "blocks", "layers")
_SHORTCUTS = ("downsample", "shortcut")
_POOLINGS = ("Max pooling", "Average pooling")
_PREFIX = re.compile(r"^(backbone\.)?(members\.0\.)?(model\.)?")
_KERNEL = re.compile(r"kernel (\d+×\d+)")


@dataclass(frozen=True)
class Stage:
    """Some layers that a picture shows as one block.

    `shape` is (C, H, W) of its maps, or (C,). `n_convolutions` leaves shortcuts out, and
    `n_blocks` counts repeated blocks, 1 where there are none. `receptive_field` is the last
    layer's.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    n_blocks: int
    n_convolutions: int
    kernels: tuple[str, ...]
    parameters: int
    multiply_adds: int
    receptive_field: ReceptiveField | None


def group_rows(rows: Sequence[LayerRow]) -> tuple[Stage, ...]:
    """The stages of a network's rows, in order."""
    return tuple(_stage(group) for group in _groups(rows))


def _groups(rows: Sequence[LayerRow]) -> Iterator[list[LayerRow]]:
    """A group begins at a layer that computes; norms, activations and dropout join the one before.

    Pooling stands alone where it is a layer between stages, and not inside a block of one.
    """
    group: list[LayerRow] = []
    current = ""
    for row in rows:
        key = _key(row)
        if group and key and key != current:
            yield group
            group = []
        current = key or current
        group.append(row)
    if group:
        yield group


def _key(row: LayerRow) -> str:
    """What the rows of one stage have in common; empty for a row that joins the one before."""
    if row.name.startswith("head of "):
        return "head"
    if row.kind.startswith("Global"):
        return "global pooling"
    if row.kind == SIDE_BY_SIDE:
        return row.name
    parts = short_name(row.name).split(".")
    if row.kind in _POOLINGS and len(parts) <= 2:
        return row.name
    if row.kind not in ("Convolution", "Fully connected", *_POOLINGS):
        return ""
    return _prefix(parts)


def _prefix(parts: Sequence[str]) -> str:
    """The part of a name that says the stage: `layer1`, `features`, `stages.2`."""
    return ".".join(parts[: 2 if parts[0] in _CONTAINERS and len(parts) > 2 else 1])


def short_name(name: str) -> str:
    """A layer's name inside the backbone.

    >>> short_name("backbone.layer1.0.conv1"), short_name("backbone.model.stages.0.blocks.1")
    ('layer1.0.conv1', 'stages.0.blocks.1')
    """
    return _PREFIX.sub("", name)


def _stage(group: Sequence[LayerRow]) -> Stage:
    first, convolutions = group[0], [row for row in group if row.kind == "Convolution"]
    main = [row for row in convolutions if not any(s in row.name for s in _SHORTCUTS)]
    kernels = (found[1] for row in main if (found := _KERNEL.search(row.hyperparameters)))
    key = _key(first)
    kind: Kind = "convolution"
    if key in ("head", "global pooling"):
        kind = "head" if key == "head" else "global pooling"
    elif first.kind in _POOLINGS and not convolutions:
        kind = "pooling"
    shape = (convolutions[-1] if convolutions else first).output_shape
    if kind == "head":
        shape = (sum(row.output_shape[0] for row in group),)
    return Stage(
        name=_name(group, kind),
        kind=kind,
        shape=shape,
        n_blocks=_count_blocks(group),
        n_convolutions=len(main),
        kernels=tuple(sorted(set(kernels))),
        parameters=sum(row.parameters for row in group),
        multiply_adds=sum(row.multiply_adds for row in group),
        receptive_field=group[-1].receptive_field,
    )


def _name(group: Sequence[LayerRow], kind: Kind) -> str:
    """`layer1` for many layers of one parent, `features.5–7` for some of a flat list."""
    if kind in ("head", "global pooling"):
        return kind
    if group[0].kind == SIDE_BY_SIDE:
        return group[0].hyperparameters
    first, last = (short_name(row.name) for row in (group[0], group[-1]))
    parent, _, number = first.rpartition(".")
    if len(group) == 1 or (kind == "convolution" and not parent):
        return first
    if parent == last.rpartition(".")[0] and number.isdecimal():
        return f"{first}–{last.rpartition('.')[2]}"  # the layers of a Sequential
    return _prefix(first.split("."))


def _count_blocks(group: Sequence[LayerRow]) -> int:
    """How many numbered children of the stage there are."""
    prefix = _prefix(short_name(group[0].name).split(".")) + "."
    numbers = set()
    for row in group:
        rest = short_name(row.name).removeprefix(prefix).split(".")[:-1]
        numbers.update(next(([part] for part in rest[:2] if part.isdecimal()), []))
    return max(1, len(numbers))
