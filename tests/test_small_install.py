"""On a machine without torch: the small install predicts, serves and packs like torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

pytest.importorskip("fastapi")

from dicom_files import write_dicom
from fake_scans import scans
from pellucid.images.preprocessing import preprocess
from pellucid.images.reading import read_image
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction import predict_logits
from served import guarded_model, png, sharp_bundle
from server_process import predict, request, serving

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `pellucid` of an environment with `pellucid[serve]` and nothing more."""
    if not UV.is_file():
        pytest.skip("uv is not installed beside this Python, as `make install` does it")
    home = tmp_path_factory.mktemp("small")
    source = home / "source"  # a copy, since building writes beside the source
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    python = home / "env" / "bin" / "python"
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    for words in (
        ["venv", "--python", sys.executable, str(home / "env")],
        ["pip", "install", "--python", str(python), *constraints, f"{source}[serve]"],
    ):
        subprocess.run([UV, "--quiet", *words], check=True)
    return python.with_name("pellucid")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return guarded_model(tmp_path_factory.mktemp("served") / "model", bundle=sharp_bundle())


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)


def test_there_is_no_torch(small: Path) -> None:
    python = small.with_name("python")
    for package in ("torch", "torchvision", "onnx", "faiss"):
        assert run(python, "-c", f"import {package}").returncode == 1


def expected_of(model: Path, path: Path) -> np.ndarray:
    from pellucid.bundle import load_bundle

    bundle = load_bundle(model)
    square = preprocess(read_image(path).pixels, bundle.preprocessing)[np.newaxis]
    logits = predict_logits(bundle.classifier, square, bundle.preprocessing)
    return probabilities_from_logits(logits, bundle.task.targets[0])[0]


def test_it_answers_every_format_as_torch_does(small: Path, model: Path, tmp_path: Path) -> None:
    first, second, third, fourth = scans(4, 7)
    (tmp_path / "a.png").write_bytes(png(first))
    Image.fromarray(second).save(tmp_path / "b.jpg")
    tifffile.imwrite(tmp_path / "c.tif", third.astype(np.uint16) * 257)
    write_dicom(tmp_path / "d.dcm", fourth)
    paths = sorted(tmp_path.glob("?.*"))
    out = tmp_path / "p.csv"
    answer = run(small, "predict", model, *paths, "--out", out)
    assert answer.returncode == 0, answer.stderr
    assert "Computed by onnxruntime in float32." in answer.stderr
    table = pd.read_csv(out)
    with serving(model, command=(str(small),)) as (port, _):
        results = predict(port, *[(path.name, path.read_bytes()) for path in paths])
        body = json.loads(request(port, "GET", "/v1/model")[2])
    assert body["models"][0]["engine"] == "onnxruntime"
    all_expected = [expected_of(model, path) for path in paths]
    ill = sorted(float(probabilities[1]) for probabilities in all_expected)
    assert min(np.diff(ill)) > 1e-3  # else answers in another order would pass
    for number, expected in enumerate(all_expected):
        row = table.iloc[number][["probability_well", "probability_ill"]].to_numpy(dtype=float)
        np.testing.assert_allclose(row, expected, atol=1e-4)
        said = list(results[number]["targets"][0]["probabilities"].values())
        np.testing.assert_allclose(said, expected, atol=1e-4)


def test_it_packs_a_bundle(small: Path, model: Path, tmp_path: Path) -> None:
    answer = run(small, "export", model, "--out", tmp_path / "m.zip")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "m.zip").is_file()


def test_what_needs_torch_says_how_to_get_it(small: Path, model: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(png(scans(1, 7)[0]))
    for words in (
        ("explain", model, image, "--out", tmp_path / "e"),
        ("export", model, "--out", tmp_path / "m.onnx"),
        ("predict", model, image, "--out", tmp_path / "q.csv", "--engine", "torch"),
    ):
        answer = run(small, *words)
        assert answer.returncode == 2
        assert 'pip install "pellucid[train]"' in answer.stderr
        assert "Traceback" not in answer.stderr
