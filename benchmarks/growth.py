"""Time and peak memory of each stage as the number of images doubles; and a set beyond the memory.

    python benchmarks/growth.py --json benchmarks/results/growth.json

Index, cache, one epoch, predict and evaluate run on 1,000 images, 2,000, 4,000 … until a size takes
more than half of `--seconds`, each in a process of its own that has done the same with 200 before.
`peak` is the most memory that the process held; `private` the part that is its own, without pages
of files, which the system takes back when it needs them.

Then a short epoch trains on a memory-mapped set ten times as large as the memory it may have, on
two fifths of its rows, drawn from everywhere. The system limits private memory (RLIMIT_DATA), and
file pages are put out, as by a system short of memory, as soon as the whole process comes near
the same limit; a control group would do both, but nobody may make one everywhere. The weights are
those of an epoch without limit, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from contest import parse_options, plot_path, print_table
from machine import describe_machine

WARM, FIRST = 200, 1_000  # images
SIDE, BATCH = 64, 16
PICTURES = 240  # of 60 patients; the others are links to them under their own names
SHARE = 0.4  # of the rows of the set beyond the memory are trained on: four times the memory
MIB = 2**20
Row = dict[str, Any]


# --- the stages: each prepares what is not measured, and returns what is --------------------------


def index(folder: Path, n: int) -> Callable[[], object]:
    from pellucid.data.index import read_dataset

    return lambda: read_dataset(folder / str(n), patient_pattern=r"(P\d+)")


def cache(folder: Path, n: int) -> Callable[[], object]:
    from pellucid.data.cache import build_cache
    from pellucid.data.index import read_dataset
    from pellucid.images.preprocessing import Preprocessing

    dataset = read_dataset(folder / str(n), patient_pattern=r"(P\d+)")
    preprocessing = Preprocessing(image_size=SIDE, channels=1)
    return lambda: build_cache(dataset, preprocessing, folder=folder / "pixels")


def epoch(folder: Path, n: int) -> Callable[[], object]:
    import torch

    import pellucid.training.loop  # noqa: F401  the import is not measured

    torch.set_num_threads(1)  # two wait for one another ten times as long where others compute too
    pixels = write_pixels(folder / f"{n}.npy", n, SIDE)
    return lambda: train_epoch(pixels, folder / f"run-{n}")


def predict(folder: Path, n: int) -> Callable[[], object]:
    import pellucid.prediction
    from pellucid.bundle import Bundle
    from pellucid.images.preprocessing import Preprocessing

    task, spec, classifier = small_classifier(SIDE)
    preprocessing = Preprocessing(image_size=SIDE, channels=1)
    bundle = Bundle(classifier.eval(), spec, task, preprocessing, {})
    return lambda: pellucid.prediction.predict(bundle, folder / str(n))


def evaluate(folder: Path, n: int) -> Callable[[], object]:
    import pandas as pd

    from pellucid.evaluation.document import evaluate_predictions

    random = np.random.default_rng(0)
    ill = random.random(n // 4 + 1) < 0.3
    patients = np.arange(n) // 4
    score = 1 / (1 + np.exp(-random.normal(np.where(ill[patients], 0.7, -0.7), 1.0)))
    table = pd.DataFrame(
        {
            "image_id": [f"{row}.png" for row in range(n)],
            "patient_id": [f"P{patient}" for patient in patients],
            "split": "test",
            "target": "label",
            "y_true": np.where(ill[patients], "yes", "no"),
            "probability_no": 1 - score,
            "probability_yes": score,
        }
    )
    return lambda: evaluate_predictions(table)


STAGES = {stage.__name__: stage for stage in (index, cache, epoch, predict, evaluate)}


def small_classifier(side: int) -> Any:
    from pellucid.network.classifier import Block, NetworkSpec, build_classifier
    from pellucid.task import Target, Task

    task = Task(targets=(Target(name="label", classes=("no", "yes")),))
    blocks = [Block(channels=8), Block(channels=16)]
    if side > SIDE:  # next to no computing, so that reading is what takes time
        blocks = [Block(channels=4, kernel=1, stride=16)]
    spec = NetworkSpec(name="plain", channels=1, image_size=side, blocks=tuple(blocks))
    return task, spec, build_classifier(spec, task, seed=0)


def write_pixels(path: Path, n: int, side: int) -> np.ndarray[Any, Any]:
    """The pixels of a cache, n noisy pictures, as `data.cache` maps them."""
    block = np.random.default_rng(0).integers(0, 256, (64, 1, side, side), dtype=np.uint8)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n, 1, side, side)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, len(block)):
            block[:, 0, 0, :8] = np.frombuffer(start.to_bytes(8, "little"), np.uint8)
            file.write(block[: n - start].tobytes())
        file.flush()
        os.fsync(file.fileno())
    return open_pixels(path)


def open_pixels(path: Path) -> np.ndarray[Any, Any]:
    from pellucid.data.mapped_rows import map_rows

    return map_rows(path)


def train_epoch(pixels: np.ndarray[Any, Any], run: Path, share: float = 1.0) -> str:
    """One epoch of a small network on a share of the rows, drawn at random; the weights' digest."""
    from pellucid.training import loop
    from pellucid.training.plan import Plan

    n, _, side, _ = pixels.shape
    task, _, classifier = small_classifier(side)
    data = loop.TrainingData(
        task=task,
        pixels=pixels,
        codes=(np.arange(n) % 2)[:, None],
        train=BATCH + np.random.default_rng(0).permutation(n - BATCH)[: int(share * n)],
        validation=np.arange(BATCH),
    )
    plan = Plan(epochs=1, batch_size=BATCH, image_size=side, augmentation="none")
    loop.train(classifier, plan, data, run, score=lambda codes, logits: 0.5)
    digest = hashlib.sha256()
    for value in classifier.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


