"""The house itself: the public names, and a file map that is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pellucid

ROOT = Path(__file__).parents[1]


def test_the_public_names() -> None:
    assert pellucid.__all__ == [
        "Asked",
        "Bundle",
        "Dataset",
        "PellucidError",
        "Plan",
        "Run",
        "audit",
        "compare",
        "evaluate",
        "explain",
        "load_bundle",
        "plan",
        "predict",
        "read_dataset",
        "read_image",
        "report",
        "train",
    ]
    assert all(getattr(pellucid, name) is not None for name in pellucid.__all__)


def test_no_public_name_is_hidden_by_a_room() -> None:
    rooms = {path.name for path in (ROOT / "src" / "pellucid").iterdir() if path.is_dir()}
    modules = {path.stem for path in (ROOT / "src" / "pellucid").glob("*.py")}
    assert not (rooms | modules) & set(pellucid.__all__)


def test_the_readme_maps_every_file_of_the_package() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first_words = [line.split()[0] for line in readme.splitlines() if line.startswith("  ")]
    listed = [word for word in first_words if word.endswith(".py")]
    files = [
        path.name
        for path in (ROOT / "src" / "pellucid").rglob("*.py")
        if path.name != "__main__.py"
        and (path.name != "__init__.py" or path.parent.name == "pellucid")
    ]
    assert sorted(listed) == sorted(files)


def test_no_file_is_over_400_lines() -> None:
    sizes = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "src").rglob("*.py")
    }
    assert {name: n for name, n in sizes.items() if n > 400} == {}


def test_training_and_prediction_import_nothing_that_compiles() -> None:
    code = (
        "import sys, pellucid.training.loop, pellucid.network.classifier, pellucid.prediction; "
        "assert not {'torchvision', 'torch._dynamo', 'sympy', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_evaluation_and_report_import_without_torch() -> None:
    code = (
        "import sys, pellucid.reporting.html, pellucid.evaluation.document, pellucid.data.index; "
        "assert not {'torch', 'torchvision', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
