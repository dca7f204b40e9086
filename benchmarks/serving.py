"""A server under load on loopback: how many answers a second, how late, whether all are right.

    python benchmarks/serving.py --json FILE                     # 1, 8, 32 and 64 clients, overload
    python benchmarks/serving.py --part memory --requests 20000  # whether memory stays flat
    python benchmarks/serving.py --part page                     # how soon the page shows something

A client sends one JPEG of 224 pixels, waits for the answer and sends the next; every answer is held
against the engine's own for that image, to 1e-4. The limit is the engine alone in the same process
kind: batches of 16 ready tensors, nothing decoded. Clients are threads of one process on the same
processor, so that they take their share of it. Overload is more clients than a server answers at
once: some are told 429 and come again; afterwards everybody is answered.

The memory part serves a small network, so that many requests fit in a few minutes. The page part
drives Chromium: from the address to the first useful paint, and from choosing a file to its answer
and heat map on the screen; the first image of a fresh page and server, then others.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from machine import publish

CLIENTS = (1, 8, 32, 64)
OVERLOAD = 300  # clients; a server answers 128 requests at once
N_IMAGES = 48
TOLERANCE = 1e-4


class Asked(NamedTuple):
    """An image as a request, and the logit that must come back."""

    body: bytes
    kind: str
    logit: float


class Load(NamedTuple):
    """What a number of clients got in a time."""

    seconds: float
    latencies: list[float]
    statuses: Counter[int]
    wrong: int
    lost: int


# --- what is served -------------------------------------------------------------------------------


def make_model(folder: Path, name: str, side: int) -> tuple[Path, list[Asked], float]:
    """A bundle with a guard, images as requests with their answers, and the engine's images/s."""
    from pellucid.bundle import Bundle, save_bundle
    from pellucid.images.preprocessing import Preprocessing, preprocess
    from pellucid.images.reading import read_image_bytes
    from pellucid.network.classifier import build_classifier
    from pellucid.network.spec import NetworkSpec
    from pellucid.prediction.engines import open_engine
    from pellucid.task import Target, Task

    task = Task(targets=(Target(name="label", classes=("well", "ill")),))
    spec = NetworkSpec(name=name, channels=1, image_size=side)
    preprocessing = Preprocessing(image_size=side, channels=1)
    classifier = build_classifier(spec, task, seed=1).eval()
    jpegs = [_draw(number, side) for number in range(N_IMAGES)]
    images = [read_image_bytes(data) for data in jpegs]
    guard = _guard(images)
    bundle = Bundle(classifier, spec, task, preprocessing, {}, guard)
    model = save_bundle(folder / "model", bundle)
    opened = open_engine(model)
    pixels = np.stack([preprocess(image.pixels, preprocessing) for image in images])
    logits = np.concatenate([opened.compute(part) for part in np.array_split(pixels, 6)])[:, 0]
    asked = [Asked(*_request(data), float(z)) for data, z in zip(jpegs, logits, strict=True)]
    return model, asked, _alone(opened.compute, pixels[:16])


def _draw(number: int, side: int) -> bytes:
    generator = np.random.default_rng(number)
    rows, columns = np.mgrid[:side, :side] / side
    y, x = generator.uniform(0.3, 0.7, 2)
    shape = 110 * (np.hypot(rows - y, columns - x) < generator.uniform(0.1, 0.3))
    grey = 60 + 60 * rows + shape + generator.normal(0, 6, (side, side))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _guard(images: list[Any]) -> Any:
    """The guard that a bundle of these images has; of some more of them, so that it exists."""
    import pandas as pd

    from pellucid.bundle.guard import fit_guard
    from pellucid.images.view import view_of

    views = np.stack([view_of(image.pixels) for image in images * 4])
    row = {"width": 224, "height": 224, "colourfulness": 0.0, "pixel_digest": "x"}
    groups = np.arange(len(views)).astype(object)
    return fit_guard(views, np.arange(len(views)), pd.DataFrame([row] * len(views)), groups)


def _alone(compute: Any, pixels: np.ndarray, seconds: float = 5.0) -> float:
    """Images a second of the engine on ready tensors."""
    compute(pixels)
    started, n = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        compute(pixels)
        n += len(pixels)
    return n / (time.monotonic() - started)


def _request(data: bytes) -> tuple[bytes, str]:
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    return head + data + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


