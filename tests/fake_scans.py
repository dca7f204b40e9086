"""Pictures of one kind, drawn, and the guard that knows them: for tests of bundles and servers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pellucid.bundle.guard import fit_guard


def scans(n: int, seed: int) -> np.ndarray:
    """Bright discs on a shade, uint8 (n, 128, 128): what the tiny model was trained on."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:128, :128]
    found = np.zeros((n, 128, 128), np.uint8)
    for view in found:
        y, x, r = generator.uniform((40, 40, 15), (88, 88, 30))
        shade = 60 + 0.3 * rows + generator.normal(0, 6, (128, 128))
        view[:] = np.clip(shade + 110.0 * (np.hypot(rows - y, columns - x) < r), 0, 255)
    return found


def scan_guard(n: int = 200, **changes: Any) -> Any:
    """The guard of those scans."""
    row = {"width": 128, "height": 128, "colourfulness": 0.0, "pixel_digest": "x", **changes}
    groups = np.array([f"p{number // 2}" for number in range(n)], dtype=object)
    return fit_guard(scans(n, 1), np.arange(n), pd.DataFrame([row] * n), groups)
