"""How many planted copies the audit finds, and how often it calls strangers copies.

Of each data set a random half of the patients reports (`half=1`), the other half is what the
threshold was set on (`half=0`). In each, copies of sampled pictures are planted one way at a time,
read like any file, and looked for among all pictures. A false alarm is a picture that is linked to
one of another known patient, or a planted copy linked to anything but its original. `strict` is
the recall above the similarity that at most 1 in 1,000 pictures reaches as a false alarm.

python benchmarks/near_duplicates.py DATA [--pattern REGEX] --json FILE      recall and false alarms
python benchmarks/near_duplicates.py --scale 1000000 --json FILE            the search alone
"""

from __future__ import annotations

import argparse
import hashlib
import io
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scipy.stats import binomtest

from machine import publish
from pellucid.auditing.copies import Copies, find_copies
from pellucid.auditing.resemblance import SIMILAR, find_candidates
from pellucid.data.cache import build_cache
from pellucid.data.index import Dataset, read_dataset
from pellucid.images.preprocessing import Preprocessing
from pellucid.images.reading import read_image

Picture = Image.Image
Random = np.random.Generator


def resized(picture: Picture, share: float) -> Picture:
    size = (max(8, round(picture.width * share)), max(8, round(picture.height * share)))
    return picture.resize(size, Image.Resampling.BICUBIC)


def compressed(picture: Picture, quality: int) -> Picture:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("L")


def regraded(picture: Picture, contrast: float, gamma: float) -> Picture:
    grey = (np.asarray(picture, dtype=np.float32) / 255) ** gamma
    return Image.fromarray(np.uint8(255 * ((grey - 0.5) * contrast + 0.55).clip(0, 1)))


def cropped(picture: Picture, random: Random, least: float = 0.0) -> Picture:
    left, right, top, bottom = random.uniform(least, 0.05, 4)
    width, height = picture.size
    box = (left * width, top * height, width - right * width, height - bottom * height)
    return picture.crop(tuple(round(edge) for edge in box))


