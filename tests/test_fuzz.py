"""A short run of the fuzzing benchmark: damaged real files are decoded or plainly refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fuzz_readers.py"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 1001])
def test_damaged_files_are_decoded_or_plainly_refused(
    shared_data: Path, tmp_path: Path, seed: int
) -> None:
    folders = [shared_data / name for name in ("dicom", "chest_xray", "breast_ultrasound")]
    options = ["--inputs", "400", "--workers", "1", "--seed", seed, "--json", tmp_path / "o.json"]
    words = [str(word) for word in (sys.executable, SCRIPT, *folders, *options)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "o.json").read_text())["rows"][0]
    assert row["failed"] == 0
    assert row["inputs"] == 400
    assert row["decoded"] > 40
    assert row["refused"] > 40
