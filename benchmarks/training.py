"""Training beside the bare limit and beside peers.

    make bench-peers                     # once: an environment of its own for the peers
    python benchmarks/training.py --part limit --json benchmarks/results/training_limit.json
    python benchmarks/training.py --part peers --json benchmarks/results/training_peers.json
    python benchmarks/training.py --part first --json benchmarks/results/training_first.json

limit: images a second at steady state, within an epoch. The bare limit is the same network with
bfloat16 (where the processor multiplies it) and channels-last, images that are a ready tensor, no
augmentation: forward, backward and torch's fused AdamW. It runs twice, as torch does it, and with
Pellucid's matrix products for small maps and its way of calling the optimiser. Pellucid reads uint8
pixels, augments with a full policy and clips gradients. The turns are short and many, since the
machine's speed changes within minutes.

peers: the same beside other tools (`benchmarks/peers/`). They read PNG files of the same images, or
cache them, in the way their documentation shows, in float32; "fast" gives the same peer bfloat16
and channels-last.

first: seconds from the start of Python to the last step of the first epoch (of 98 % of the images,
since fastai keeps some to validate on), files new to the process (and out of the system's memory,
where it lets itself be asked).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contest import Case, Contest, Worker, answer_cases, parse_options

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))
PEERS = {
    "torchvision, 0 workers": ("torchvision_loop.py", 0),
    "torchvision, 2 workers": ("torchvision_loop.py", 2),
    "fastai": ("fastai_learner.py", 2),
    "Lightning + MONAI cache": ("lightning_monai.py", 0),
    "timm": ("timm_script.py", 2),
}
NAMES = {"plain": "Plain network", "resnet18": "ResNet-18", "vgg11": "VGG-11"}
CASES = (  # network, side in pixels, images
    ("plain", 28, 4096),
    ("resnet18", 28, 1024),
    ("resnet18", 64, 1024),
    ("resnet18", 128, 512),
    ("resnet18", 224, 256),
    ("vgg11", 64, 1024),
)


FIRST = (("plain", 28), ("resnet18", 64), ("resnet18", 224))


def draw_images(folder: Path, size: int, n: int) -> Path:
    """Phantom chest X-rays of two classes as PNG files in class folders, and as `pixels.npy`."""
    from pellucid.data.phantoms import draw_phantoms

    place, pixels = folder / f"{size}px", []
    drawn = draw_phantoms("chest", n_patients=n, image_size=max(size, 32))
    for number, phantom in enumerate(islice(drawn, n)):
        path = place / "files" / phantom.label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(phantom.pixels).resize((size, size))
        picture.save(path)
        pixels.append(np.asarray(picture)[None])
    np.save(place / "pixels.npy", np.stack(pixels))
    return place


# --- what each of our own processes measures ------------------------------------------------------


def bare(case: Case) -> float:
    """Images a second of forward, backward and step on a ready tensor."""
    import torch
    from pace import BATCH, Pace, train_until_enough

    from pellucid.network.matrix_convolution import as_matrix_products
    from pellucid.training.device import is_bfloat16_fast
    from pellucid.training.optimiser import Optimiser
    from pellucid.training.plan import Plan

    network = _classifier(case).train().to(memory_format=torch.channels_last)
    fast = is_bfloat16_fast(torch.device("cpu"))
    torchs = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    ours = Optimiser(network, Plan())
    images = torch.rand(BATCH, 1, case["size"], case["size"])
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 2, (BATCH, 1)).float()

    def train(pace: Pace) -> None:
        while True:
            network.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                logits = network(images)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
            loss.backward()
            if case["ours"]:
                ours.step(1e-3, len(pace.moments))
            else:
                torchs.step()
            pace.step()

    with as_matrix_products(network) if case["ours"] else nullcontext():
        return train_until_enough(train, case)


def pellucid(case: Case) -> float:
    """Images a second of the whole loop on cached pixels, augmentation included."""
    from pace import BATCH, Pace, train_until_enough

    from pellucid.training import loop
    from pellucid.training.plan import Plan

    if "steps" in case:
        pixels = _cached_pixels(case)
    else:
        pixels = np.load(Path(case["folder"]).parent / "pixels.npy", mmap_mode="r")
    rows = np.resize(np.arange(len(pixels) - 2), 10**6)  # an epoch that does not end
    data = loop.TrainingData(
        task=_task(),
        pixels=pixels,
        codes=(np.arange(len(pixels)) % 2)[:, None],
        train=rows,
        validation=np.arange(len(pixels) - 2, len(pixels)),
    )
    plan = Plan(epochs=1, batch_size=BATCH, image_size=case["size"], augmentation="chest_xray")

    def train(pace: Pace) -> None:
        listener = loop.Listener(step=lambda *_: pace.step())
        with tempfile.TemporaryDirectory() as run:
            loop.train(
                _classifier(case), plan, data, Path(run), score=lambda *_: 0.5, listener=listener
            )

    return train_until_enough(train, case)


def _cached_pixels(case: Case) -> Any:
    """The images of the folder, indexed and decoded into a new cache."""
    from pellucid.data.cache import build_cache
    from pellucid.data.index import read_dataset
    from pellucid.images.preprocessing import Preprocessing

    preprocessing = Preprocessing(image_size=case["size"], channels=1)
    with tempfile.TemporaryDirectory() as folder:
        cache = build_cache(read_dataset(case["folder"]), preprocessing, folder=Path(folder))
        return cache.pixels  # the files stay readable, being mapped, when the folder is gone


def _task() -> Any:
    from pellucid.task import Target, Task

    return Task(targets=(Target(name="label", classes=("normal", "pneumonia")),))


def _classifier(case: Case) -> Any:
    from pellucid.network.classifier import NetworkSpec, build_classifier

    spec = NetworkSpec(name=case["network"], channels=1, image_size=case["size"])
    return build_classifier(spec, _task())


# --- the contest ----------------------------------------------------------------------------------


@contextmanager
def throughput(options: argparse.Namespace) -> Iterator[Contest]:
    """All contestants, each in a process of its own that stays."""
    made = Contest("Training throughput", unit="images/s", better="high", ours="Pellucid")
    with ExitStack() as stack:

        def enter(name: str, worker: Worker, **facts: Any) -> None:
            made.enter(name, lambda case: worker({**case, **facts}))

        def start(python: str | Path, script: str, *arguments: str) -> Worker:
            return stack.enter_context(closing(Worker(python, HERE / script, *arguments)))

        enter("Pellucid", start(sys.executable, "training.py", "--answer", "pellucid"))
        if options.part == "limit":
            limit = start(sys.executable, "training.py", "--answer", "bare")
            enter("bare limit, torch alone", limit, ours=False)
            enter("bare limit, our products", limit, ours=True)
        else:
            for name, (script, workers) in PEERS.items():
                worker = start(options.peers, f"peers/{script}")
                for fast in _ways():
                    enter(name + ", fast" * fast, worker, workers=workers, fast=fast)
        yield made


def _ways() -> tuple[bool, ...]:
    """Whether peers are given bfloat16: not where it is emulated, twenty times slower."""
    import torch

    from pellucid.training.device import is_bfloat16_fast

    return (False, True) if is_bfloat16_fast(torch.device("cpu")) else (False,)


@contextmanager
def first_epoch(options: argparse.Namespace) -> Iterator[Contest]:
    """All contestants, each case in a new process."""
    made = Contest("First epoch from files", unit="s", better="low", ours="Pellucid")

    def enter(name: str, words: list[str | Path], **facts: Any) -> None:
        def measure(case: Case) -> float:
            _forget_files(Path(case["folder"]))
            started = time.perf_counter()
            with closing(Worker(words[0], HERE / words[1], *map(str, words[2:]))) as worker:
                worker({**case, **facts})
                return time.perf_counter() - started

        made.enter(name, measure)

    enter("Pellucid", [sys.executable, "training.py", "--answer", "pellucid"])
    for name, (script, workers) in PEERS.items():
        for fast in _ways():
            words = [options.peers, f"peers/{script}"]
            enter(name + ", fast" * fast, words, workers=workers, fast=fast)
    yield made


def _forget_files(folder: Path) -> None:
    """Ask the system to drop these files from its memory."""
    for path in folder.rglob("*.png"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def make_cases(options: argparse.Namespace, folder: Path) -> list[Case]:
    """The cases of a part, their images drawn."""
    cases = []
    for network, size, n in CASES:
        name = f"{NAMES[network]}, {size} px"
        left_out = options.part == "first" and (network, size) not in FIRST
        if left_out or (options.only and options.only not in name):
            continue
        case = {"case": name, "network": network, "size": size, "seconds": options.seconds}
        case["folder"] = str(draw_images(folder, size, n) / "files")
        if options.part == "first":
            case |= {"case": f"{name}, {n} images", "steps": int(0.98 * n) // 32}
        cases.append(case)
    return cases


def peer_versions(python: Path) -> dict[str, str]:
    """The versions of the peers that are installed in their environment."""
    names = ["torch", "torchvision", "fastai", "lightning", "monai", "timm"]
    code = f"import json, importlib.metadata as m; v = {{n: m.version(n) for n in {names}}}"
    code += "; print(json.dumps(v))"
    return dict(json.loads(subprocess.check_output([python, "-c", code], text=True)))


def add_options(parser: argparse.ArgumentParser) -> None:
    default = HERE.parent / ".venv-peers" / "bin" / "python"
    parser.add_argument("--part", choices=["limit", "peers", "first"], default="limit")
    parser.add_argument("--peers", type=Path, default=default, help="the Python of the peers")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement, at least")
    parser.add_argument("--only", help="cases whose name holds this")
    parser.add_argument("--answer", choices=["bare", "pellucid"], help=argparse.SUPPRESS)


def main() -> None:
    options = parse_options(__doc__ or "", rounds=9, add=add_options)
    if options.answer:
        from pellucid.training import loop  # noqa: F401  before it says that it is ready

        answer_cases({"bare": bare, "pellucid": pellucid}[options.answer])
        return
    if options.part != "limit" and not options.peers.is_file():
        sys.exit(f"The peers are not there: {options.peers}. `make bench-peers` installs them.")
    contest = first_epoch if options.part == "first" else throughput
    with tempfile.TemporaryDirectory() as folder, contest(options) as made:
        made.hold(make_cases(options, Path(folder)), options.rounds)
        peers = {} if options.part == "limit" else peer_versions(options.peers)
        words = f"--part {options.part} --rounds {options.rounds} --seconds {options.seconds:g}"
        command = f"python benchmarks/training.py {words}"
        made.publish(command, options, batch_size=32, peers=peers)


if __name__ == "__main__":
    main()
