"""Inside the network, for one image: anatomy, feature maps, and what a unit of them sees.

Needs torch. A model's bundle is loaded once, when it is first looked into.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from pellucid.bundle.files import BundleFiles
from pellucid.errors import MissingPackage, UsageError
from pellucid.images.preprocessing import placed
from pellucid.serving.answers import Looked
from pellucid.serving.models import Served

MAPS_SHOWN, WALK_MAPS, FEATURES_SHOWN = 24, 6, 6
_LEAST_SIDE = 56  # pixels of a map as it is sent; smaller ones are enlarged without smoothing
METHODS = ("grad_cam", "integrated_gradients", "gradient_x_input")  # those that answer at once
LAST_LAYER = "last_layer"  # Grad-CAM of the last layer, which a bundle's graph gives without torch
_P = ParamSpec("_P")
_T = TypeVar("_T")
_loading = threading.Lock()
_looking = threading.Lock()
_bundles: dict[str, Any] = {}
_rows: dict[str, dict[str, int]] = {}


def has_torch() -> bool:
    """Whether there is a torch to look inside with."""
    return find_spec("torch") is not None


def load(served: Served) -> Any:
    """The bundle by torch; raises `MissingPackage` without it."""
    if not has_torch():
        remedy = 'Install it: pip install "pellucid[train]"'
        raise MissingPackage("Looking inside needs the package torch", "", remedy)
    if not isinstance(served.opened.source, BundleFiles):
        return served.opened.source
    from pellucid.bundle.artefact import load_from

    with _loading:
        if served.digest not in _bundles:
            _bundles[served.digest] = load_from(served.opened.source)
        return _bundles[served.digest]


def _alone(look: Callable[_P, _T]) -> Callable[_P, _T]:
    """One look at a time: what a layer gives is caught by hooks on a network that all share."""

    @wraps(look)
    def alone(*arguments: _P.args, **named: _P.kwargs) -> _T:
        with _looking:
            return look(*arguments, **named)

    return alone


@_alone
def anatomy(served: Served) -> dict[str, Any]:
    """Every layer with its cost and what it sees, and the stages whose maps are worth showing."""
    from pellucid.explanation.anatomy import anatomy as take_apart
    from pellucid.explanation.layers import stages

    bundle = load(served)
    found: dict[str, Any] = take_apart(bundle).to_json()
    return {**found, "stages": stages(bundle.classifier, bundle.spec)}


@_alone
def maps(served: Served, looked: Looked, layer: str) -> dict[str, Any]:
    """The strongest maps of a layer for an image, and the field of its units on the image."""
    from pellucid.explanation.feature_maps import feature_maps, unit_fields

    bundle = load(served)
    found = feature_maps(bundle, looked.pixels[np.newaxis], layer)
    n, rows, columns = found.maps.shape[1:]
    field = unit_fields(bundle, {layer: rows})[layer]
    chosen = found.strongest(MAPS_SHOWN)
    height, width = looked.image.pixels.shape[1:]
    full = float(np.abs(found.maps[0, chosen]).max()) or 1.0
    shown = [
        {
            "channel": channel,
            "strength": round(float(found.strengths[0, channel]), 5),
            "png": _png(found.maps[0, channel] / full, signed=found.is_signed),
        }
        for channel in chosen
    ]
    return {
        "layer": layer,
        "channels": n,
        "rows": rows,
        "columns": columns,
        "full_scale": full,
        "is_signed": found.is_signed,
        "field": {
            "size": field.size,
            "stride": field.stride,
            "start": field.start,
            "is_whole_image": field.is_whole_image,
        },
        "image_size": bundle.spec.image_size,
        "placed": placed(height, width, bundle.preprocessing)._asdict(),
        "maps": shown,
    }


@_alone
def walk(served: Served, looked: Looked) -> dict[str, Any]:
    """From edges to disease: the strongest maps of every stage, and what a logit is the sum of."""
    from pellucid.explanation.walk import walk as follow

    found = follow(load(served), looked.pixels, channels=WALK_MAPS)
    return {
        "stages": [_stage(stage) for stage in found.stages],
        "pooling": found.pooling,
        "n_features": len(found.pooled),
        "logits": [_sum(parts) for parts in found.logits],
    }


def _stage(stage: Any) -> dict[str, Any]:
    """The strongest maps of a stage, on one scale."""
    full = float(np.abs(stage.maps).max()) or 1.0
    signed = bool((stage.maps < 0).any())
    return {
        "layer": stage.layer,
        "shape": list(stage.shape),
        "sees": stage.field.size,
        "is_whole_image": stage.field.is_whole_image,
        "maps": [
            {"channel": channel, "png": _png(values / full, signed=signed)}
            for channel, values in zip(stage.channels, stage.maps, strict=True)
        ],
    }


def _sum(parts: Any) -> dict[str, Any]:
    """A logit as the features that move it most, all others, and the bias."""
    moves, first = parts.contributions, parts.strongest(FEATURES_SHOWN)
    return {
        "target": parts.target,
        "of_class": parts.label,
        "value": float(parts.logit),
        "bias": float(parts.bias),
        "features": [{"channel": channel, "adds": float(moves[channel])} for channel in first],
        "others": float(moves.sum() - moves[first].sum()),
    }


def methods() -> list[str]:
    """The heat maps that there are, the one to begin with first."""
    return [*METHODS, LAST_LAYER] if has_torch() else [LAST_LAYER]


@_alone
def attribute(
    served: Served, looked: Looked, target: str, of_class: str, method: str
) -> tuple[npt.NDArray[np.float32], str]:
    """A map (S, S) by one of torch's methods, signed but for Grad-CAM, and the layer it is of."""
    if method not in METHODS:
        raise UsageError("The method is one of the page's", repr(method), ", ".join(methods()))
    from pellucid.explanation.attribution.attribute import attribute as explain
    from pellucid.explanation.goals import find_goal

    bundle = load(served)
    goal = find_goal(bundle.task, target, of_class)
    found = explain(bundle, looked.pixels[np.newaxis], goal, method)
    return np.asarray(found.values[0], dtype=np.float32), found.layer


@_alone
def rows_of(served: Served, layer: str) -> int | None:
    """How many rows the maps of a stage have; None for no layer. The network is asked once."""
    if not layer:
        return None
    if served.digest not in _rows:
        _rows[served.digest] = _rows_of_stages(load(served))
    return _rows[served.digest][layer]


def _rows_of_stages(bundle: Any) -> dict[str, int]:
    from pellucid.explanation.layers import stages
    from pellucid.explanation.walk import walk as follow

    side, channels = bundle.preprocessing.image_size, bundle.preprocessing.channels
    found = follow(bundle, np.zeros((channels, side, side), np.uint8), channels=1).stages
    names = stages(bundle.classifier, bundle.spec)
    return {name: stage.shape[1] for name, stage in zip(names, found, strict=True)}


def _png(values: npt.NDArray[np.floating], *, signed: bool) -> str:
    """A map in [-1, 1] or [0, 1] as a grey PNG, base64: of a signed one grey is 0."""
    shares = (values + 1) / 2 if signed else values
    grey = Picture.fromarray(np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8))
    factor = -(-_LEAST_SIDE // max(grey.size))
    enlarged = grey.resize((factor * grey.width, factor * grey.height), Picture.Resampling.NEAREST)
    buffer = io.BytesIO()
    enlarged.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()
