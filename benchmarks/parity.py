"""Whether everybody who computes a trained model answers as torch does, and by how much not.

    python benchmarks/parity.py RUN IMAGES… --small PELLUCID --json benchmarks/results/parity.json

Every image that is grey is asked as it is and as PNG, JPEG, TIFF of 16 bits and DICOM; what cannot
be read must be refused alike. Asked are the engines, the exported files (their own check, on at
most 32), and the server of an environment without torch, whose `pellucid` is given, with the
bundle in one .zip. The figure is the largest difference of a probability.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from machine import publish
from serving import serving

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
MOST = 40  # images of a folder


def write_all(images: list[Path], folder: Path) -> dict[str, list[Path]]:
    """The images as they are, and those that are grey in four formats."""
    import tifffile

    from dicom_files import write_dicom
    from pellucid.errors import ReadError
    from pellucid.images.reading import read_image

    found: dict[str, list[Path]] = {"as given": images}
    for number, path in enumerate(images):
        try:
            pixels = read_image(path).pixels
        except ReadError:
            continue
        grey = np.rint(255 * pixels[0]).astype(np.uint8)
        picture = Image.fromarray(grey)
        made = {name: folder / f"{number:03}.{name}" for name in ("png", "jpg", "tif", "dcm")}
        picture.save(made["png"])
        picture.save(made["jpg"], quality=90)
        tifffile.imwrite(made["tif"], grey.astype(np.uint16) * 257)
        write_dicom(made["dcm"], grey, Modality="CR")
        for name, one in made.items():
            found.setdefault(name, []).append(one)
    return found


def ask_engine(model: Path, paths: list[Path], engine: str) -> dict[str, list[float]]:
    """Probabilities by path; what could not be read is not there."""
    from pellucid.prediction import predict

    table, _ = predict(model, paths, engine=engine)
    columns = [name for name in table.columns if name.startswith("probability_")]
    return {row["image_id"]: [float(row[c]) for c in columns] for _, row in table.iterrows()}


def ask_server(port: int, paths: list[Path]) -> dict[str, list[float]]:
    """The same of a server, some files at a time."""
    found = {}
    for start in range(0, len(paths), 16):
        some = paths[start : start + 16]
        body = b"".join(
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            + path.read_bytes()
            + b"\r\n"
            for path in some
        )
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        connection.request("POST", "/v1/predict", body + b"--b--\r\n", kind)
        results = json.loads(connection.getresponse().read())["results"]
        for path, result in zip(some, results, strict=True):
            if result["status"] != "unreadable":
                found[str(path)] = list(result["targets"][0]["probabilities"].values())
    return found


def compare(
    who: str, kind: str, expected: dict[str, list[float]], found: dict[str, list[float]]
) -> dict[str, Any]:
    """A row: how many were answered, how many refused by one alone, the largest difference."""
    both = expected.keys() & found.keys()
    gap = max(float(np.abs(np.subtract(expected[k], found[k])).max()) for k in both)
    apart = len(expected.keys() ^ found.keys())
    return {"who": who, "files": kind, "n": len(both), "refused by one": apart, "largest": gap}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("images", nargs="+", type=Path, help="files, or folders")
    parser.add_argument("--small", help="the `pellucid` of an environment without torch")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    from pellucid.exporting.verb import export

    images: list[Path] = []
    for place in asked.images:
        inside = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        images += inside[:: max(1, len(inside) // MOST)][:MOST]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = write_all(images, folder)
        every = [path for paths in kinds.values() for path in paths]
        expected = ask_engine(asked.model, every, "torch")
        answers = {who: ask_engine(asked.model, every, who) for who in ("onnxruntime", "openvino")}
        if asked.small:
            moved = export(asked.model, folder / "moved.zip").out
            with serving(moved, (asked.small,)) as (port, _):
                answers["served without torch"] = ask_server(port, every)
        for who, found in answers.items():
            for kind, paths in kinds.items():
                part = [
                    {str(p): some[str(p)] for p in paths if str(p) in some}
                    for some in (expected, found)
                ]
                rows.append(compare(who, kind, *part))
        readable = kinds["png"]
        for ending in (".onnx", ".pt2"):
            done = export(asked.model, folder / f"model{ending}", check=readable)
            row = {"who": ending, "files": "png", "n": done.n_images, "refused by one": 0}
            rows.append({**row, "largest": done.largest_difference})
    command = f"python benchmarks/parity.py {asked.model.name} IMAGES"
    publish([{**row, "largest": f"{row['largest']:.2g}"} for row in rows], command, asked.json)


if __name__ == "__main__":
    main()
