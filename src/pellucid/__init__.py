r"""Pellucid: labelled medical images in, a classifier that one can see through out.

The way of the data; each arrow is one verb, the same in Python and on the command line::

    image files ─ read ─▶ pixels ──────────┐
    labels, patients, facts ─ index ───────┴▶ Dataset ─ audit ─▶ findings
    Dataset ─ split by patient ─▶ train │ validation │ test
    Dataset ─ fingerprint ─▶ Plan ─ train ─▶ Run (history, checkpoint, bundle)
    Bundle ─ predict ─▶ Predictions ─ evaluate ─▶ Evaluation ─ report ─▶ report.html
    Bundle ─ explain ─▶ pictures

    import pellucid
    dataset = pellucid.read_dataset("chest_xray", patient_pattern=r"(person\d+|IM-\d+)")
    run = pellucid.train(dataset, out="runs/chest")
    print(run.evaluation["blocks"][0]["metrics"]["auroc"])

Public names load on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "read_image": "pellucid.images.reading",
    "read_dataset": "pellucid.data.index",
    "Dataset": "pellucid.data.index",
    "audit": "pellucid.pipeline",
    "plan": "pellucid.pipeline",
    "train": "pellucid.pipeline",
    "evaluate": "pellucid.judging",
    "compare": "pellucid.judging",
    "report": "pellucid.judging",
    "Asked": "pellucid.judging",
    "Run": "pellucid.pipeline",
    "Plan": "pellucid.training.plan",
    "load_bundle": "pellucid.bundle",
    "Bundle": "pellucid.bundle",
    "predict": "pellucid.prediction",
    "explain": "pellucid.explaining",
    "PellucidError": "pellucid.errors",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pellucid' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
