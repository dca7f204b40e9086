"""The twelve 2D sets of MedMNIST v2 as published: class names, file names, checksums, and fetching.

Source: Yang et al., "MedMNIST v2", Scientific Data 10:41 (2023), and the authors' record of the
files at https://zenodo.org/records/10519652 (version 3.0). This module does not open an archive.
"""

from __future__ import annotations

import hashlib
import os
import queue
import re
import threading
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.request import urlopen

from pellucid.errors import DataError, UsageError, did_you_mean

RECORD = "https://zenodo.org/records/10519652"
SIZES = (28, 64, 128, 224)
MAX_BYTES = 32 * 2**30  # the largest published file is about 12 GB
CONNECT_SECONDS = 6.0
CHUNK = 2**20

ORGANS = (
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
)

CLASSES: dict[str, tuple[str, ...]] = {
    "pathmnist": (
        "adipose",
        "background",
        "debris",
        "lymphocytes",
        "mucus",
        "smooth muscle",
        "normal colon mucosa",
        "cancer-associated stroma",
        "colorectal adenocarcinoma epithelium",
    ),
    "chestmnist": (
        "atelectasis",
        "cardiomegaly",
        "effusion",
        "infiltration",
        "mass",
        "nodule",
        "pneumonia",
        "pneumothorax",
        "consolidation",
        "edema",
        "emphysema",
        "fibrosis",
        "pleural",
        "hernia",
    ),
    "dermamnist": (
        "actinic keratoses and intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis-like lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevi",
        "vascular lesions",
    ),
    "octmnist": (
        "choroidal neovascularization",
        "diabetic macular edema",
        "drusen",
        "normal",
    ),
    "pneumoniamnist": ("normal", "pneumonia"),
    "retinamnist": ("0", "1", "2", "3", "4"),
    "breastmnist": ("malignant", "normal, benign"),
    "bloodmnist": (
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "platelet",
    ),
    "tissuemnist": (
        "Collecting Duct, Connecting Tubule",
        "Distal Convoluted Tubule",
        "Glomerular endothelial cells",
        "Interstitial endothelial cells",
        "Leukocytes",
        "Podocytes",
        "Proximal Tubule Segments",
        "Thick Ascending Limb",
    ),
    "organamnist": ORGANS,
    "organcmnist": ORGANS,
    "organsmnist": ORGANS,
}
"""Class names in the order of the numbers; for chestmnist, the names of its fourteen targets."""

MD5: dict[str, str] = {
    "pathmnist": "a8b06965200029087d5bd730944a56c1",
    "chestmnist": "02c8a6516a18b556561a56cbdd36c4a8",
    "dermamnist": "0744692d530f8e62ec473284d019b0c7",
    "octmnist": "c68d92d5b585d8d81f7112f81e2d0842",
    "pneumoniamnist": "28209eda62fecd6e6a2d98b1501bb15f",
    "retinamnist": "bd4c0672f1bba3e3a89f0e4e876791e4",
    "breastmnist": "750601b1f35ba3300ea97c75c52ff8f6",
    "bloodmnist": "7053d0359d879ad8a5505303e11de1dc",
    "tissuemnist": "ebe78ee8b05294063de985d821c1c34b",
    "organamnist": "68e3f8846a6bd62f0c9bf841c0d9eacc",
    "organcmnist": "b9ceb9546e10131b32923c5bbeaea2b1",
    "organsmnist": "9ab87b696fb54e2a387ebe992d6ed5f1",
}
"""Published checksums of the 28 pixel files; larger ones are held against their own zip CRCs."""

Report = Callable[[int, int], None]


def published_classes(file_name: str) -> tuple[str, ...] | None:
    """The class names of a known set, from a name such as `breastmnist_64.npz`."""
    return CLASSES.get(re.sub(r"(_\d+)?\.npz$", "", file_name.lower()))


def fetch_medmnist(name: str, progress: Report | None = None) -> Path:
    """The archive of `NAME` or `NAME:SIZE` in MedMNIST's own folder, downloaded when absent.

    The folder is ~/.medmnist, or $MEDMNIST_ROOT. Raises `UsageError` for an unknown name or size
    and `DataError` when the download fails, saying which file to put where.
    """
    flag, size = _parse(name)
    root = Path(os.environ.get("MEDMNIST_ROOT") or Path.home() / ".medmnist").expanduser()
    path = root / (f"{flag}.npz" if size == 28 else f"{flag}_{size}.npz")
    if not path.is_file():
        _download(path, MD5[flag] if size == 28 else None, progress)
    return path


def _parse(name: str) -> tuple[str, int]:
    flag, _, size = name.lower().partition(":")
    if flag not in CLASSES:
        raise UsageError("No such MedMNIST set (2D)", repr(flag), did_you_mean(flag, [*CLASSES]))
    if size and size not in map(str, SIZES):
        raise UsageError(f"MedMNIST comes in the sizes {', '.join(map(str, SIZES))}", repr(size))
    return flag, int(size or 28)


def _download(path: Path, md5: str | None, progress: Report | None) -> None:
    """Fetch one file through a temporary neighbour, so that a killed download leaves no archive."""
    url = f"{RECORD}/files/{path.name}?download=1"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with closing(_open(url)) as response:
            path.parent.mkdir(parents=True, exist_ok=True)
            found = _copy(response, part, progress)
        _check(part, found, md5)
        part.replace(path)
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{path.name} is not in {path.parent} and could not be downloaded",
            str(reason) or type(error).__name__,
            f"Download {url} on a machine with access and put it at {path}, or set MEDMNIST_ROOT "
            "to the folder that holds it.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _open(url: str) -> HTTPResponse:
    """Open the address, or give up after a few seconds.

    A thread waits for the answer, since a name server that does not answer ignores the time-out.
    """
    answers: queue.Queue[HTTPResponse | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urlopen(url, timeout=CONNECT_SECONDS))  # noqa: S310  RECORD is https
        except (OSError, HTTPException, ValueError) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise TimeoutError("no answer (offline?)") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _copy(response: HTTPResponse, part: Path, progress: Report | None) -> str:
    """Write the answer to a file; returns the MD5 of what was written."""
    total, done = int(response.headers.get("Content-Length") or 0), 0
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("wb") as file:
        while chunk := response.read(CHUNK):
            done += len(chunk)
            if max(done, total) > MAX_BYTES:
                raise ValueError(f"the file is larger than {MAX_BYTES:,} bytes")
            file.write(chunk)
            digest.update(chunk)
            if progress:
                progress(done, max(total, done))
    if total and done != total:
        raise ValueError(f"the connection ended after {done:,} of {total:,} bytes")
    return digest.hexdigest()


def _check(part: Path, found: str, md5: str | None) -> None:
    """Raise `ValueError` when the file is not the published one, or damaged."""
    from zipfile import BadZipFile, ZipFile

    if md5 is not None and found != md5:
        raise ValueError(f"the MD5 is {found} and not the published {md5}")
    try:
        with ZipFile(part) as archive:
            damaged = archive.testzip()
    except BadZipFile as error:
        raise ValueError("the answer is no archive") from error
    if damaged:
        raise ValueError(f"{damaged} in it is damaged")
