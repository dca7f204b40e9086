"""What a bundle's guard refuses: images of its own kind, and of other kinds.

    python benchmarks/guard.py FOLDER… --json benchmarks/results/guard.json

A source is a class folder or a MedMNIST archive; `NAME=PATTERN` with `--patients` says how a source
names patients. A guard is fitted on the train and validation part of each source of at least 50
images and asked about its own test part, about that part changed (upside down, inverted, turned,
darker), and about every other source. Nothing of a test part has a say in the guard.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from machine import publish

MOST = 600  # images of another source


def look(source: Path, pattern: str | None) -> tuple[Any, Any]:
    """The dataset with a split, and its decoded pictures."""
    from pellucid.data.cache import build_cache
    from pellucid.data.index import read_dataset
    from pellucid.data.split import assign_splits
    from pellucid.images.preprocessing import Preprocessing

    dataset = read_dataset(source, **({"patient_pattern": pattern} if pattern else {}))
    cache = build_cache(dataset, Preprocessing(image_size=32, channels=1))
    if "split" not in dataset.table or dataset.table["split"].isna().all():
        dataset, _ = assign_splits(dataset, seed=0)
    return dataset, cache


def changed(views: np.ndarray) -> dict[str, np.ndarray]:
    """The same pictures, changed in ways that a guard may or may not see."""
    return {
        "upside down": views[:, ::-1],
        "a quarter turned": np.rot90(views, 1, (1, 2)),
        "inverted": 255 - views,
        "half as bright": views // 2,
    }


def rows_of(sources: dict[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    from pellucid.bundle.guard import fit_guard

    rows = []
    for name, (dataset, cache) in sources.items():
        split, readable = dataset.table["split"].to_numpy(), cache.readable
        used = np.flatnonzero(np.isin(split, ["train", "validation"]) & readable)
        patients = dataset.table["patient_id"].to_numpy(dtype=object)[used]
        guard = fit_guard(cache.views, used, cache.facts, patients)
        if guard is None:
            continue
        test = np.flatnonzero((split == "test") & readable)
        shown = {"its own test part": cache.views[test]}
        shown |= changed(cache.views[test])
        for other, (own, its) in sources.items():
            if other != name:
                for part, views in parts_of(other, own, its).items():
                    shown[part] = views
        for what, views in shown.items():
            odd = guard.oddness(np.ascontiguousarray(views)) > guard.facts["limit"]
            rows.append(
                {
                    "guard of": name,
                    "fitted on": len(used),
                    "asked about": what,
                    "images": len(views),
                    "refused": round(float(odd.mean()), 4),
                }
            )
    return rows


def parts_of(name: str, dataset: Any, cache: Any) -> dict[str, np.ndarray]:
    """Another source's pictures; by class where the classes are kinds of pictures."""
    readable = np.flatnonzero(cache.readable)
    if len(dataset.task.targets) == 1 and name == "mednist":
        labels = dataset.table[dataset.task.targets[0].name].to_numpy()[readable]
        kinds = dataset.task.targets[0].classes
        return {f"{name}: {kind}": cache.views[readable[labels == kind]][:MOST] for kind in kinds}
    step = max(1, len(readable) // MOST)
    return {name: cache.views[readable[::step]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("--patients", nargs="*", default=[], metavar="NAME=PATTERN")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    patterns = dict(text.split("=", 1) for text in options.patients)
    sources = {path.stem: look(path, patterns.get(path.stem)) for path in options.sources}
    names = " ".join(path.name for path in options.sources)
    publish(rows_of(sources), f"python benchmarks/guard.py {names}", options.json)


if __name__ == "__main__":
    main()