# --- measuring ------------------------------------------------------------------------------------


def held() -> tuple[int, int]:
    """Bytes of this process that are its own, and that are pages of files."""
    _, resident, shared = map(int, Path("/proc/self/statm").read_text().split()[:3])
    page = os.sysconf("SC_PAGE_SIZE")
    return (resident - shared) * page, shared * page


class Watch:
    """The most memory held while it runs, looked at every few milliseconds."""

    def __init__(self, react: Callable[[int, int], None] | None = None) -> None:
        self.private = self.whole = 0
        self._react, self._ended = react, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.003):
            private, pages = held()
            self.private = max(self.private, private)
            self.whole = max(self.whole, private + pages)
            if self._react:
                self._react(private, pages)


def measure_stage(name: str, folder: Path, limit: float) -> list[Row]:
    """One stage at growing sizes, each in a child forked from this process."""
    STAGES[name](folder, WARM)  # imports, and computes nothing, so that it may fork
    context, rows, n = multiprocessing.get_context("fork"), [], FIRST
    while not rows or rows[-1]["seconds"] < limit / 2:
        ours, theirs = context.Pipe()
        child = context.Process(target=_measure, args=(name, folder, n, theirs))
        child.start()
        rows.append(ours.recv())
        child.join()
        print(rows[-1], file=sys.stderr)
        n *= 2
        if not (folder / str(n)).is_dir():
            break
    return rows


def _measure(name: str, folder: Path, n: int, answer: Any) -> None:
    STAGES[name](folder, WARM)()
    work = STAGES[name](folder, n)
    private, pages = held()
    with Watch() as watch:
        began, busy = time.perf_counter(), time.process_time()
        kept = work()
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    assert kept is not None
    answer.send(
        {
            "stage": name,
            "images": n,
            "seconds": round(seconds, 3),
            "ms_per_image": round(1e3 * seconds / n, 4),
            "cpu_ms_per_image": round(1e3 * busy / n, 4),
            "start_MiB": round((private + pages) / MIB),
            "peak_MiB": round(watch.whole / MIB),
            "private_growth_MiB": round((watch.private - private) / MIB, 1),
        }
    )


