"""Small labelled pictures on disk, for tests that walk the whole way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 16
PATTERN = r"(p\d+)"


def draw_folder(
    root: Path, classes: tuple[str, ...] = ("ill", "well"), patients: int = 12, seed: int = 0
) -> Path:
    """`root/<class>/p<patient>_<n>.png`: noise with a bright bar whose place tells the class."""
    random = np.random.default_rng(seed)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for patient in range(patients):
            for picture in range(2):
                pixels = random.integers(0, 120, (SIZE, SIZE))
                pixels[2 + 4 * number : 5 + 4 * number] += 100
                name_of_file = f"p{100 * number + patient}_{picture}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(root / name / name_of_file)
    return root


BLOCKS = "[{channels: 4}, {channels: 8}]"
QUICK = {
    "network": "plain",
    "blocks": [{"channels": 4}, {"channels": 8}],
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 0.01,
}
NETWORK_ALONE = {"baseline": False, "robustness": False, "explain": False}
NETWORK_ALONE_OPTIONS = [f"--no-{name}" for name in NETWORK_ALONE]
QUICK_OPTIONS = [
    option
    for key, value in {**QUICK, "blocks": BLOCKS}.items()
    for option in ("--set", f"{key}={value}")
]
