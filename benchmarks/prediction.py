"""Files on disk to a predictions table, beside the engine alone on ready tensors.

    python benchmarks/prediction.py --json benchmarks/results/prediction.json
    python benchmarks/prediction.py --part one --json benchmarks/results/prediction_one.json
    python benchmarks/prediction.py --part command --json benchmarks/results/prediction_command.json
    python benchmarks/prediction.py --effect RUN DATA --json FILE

A ResNet-18 for one channel at 224 pixels, and chest phantoms of that size as files. "Alone" is the
bare network in the engine's own way of being called, its input normalised float32 tensors in memory
and no file, table or preprocessing in sight; torch has inference mode and channels-last weights.
Each engine has a process of its own, so that no waiting thread of another takes its processor.
`--part command` times the whole command for one image. `--effect` needs a trained run and the
folder of its images: the metric of the run's test split in every engine and precision.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from contest import Case, Contest, Worker, answer_cases, parse_options

NETWORK, SIZE, FILES = "resnet18", 224, 64
KINDS = ("JPEG", "PNG", "DICOM")
ENGINES = (
    ("torch", "float32"),
    ("onnxruntime", "float32"),
    ("openvino", "float32"),
    ("torch", "bfloat16"),
    ("openvino", "bfloat16"),
)
OURS, ALONE = "files to table", "engine alone"


def make_model(folder: Path) -> None:
    """A bundle with random weights, and its bare network as `alone.onnx`."""
    import warnings

    import torch

    from pellucid.bundle import Bundle, save_bundle
    from pellucid.images.preprocessing import Preprocessing
    from pellucid.network.classifier import build_classifier
    from pellucid.network.spec import NetworkSpec
    from pellucid.task import Target, Task

    task = Task(targets=(Target(name="label", classes=("normal", "pneumonia")),))
    spec = NetworkSpec(name=NETWORK, channels=1, image_size=SIZE)
    classifier = build_classifier(spec, task).eval()
    preprocessing = Preprocessing(image_size=SIZE, channels=1)
    save_bundle(folder / "model", Bundle(classifier, spec, task, preprocessing, {}))
    warnings.simplefilter("ignore")  # advice about the exporter
    torch.onnx.export(
        classifier,
        (torch.zeros(2, 1, SIZE, SIZE),),
        folder / "alone.onnx",
        dynamo=False,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
    )


def make_files(folder: Path) -> None:
    """The same phantoms as PNG, as JPEG of quality 90 and as uncompressed 16-bit DICOM."""
    from PIL import Image

    from pellucid.data.phantoms.folder import write_phantoms

    source = write_phantoms(folder / "phantoms", "chest", n_patients=60, image_size=SIZE)
    for number, path in enumerate(sorted(source.rglob("*.png"))[:FILES]):
        for kind in KINDS:
            (folder / kind).mkdir(exist_ok=True)
        shutil.copy(path, folder / "PNG" / f"{number}.png")
        picture = Image.open(path)
        picture.save(folder / "JPEG" / f"{number}.jpeg", quality=90)
        write_dicom(folder / "DICOM" / f"{number}.dcm", np.asarray(picture))


def write_dicom(path: Path, grey: np.ndarray) -> None:
    import pydicom
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    file.Modality, file.PhotometricInterpretation, file.SamplesPerPixel = "CR", "MONOCHROME2", 1
    file.Rows, file.Columns = grey.shape
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.WindowCenter, file.WindowWidth = 2048, 4096
    file.PixelData = (grey.astype(np.uint16) * 16).tobytes()
    file["PixelData"].VR = "OW"
    file.save_as(path, enforce_file_format=True)


def bare(folder: Path, engine: str, precision: str) -> Callable[[np.ndarray], Any]:
    """The network alone in an engine: normalised float32 images to logits."""
    if engine == "torch":
        return bare_torch(folder, precision)
    if engine == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(
            folder / "alone.onnx", providers=["CPUExecutionProvider"]
        )
        return lambda x: session.run(None, {"x": x})
    import openvino

    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    hints = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(folder / "alone.onnx", "CPU", hints)
    request = compiled.create_infer_request()
    return lambda x: request.infer([x], share_inputs=True)


def bare_torch(folder: Path, precision: str) -> Callable[[np.ndarray], Any]:
    import torch

    from pellucid.bundle import load_bundle
    from pellucid.prediction import images_at_once

    classifier = load_bundle(folder / "model").classifier.to(memory_format=torch.channels_last)

    at_once = images_at_once((32, 1, SIZE, SIZE))  # more leave the processor's cache

    @torch.inference_mode()
    def compute(x: np.ndarray) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            return [classifier(block) for block in torch.from_numpy(x).split(at_once)]

    return compute


def answer(folder: Path, engine: str, precision: str) -> None:
    """A worker: images a second of one engine, from files or from ready tensors."""
    from pellucid.prediction.engines import open_engine
    from pellucid.prediction.files import predict_files
    from pellucid.prediction.listing import list_images

    opened = open_engine(folder / "model", engine, precision)
    assert (opened.name, opened.precision) == (engine, precision)
    alone = bare(folder, engine, precision)
    ready = np.random.default_rng(0).normal(size=(32, 1, SIZE, SIZE)).astype(np.float32)

    def rate(case: Case) -> float:
        files, batch = sorted((folder / case["kind"]).iterdir()), case["batch"]
        n = 4 * len(files) if (engine, precision) == ("openvino", "bfloat16") else len(files)
        n = n if batch > 1 else n // 2
        paths = list_images((files * 4)[:n])

        def work() -> None:
            if case["who"] == ALONE:
                for start in range(0, n, batch):
                    alone(ready[start % 32 : start % 32 + batch])
            elif batch > 1:
                predict_files(opened, paths)
            else:
                for path in paths:
                    predict_files(opened, [path])

        if case["warm"]:
            n, paths = 2 * batch, paths[: 2 * batch]
        started = time.perf_counter()
        work()
        return n / (time.perf_counter() - started)

    answer_cases(rate)


def hold_throughput(folder: Path, options: argparse.Namespace) -> None:
    """Every engine and kind of file, 32 images at once or one at a time."""
    batch = 32 if options.part == "batch" else 1
    workers = {pair: Worker(sys.executable, Path(__file__), str(folder), *pair) for pair in ENGINES}
    title = f"Prediction, {batch} at once" if batch > 1 else "Prediction, one image at a time"
    contest = Contest(title, unit="images/s", better="high", ours=OURS)
    for who in (OURS, ALONE):
        contest.enter(
            who,
            lambda case, who=who: workers[case["engine"]](
                {"kind": case["kind"], "batch": batch, "who": who, "warm": False}
            ),
        )
    for worker in workers.values():
        for who in (OURS, ALONE):
            worker({"kind": "PNG", "batch": batch, "who": who, "warm": True})
    cases = [
        {"case": f"{kind}, {pair[0]} {pair[1]}", "kind": kind, "engine": pair}
        for pair in ENGINES
        for kind in KINDS
    ]
    contest.hold(cases, options.rounds)
    for worker in workers.values():
        worker.close()
    part = "" if options.part == "batch" else f" --part {options.part}"
    facts = {"network": NETWORK, "image_size": SIZE, "batch": batch}
    contest.publish(f"python benchmarks/prediction.py{part}", options, **facts)


def hold_command(folder: Path, options: argparse.Namespace) -> None:
    """Seconds of the whole command for one image, beside what it must load."""
    image = sorted((folder / "PNG").iterdir())[0]
    command = ["-m", "pellucid", "predict", str(folder / "model"), str(image), "--overwrite"]
    command += ["--out", str(folder / "one.csv")]
    contestants = {
        "predict, kept graph": [*command],
        "predict, first use of a model": [*command],
        "predict --engine torch": [*command, "--engine", "torch"],
        "import torch": ["-c", "import torch"],
        "import pandas": ["-c", "import pandas"],
        "python -c pass": ["-c", "pass"],
    }

    def seconds(name: str) -> float:
        if "first" in name:
            shutil.rmtree(folder / "cache")
        started = time.perf_counter()
        subprocess.run([sys.executable, *contestants[name]], check=True, capture_output=True)
        return time.perf_counter() - started

    contest = Contest(
        "One image, the whole command", unit="s", better="low", ours="predict, kept graph"
    )
    for name in contestants:
        contest.enter(name, lambda case, name=name: seconds(name))
    seconds("predict, kept graph")  # converts, and warms the disk
    contest.hold([{"case": f"one {SIZE}-pixel PNG, {NETWORK}"}], options.rounds)
    contest.publish("python benchmarks/prediction.py --part command", options)


def measure_effect(options: argparse.Namespace) -> None:
    """The metric and probabilities of a run's test images in every engine and precision."""
    import pandas as pd

    from machine import describe_machine
    from pellucid import judging
    from pellucid.evaluation.predictions import save_predictions
    from pellucid.prediction import predict

    run, data = options.effect
    truth = pd.read_csv(run / "predictions" / "test.csv", dtype=str)
    card = json.loads((run / "bundle" / "card.json").read_text())
    positive = card["task"]["targets"][0]["classes"][-1]
    found: dict[tuple[str, str], Any] = {}
    rows = []
    for pair in ENGINES:
        files = [data / name for name in truth["image_id"]]
        table, failures = predict(run, files, engine=pair[0], precision=pair[1])
        assert not failures
        for column in ("image_id", "patient_id", "y_true", "split"):
            table[column] = truth[column]
        with tempfile.TemporaryDirectory() as folder:
            path = save_predictions(table, Path(folder) / "predictions.csv")
            document = judging.evaluate(path, out=Path(folder) / "judged", positive=positive)
        auroc = document["blocks"][0]["metrics"]["auroc"]
        found[pair] = table[f"probability_{positive}"].to_numpy()
        change = np.abs(found[pair] - found[ENGINES[0]])
        rows.append(
            {
                "engine": pair[0],
                "precision": table.attrs["precision"],
                "auroc": round(auroc["value"], 5),
                "low": round(auroc["low"], 5),
                "high": round(auroc["high"], 5),
                "largest_change": float(f"{change.max():.3g}"),
                "mean_change": float(f"{change.mean():.3g}"),
                "other_class": int(((found[pair] > 0.5) != (found[ENGINES[0]] > 0.5)).sum()),
            }
        )
        print(rows[-1])
    if options.json:
        facts = {
            "title": "The effect of engine and precision on a trained model's test split",
            "command": "python benchmarks/prediction.py --effect RUN DATA",
            "data": data.name,
            "network": card["network"]["name"],
            "image_size": card["preprocessing"]["image_size"],
            "n_images": len(truth),
            "n_patients": int(truth["patient_id"].nunique()),
            "changes_are_from": "torch in float32",
            "machine": describe_machine(),
            "rows": rows,
        }
        options.json.write_text(json.dumps(facts, indent=1) + "\n")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", choices=("batch", "one", "command"), default="batch")
    parser.add_argument("--effect", nargs=2, type=Path, metavar=("RUN", "DATA"))


def main() -> None:
    if len(sys.argv) == 4 and Path(sys.argv[1]).is_dir():
        answer(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
        return
    options = parse_options(__doc__ or "", 3, add_options)
    if options.effect:
        measure_effect(options)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PELLUCID_CACHE"] = str(folder / "cache")
        subprocess.run([sys.executable, __file__, "--make", name], check=True)
        (hold_command if options.part == "command" else hold_throughput)(folder, options)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make_model(Path(sys.argv[2]))
        make_files(Path(sys.argv[2]))
    else:
        main()