@contextmanager
def serving(
    model: Path, command: tuple[str, ...] = (sys.executable, "-m", "pellucid")
) -> Iterator[tuple[int, int]]:
    """A server of the model: its port and its process id."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    words = [*command, "serve", str(model), "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                if _get(port, "/ready")[0] == 200:
                    break
            except OSError:
                time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


# --- load -----------------------------------------------------------------------------------------


def put_load(
    port: int, asked: list[Asked], clients: int, *, seconds: float = 1e9, requests: int = 10**9
) -> Load:
    """So many clients ask, each as soon as it is answered, for a time or a number of requests."""
    lock, latencies, statuses = threading.Lock(), list[float](), Counter[int]()
    wrong, lost, left = [0], [0], [requests]
    started = time.monotonic()
    until = started + seconds

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while time.monotonic() < until:
            with lock:
                if left[0] <= 0:
                    break
                left[0] -= 1
            one = asked[number % len(asked)]
            number += 1
            began = time.monotonic()
            try:
                headers = {"Content-Type": one.kind}
                connection.request("POST", "/v1/predict", one.body, headers)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException):
                with lock:
                    lost[0] += 1
                connection.close()
                continue
            took = time.monotonic() - began
            right = response.status != 200 or _is_right(body, one)
            with lock:
                statuses[response.status] += 1
                wrong[0] += not right
                if response.status == 200:
                    latencies.append(took)
            if response.status == 429:
                time.sleep(float(response.headers["Retry-After"]))
        connection.close()

    threads = [threading.Thread(target=work, args=(7 * n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(time.monotonic() - started, latencies, statuses, wrong[0], lost[0])


def _is_right(body: bytes, asked: Asked) -> bool:
    (result,) = json.loads(body)["results"]
    return abs(result["targets"][0]["logits"]["ill"] - asked.logit) <= TOLERANCE


def _row(name: str, load: Load, alone: float) -> dict[str, Any]:
    rate = len(load.latencies) / load.seconds
    cut = statistics.quantiles(load.latencies, n=100) if len(load.latencies) > 1 else [0.0] * 99
    return {
        "load": name,
        "answers": len(load.latencies),
        "answers_per_s": round(rate, 1),
        "of_engine_alone": round(rate / alone, 3),
        "p50_ms": round(1000 * cut[49], 1),
        "p99_ms": round(1000 * cut[98], 1),
        "refused_429": load.statuses[429],
        "other": sum(n for status, n in load.statuses.items() if status not in (200, 429)),
        "wrong": load.wrong,
        "lost": load.lost,
    }


def measure_load(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    model, asked, alone = make_model(folder, "resnet18", 224)
    print(f"the engine alone: {alone:.1f} images/s", file=sys.stderr)
    rows = []
    with serving(model) as (port, _):
        put_load(port, asked, 4, seconds=2)
        for clients in (*CLIENTS, OVERLOAD):
            load = put_load(port, asked, clients, seconds=options.seconds)
            rows.append(_row(f"{clients} clients", load, alone))
            print(rows[-1], file=sys.stderr)
        load = put_load(port, asked, 8, seconds=options.seconds)
        rows.append(_row("8 clients, after it", load, alone))
    return [{**row, "engine_alone_per_s": round(alone, 1)} for row in rows]


def measure_memory(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    model, asked, _ = make_model(folder, "plain", 64)
    rows, done = [], 0
    with serving(model) as (port, pid):
        put_load(port, asked, 8, requests=500)  # what is loaded on first use is loaded now
        for _ in range(5):
            load = put_load(port, asked, 8, requests=options.requests // 5)
            done += len(load.latencies)
            rows.append(
                {
                    "requests": done,
                    "memory_mib": round(_memory(pid), 1),
                    "answers_per_s": round(len(load.latencies) / load.seconds, 1),
                    "wrong": load.wrong,
                    "lost": load.lost,
                }
            )
            print(rows[-1], file=sys.stderr)
    return rows


def measure_page(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    import shutil

    from playwright.sync_api import sync_playwright

    model, asked, _ = make_model(folder, "resnet18", 224)
    paths = [folder / f"{number}.jpg" for number in range(9)]
    for path, one in zip(paths, asked, strict=False):
        path.write_bytes(one.body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--b--")[0])
    rows = []
    with serving(model) as (port, _), sync_playwright() as started:
        words = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
        found = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = started.chromium.launch(executable_path=found, args=words)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        began = time.monotonic()
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_text("Drop images here").wait_for()
        rows.append({"what": "first useful paint", "seconds": time.monotonic() - began})
        time.sleep(8)  # torch is loaded meanwhile, as it is while a reader looks for images
        for number, path in enumerate(paths):
            began = time.monotonic()
            page.set_input_files("#files", [str(path)])
            page.locator("#list button").nth(number).click()
            note = page.locator("#heat-note")
            while "cells" not in (note.text_content() if note.count() else ""):
                time.sleep(0.002)
            what = "the first image" if number == 0 else "another image"
            rows.append({"what": what, "seconds": time.monotonic() - began})
        browser.close()
    others = [row["seconds"] for row in rows if row["what"] == "another image"]
    kept = [row for row in rows if row["what"] != "another image"]
    last = {"what": "another image, median", "seconds": statistics.median(others)}
    return [{**row, "seconds": round(row["seconds"], 3)} for row in (*kept, last)]


def _memory(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found.group(1)) / 1024 if found else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("load", "memory", "page"), default="load")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--requests", type=int, default=20_000, help="of the memory part")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measure = {"load": measure_load, "memory": measure_memory, "page": measure_page}
    with tempfile.TemporaryDirectory() as folder:
        rows = measure[options.part](options, Path(folder))
    command = f"python benchmarks/serving.py --part {options.part}"
    cores = len(os.sched_getaffinity(0))
    publish([{**row, "cores": cores} for row in rows], command, options.json)


if __name__ == "__main__":
    main()