def written_on(picture: Picture) -> Picture:
    marked, (width, height) = picture.copy(), picture.size
    draw = ImageDraw.Draw(marked)
    draw.text(
        (0.05 * width, 0.05 * height), "PORTABLE 12:30 R", 255, font_size=max(8, height // 14)
    )
    draw.text((0.6 * width, 0.85 * height), "L AP", 255, font_size=max(8, height // 10))
    return marked


COPIES: dict[str, Callable[[Picture, Random], Picture]] = {
    "as PNG": lambda picture, _: picture,
    "resized to 0.4": lambda picture, _: resized(picture, 0.4),
    "resized to 2": lambda picture, _: resized(picture, 2),
    "JPEG quality 30": lambda picture, _: compressed(picture, 30),
    "JPEG quality 60": lambda picture, _: compressed(picture, 60),
    "gamma 0.7, contrast 0.7": lambda picture, _: regraded(picture, 0.7, 0.7),
    "gamma 1.3, contrast 1.4": lambda picture, _: regraded(picture, 1.4, 1.3),
    "cropped by 0 to 5 % a side": lambda picture, random: cropped(picture, random),
    "cropped by 5 % at every side": lambda picture, random: cropped(picture, random, 0.05),
    "written on": lambda picture, _: written_on(picture),
    "crop, 0.5, contrast, JPEG 50, text": lambda picture, random: written_on(
        compressed(regraded(resized(cropped(picture, random), 0.5), 0.8, 0.8), 50)
    ),
}


def half_of(dataset: Dataset, half: int) -> Dataset:
    """Half of the patients, by a hash of their ids."""
    last = [hashlib.blake2b(name.encode()).digest()[0] % 2 for name in dataset.table["patient_id"]]
    table = dataset.table[np.array(last) == half].reset_index(drop=True)
    return replace(dataset, table=table)


def plant(dataset: Dataset, sample: pd.DataFrame, kind: str, folder: Path) -> Dataset:
    """The dataset with a copy of each sampled picture at its end, as files."""
    random = np.random.default_rng(1)
    rows = []
    for row in sample.to_dict("records"):
        pixels = read_image(row["image_path"], int(row["frame"])).pixels
        grey = Image.fromarray(np.uint8(255 * pixels.mean(axis=0) + 0.5))
        path = folder / f"{len(rows)}.png"
        COPIES[kind](grey, random).save(path)
        rows.append({**row, "image_id": f"copy {len(rows)}", "image_path": str(path), "frame": 0})
    table = pd.concat([dataset.table, pd.DataFrame(rows)], ignore_index=True)
    return replace(dataset, table=table)


def look(dataset: Dataset) -> tuple[Copies, float]:
    cache = build_cache(dataset, Preprocessing(image_size=16, channels=1))
    started = time.perf_counter()
    copies = find_copies(cache)
    return copies, time.perf_counter() - started


def strangers(dataset: Dataset, copies: Copies) -> int:
    """How many pictures are linked to one of another patient."""
    patients = dataset.table["patient_id"].to_numpy(dtype=object)[copies.pairs]
    return len(np.unique(copies.pairs[patients[:, 0] != patients[:, 1]]))


def measure(dataset: Dataset, half: int, n_planted: int) -> list[dict[str, Any]]:
    part = half_of(dataset, half)
    own, seconds = look(part)
    original = own.groups(len(part.table))  # pictures that are copies of each other already
    alarms = strangers(part, own) if dataset.patients_known else "unknown"
    rows = [
        {"data": dataset.name, "half": half, "copies": "none", "pictures": len(part.table)}
        | {"found": len(own.pairs), "recall": "", "interval": "", "false_alarms": alarms}
        | {"strict": ""}
        | {"s_per_1000": round(1000 * seconds / len(part.table), 1)}
    ]
    sample = part.table.sample(min(n_planted, len(part.table)), random_state=0)
    sources = sample.index.to_numpy()
    for kind in COPIES:
        with tempfile.TemporaryDirectory() as folder:
            planted = plant(part, sample, kind, Path(folder))
            copies, seconds = look(planted)
        links = copies.pairs[copies.pairs[:, 1] >= len(part.table)]
        shows = np.concatenate([original, original[sources]])[links]  # which picture each is
        right = shows[:, 0] == shows[:, 1]
        hit = right & (links[:, 0] < len(part.table))
        alike = copies.similarity[copies.pairs[:, 1] >= len(part.table)]
        alarms = np.sort(alike[~right])[::-1]
        allowed = len(planted.table) // 1000
        strict = alike > (alarms[allowed] if len(alarms) > allowed else 0)
        found = len(np.unique(links[hit, 1]))
        strictly = len(np.unique(links[hit & strict, 1]))
        low, high = binomtest(found, len(sample)).proportion_ci(method="wilson")
        rows.append(
            {"data": dataset.name, "half": half, "copies": kind, "pictures": len(planted.table)}
            | {"found": found, "recall": round(found / len(sample), 3)}
            | {"interval": f"{low:.3f}-{high:.3f}", "false_alarms": len(alarms)}
            | {"strict": round(strictly / len(sample), 3)}
            | {"s_per_1000": round(1000 * seconds / len(planted.table), 1)}
        )
        print(rows[-1], flush=True)
    return rows


def scale(n: int) -> list[dict[str, Any]]:
    """The search for candidates alone, among n clustered unit vectors, some of them copies."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(2000, 128)).astype(np.float32)
    vectors = centres[random.integers(0, 2000, n)]
    vectors += random.normal(scale=1.5, size=(n, 128)).astype(np.float32)
    vectors[n // 2 : n // 2 + 1000] = vectors[:1000] + random.normal(
        scale=0.5, size=(1000, 128)
    ).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    started = time.perf_counter()
    pairs = find_candidates(np.stack([vectors, vectors]))
    seconds = time.perf_counter() - started
    planted = set(zip(range(1000), range(n // 2, n // 2 + 1000), strict=True))
    hits = planted & set(map(tuple, pairs.tolist()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [
        {"vectors": n, "pairs": len(pairs), "planted_found": len(hits), "of": 1000}
        | {"seconds": round(seconds, 1), "peak_GiB": round(peak, 2)}
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*")
    parser.add_argument("--pattern", action="append", default=[], help="NAME=REGEX of patients")
    parser.add_argument("--planted", type=int, default=200)
    parser.add_argument("--scale", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.scale:
        publish(scale(options.scale), f"near_duplicates.py --scale {options.scale}", options.json)
        return
    patterns = dict(entry.split("=", 1) for entry in options.pattern)
    rows = []
    for source in options.data:
        dataset = read_dataset(source, patient_pattern=patterns.get(Path(source).name))
        for half in (0, 1):
            rows += measure(dataset, half, options.planted)
    words = [Path(source).name for source in options.data]
    words += [f"--pattern '{pattern}'" for pattern in options.pattern]
    words += [f"--planted {options.planted} (similarity of {SIMILAR} and more)"]
    publish(rows, " ".join(["near_duplicates.py", *words]), options.json)


if __name__ == "__main__":
    main()
