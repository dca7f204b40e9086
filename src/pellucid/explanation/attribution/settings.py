"""What each method can be told, checked and made complete: baseline, steps, window, stride.

A baseline is the image that stands for "nothing to see", one value a channel in units of the image,
0 (black) to 1 (white). It decides what a map can show: where image and baseline are equal, nothing
is attributed (Sturmfels et al. 2020, "Visualizing the impact of feature attribution baselines").
The default is the mean that preprocessing takes off, a middle grey, so that neither black nor white
findings are lost. Black suits bright findings on dark ground, such as opacities in a chest X-ray,
where a grey cover can itself look like one. This module knows no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.errors import UsageError, did_you_mean
from pellucid.images.preprocessing import Preprocessing

DEFAULTS: dict[str, dict[str, Any]] = {
    "grad_cam": {},
    "integrated_gradients": {"baseline": "mean", "steps": 50},
    "occlusion": {"baseline": "mean", "window": None, "stride": None},
    "gradient_x_input": {"baseline": "mean"},
}
METHODS = tuple(DEFAULTS)

MAX_STEPS = 10_000
_WINDOWS_ACROSS = 8


def complete_settings(
    method: str, options: Mapping[str, Any], preprocessing: Preprocessing
) -> dict[str, Any]:
    """The method's settings with nothing left open, plain data for a record.

    "baseline" is a list of a value a channel; "window" is an eighth of the image and "stride" half
    the window where not given, both in pixels. Raises `UsageError`.
    """
    if method not in DEFAULTS:
        raise UsageError("Unknown method", repr(method), did_you_mean(method, list(METHODS)))
    settings = dict(DEFAULTS[method])
    for name in options:
        if name not in settings:
            rule = f"{method} has no option of that name"
            raise UsageError(rule, repr(name), did_you_mean(name, list(settings)))
    settings.update(options)
    if "baseline" in settings:
        settings["baseline"] = find_baseline(settings["baseline"], preprocessing)
    if "steps" in settings:
        settings["steps"] = _whole("steps", settings["steps"], MAX_STEPS)
    if "window" in settings:
        size = preprocessing.image_size
        eighth = max(1, round(size / _WINDOWS_ACROSS))
        settings["window"] = _whole("window", settings["window"], size, eighth)
        half = max(1, settings["window"] // 2)
        settings["stride"] = _whole("stride", settings["stride"], settings["window"], half)
    return settings


def find_baseline(
    baseline: str | float | Sequence[float], preprocessing: Preprocessing
) -> list[float]:
    """The value of each channel: of "mean", "black", one number in [0, 1], or one a channel."""
    named = {"mean": preprocessing.mean, "black": (0.0,)}
    rule = f"A baseline is {', '.join(named)}, or one number in [0, 1] for all channels or each"
    if isinstance(baseline, str) and baseline not in named:
        raise UsageError(rule, repr(baseline), did_you_mean(baseline, list(named)))
    given = named[baseline] if isinstance(baseline, str) else baseline
    try:
        values = np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        raise UsageError(rule, repr(baseline)) from None
    n = preprocessing.channels
    if values.shape not in ((1,), (n,)) or not ((values >= 0) & (values <= 1)).all():
        raise UsageError(rule, repr(baseline))
    return [float(value) for value in np.broadcast_to(values, n)]


def _whole(name: str, value: Any, largest: int, default: int | None = None) -> int:
    """A whole number from 1 to `largest`; the default for None."""
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise UsageError(f"{name} is a whole number", repr(value))
    if not 1 <= value <= largest:
        raise UsageError(f"{name} is between 1 and {largest}", str(value))
    return int(value)
