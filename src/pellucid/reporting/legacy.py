"""Blocks of older versions of evaluation.json, read as the newest version writes them.

Version 1 held bare calibration figures and no intervals for them; nothing is computed anew.
"""

from __future__ import annotations

from typing import Any

OLD_FIGURES = ("brier", "log_loss", "calibration_error")
NO_INTERVAL = "no interval: this evaluation.json is of version 1"


def upgrade_block(block: dict[str, Any]) -> dict[str, Any]:
    """The block with its calibration as of version 2; a newer block comes back as it is."""
    old = block.get("calibration")
    if not old or "before" in old:
        return block
    figures = {
        key: {"value": old.get(key), "low": None, "high": None, "method": NO_INTERVAL}
        for key in OLD_FIGURES
        if key in old
    }
    calibration = {
        "claim": "positive class" if len(block["classes"]) == 2 else "predicted class",
        "before": {**figures, "bins": old.get("bins") or []},
        "after": None,
        "scaling": None,
        "reason": "",
    }
    return {**block, "calibration": calibration}