def draw_images(folder: Path, most: int) -> None:
    """Folders named after their number of images, two classes, links to phantoms."""
    from PIL import Image

    from pellucid.data.phantoms.patients import draw_phantoms

    originals = []
    for number, phantom in enumerate(draw_phantoms("chest", n_patients=PICTURES, image_size=128)):
        if number == PICTURES:
            break
        originals.append(folder / f"original-{number}.png")
        Image.fromarray(phantom.pixels).save(originals[-1])
    n = WARM
    while n <= most:
        for label in ("no", "yes"):
            (folder / str(n) / label).mkdir(parents=True)
        for number in range(n):
            name = f"P{number // 4:06d}_{number % 4}.png"
            os.link(
                originals[number % PICTURES],
                folder / str(n) / ("no", "yes")[number // 4 % 2] / name,
            )
        n = 2 * n if n >= FIRST else FIRST


# --- a set beyond the memory ----------------------------------------------------------------------


def train_bounded(path: Path, limit: int | None) -> Row:
    """One epoch in this process, with at most `limit` bytes of memory."""
    import pellucid.training.loop  # noqa: F401  counted before the limit is set

    base, _ = held()
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    pixels = open_pixels(path)
    descriptor = os.open(path, os.O_RDONLY)
    pageout = getattr(mmap, "MADV_PAGEOUT", 21)
    put_out = 0

    def press(private: int, pages: int) -> None:
        nonlocal put_out
        if limit and private + pages > 0.9 * limit:
            pixels._mmap.madvise(pageout)  # what the process has mapped, then what was read ahead
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            put_out += 1

    with Watch(press) as watch:
        began = time.perf_counter()
        digest = train_epoch(pixels, path.parent / f"bounded-{limit}", SHARE)
        seconds = time.perf_counter() - began
    return {
        "limit_MiB": limit and limit // MIB,
        "set_MiB": pixels.nbytes // MIB,
        "base_private_MiB": base // MIB,
        "peak_private_MiB": watch.private // MIB,
        "peak_MiB": watch.whole // MIB,
        "times_put_out": put_out,
        "seconds": round(seconds, 1),
        "images_s": round(SHARE * len(pixels) / seconds),
        "weights": digest[:16],
    }


def measure_bounded(folder: Path, limit_mib: int, side: int) -> list[Row]:
    """The same epoch without and with the limit, on ten times the limit."""
    path = folder / "large.npy"
    write_pixels(path, 10 * limit_mib * MIB // side**2 + BATCH, side)
    rows = [call("--bounded", path, "--limit", limit) for limit in (0, limit_mib * MIB)]
    assert rows[0]["weights"] == rows[1]["weights"], "the limit changed the weights"
    assert rows[1]["set_MiB"] >= 10 * rows[1]["limit_MiB"] > rows[1]["peak_private_MiB"]
    path.unlink()
    return rows


def call(*words: object) -> Any:
    """What this script answers in a process of its own."""
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# --- showing --------------------------------------------------------------------------------------


def draw(rows: list[Row], path: Path) -> None:
    """Seconds and memory over the number of images, both axes in powers."""
    from matplotlib.figure import Figure

    from pellucid.reporting.drawing.figure_files import figure_file

    figure = Figure(figsize=(9, 4.1), layout="constrained")
    times, memory = figure.subplots(1, 2)
    for stage in STAGES:
        points = [row for row in rows if row["stage"] == stage]
        images = [row["images"] for row in points]
        times.loglog(images, [row["seconds"] for row in points], "o-", label=stage, ms=4)
        memory.loglog(images, [row["peak_MiB"] for row in points], "o-", label=stage, ms=4)
    ends = np.array([FIRST, max(row["images"] for row in rows)])
    times.loglog(ends, ends * 1e-3, ":", color="#888", label="1 ms an image")
    for axis, name in ((times, "seconds"), (memory, "peak memory, MiB")):
        axis.set_xlabel("images")
        axis.set_title(name, fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    memory.set_yticks([100, 200, 400, 800], ["100", "200", "400", "800"])
    memory.minorticks_off()
    figure.legend(*times.get_legend_handles_labels(), loc="outside upper center", ncols=6)
    path.write_bytes(figure_file(figure, ".svg"))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=10.0, help="of one measurement, at most")
    parser.add_argument("--most", type=int, default=64_000, help="images at most")
    parser.add_argument("--memory", type=int, default=1280, help="MiB for the set ten times that")
    parser.add_argument("--side", type=int, default=512, help="pixels of that set's pictures")
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=[[], *STAGES])
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bounded", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)


def main() -> None:
    options = parse_options(__doc__ or "", rounds=1, add=add_options)
    if options.stage:
        print(json.dumps(measure_stage(options.stage, options.folder, options.seconds)))
        return
    if options.bounded:
        print(json.dumps(train_bounded(options.bounded, options.limit or None)))
        return
    rows: list[Row] = []
    bounded: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        draw_images(Path(folder), options.most if options.stages else 0)
        for stage in options.stages:
            rows += call("--stage", stage, "--folder", folder, "--seconds", options.seconds)
        if options.memory:
            bounded = measure_bounded(Path(folder), options.memory, options.side)
    if rows:
        print_table(rows, "Growth", "one round")
    if bounded:
        print_table(bounded, "A set ten times the memory", "one epoch each")
    if options.json:
        document = {
            "title": "Growth",
            "command": "python benchmarks/growth.py",
            "date": time.strftime("%Y-%m-%d"),
            "machine": describe_machine(),
            "rows": rows,
            "beyond_memory": bounded,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n")
        draw(rows, plot_path(options))


if __name__ == "__main__":
    main()
