"""Every file of a DICOM folder: how it is read, beside an independent decoder, or why it is not.

python benchmarks/dicom_table.py ../shared/data/dicom --out docs/dicom.md

Needs the test packages (python-gdcm, pyjpegls). Stored values are compared before anything is done
for display; colour is compared again after its conversion.
"""

# ruff: noqa: E501  # a line of a Markdown table cannot be broken

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from pellucid.errors import ReadError
from pellucid.images.decoders import CODECS, NATIVE, PACKED
from pellucid.images.dicom_header import class_name, read_header, syntax_name
from pellucid.images.image import Image
from pellucid.images.reading import looks_like_dicom, read_image

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from dicom_oracle import independent_frame, independent_rgb, our_frame

_LISTED_ALONE = 3  # longer runs of like files in a folder take one line
_NAMES = {"gdcm": "GDCM", "pydicom": "pydicom", "pyjpegls": "CharLS", "Pillow": "Pillow"}


@dataclass(frozen=True)
class Row:
    """One file: its kind ("opened", "refused", "other"), and the cells of its line."""

    path: Path
    kind: str
    syntax: str = ""
    interpretation: str = ""
    decoder: str = ""
    outcome: str = ""
    verdict: str = ""


def judge(path: Path, root: Path) -> Row:
    """Read every frame of one file and compare it, or note the plain reason."""
    shown = path.relative_to(root)
    try:
        image = read_image(path)
    except ReadError as error:
        reason = str(error).replace(f"{path}: ", "")
        if not _is_dicom(path):
            return Row(shown, "other", outcome=error.found)
        syntax, interpretation = _announced(path)
        return Row(shown, "refused", syntax, interpretation, outcome=reason)
    facts = image.facts
    stored, verdict = _compare(path, int(facts["frames"]))
    size = f"{facts['height']} × {facts['width']}"
    frames = f", {facts['frames']} frames" if int(facts["frames"]) > 1 else ""
    return Row(
        shown,
        "opened",
        str(facts["transfersyntaxuid"]),
        str(facts["photometricinterpretation"]),
        str(facts["decoder"]),
        f"{size}{frames}; {stored}{_colour(path, image)}",
        verdict,
    )


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return looks_like_dicom(file.read(256))


def _announced(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        header = read_header(file, path.name)
    interpretation = str(header.get("PhotometricInterpretation", ""))
    return syntax_name(header.syntax), interpretation or class_name(header)


def _compare(path: Path, frames: int) -> tuple[str, str]:
    """The largest difference of the stored values of all frames, and whether they were judged."""
    worst, judges = 0.0, set()
    for frame in range(frames):
        theirs = independent_frame(path, frame)
        if theirs is None:
            return "no other decoder opens it", "alone"
        ours = our_frame(path, frame)[0].values
        judges.add(_NAMES[theirs[0]])
        difference = np.abs(ours.astype(np.float64) - theirs[1].astype(np.float64))
        worst = max(worst, float(difference.max()))
    name = " and ".join(sorted(judges))
    if worst == 0:
        return f"equal to {name}", "equal"
    return f"{worst:g} from {name}", "different"


def _colour(path: Path, image: Image) -> str:
    """The largest difference in grey levels of 255 after conversion to RGB."""
    facts = image.facts
    palette = str(facts["photometricinterpretation"]) == "PALETTE COLOR"
    if facts["mode"] != "RGB" or palette or "pixel_aspect" in facts:
        return ""
    theirs = independent_rgb(path, 0)
    if theirs is None:
        return ""
    scale = 255 / (2 ** int(facts["bit_depth"]) - 1)
    ours = np.moveaxis(image.pixels, 0, -1) * 255
    worst = float(np.abs(ours - theirs[1] * scale).max())
    return f"; RGB within {worst:.1f} grey levels"


def lines_of(rows: list[Row], columns: tuple[str, ...]) -> list[str]:
    """A table's lines, like files of one folder in one line."""

    def like(row: Row) -> tuple[object, ...]:
        return (row.path.parent, *(getattr(row, column) for column in columns))

    lines = []
    for _, group in groupby(sorted(rows, key=lambda row: row.path), key=like):
        files = list(group)
        runs = [files] if len(files) > _LISTED_ALONE else [[file] for file in files]
        for run in runs:
            first = run[0].path.as_posix()
            many = f"`{first}` to `{run[-1].path.name}` ({len(run)} files)"
            name = f"`{first}`" if len(run) == 1 else many
            cells = [str(getattr(run[0], column)).replace("|", "\\|") for column in columns]
            lines.append("| " + " | ".join([name, *cells]) + " |")
    return lines


def _table(title: str, rows: list[Row], heads: tuple[str, ...], columns: tuple[str, ...]) -> str:
    head = ["| file | " + " | ".join(heads) + " |", "|" + " --- |" * (len(heads) + 1)]
    return "\n".join([f"## {title}", "", *head, *lines_of(rows, columns), ""])


def _decoders() -> str:
    table = {**NATIVE, **PACKED, **{syntax: name for syntax, (name, _) in CODECS.items()}}
    lines = [f"| {syntax_name(syntax)} | `{syntax}` | {name} |" for syntax, name in table.items()]
    return "\n".join(["| transfer syntax | UID | decoder |", "| --- | --- | --- |", *lines, ""])


def report(rows: list[Row], folder: Path) -> str:
    """The page: what was measured, the fixed decoders, and the three tables."""
    kinds = {kind: [row for row in rows if row.kind == kind] for kind in ("opened", "refused")}
    other = [row for row in rows if row.kind == "other"]
    verdicts = Counter(row.verdict for row in kinds["opened"])
    summary = (
        f"{len(rows)} files: {len(kinds['opened'])} pictures opened, {len(kinds['refused'])} DICOM "
        f"files refused with a plain reason, {len(other)} files of other kinds. Of the opened, "
        f"{verdicts['equal']} have stored values equal to an independent decoder's in every frame, "
        f"{verdicts['different']} differ, and {verdicts['alone']} are opened by no other decoder "
        "at hand."
    )
    opened = ("syntax", "interpretation", "decoder", "outcome")
    heads = ("transfer syntax", "photometric interpretation", "decoder", "outcome")
    return "\n".join(
        [
            _INTRODUCTION.format(folder=folder.as_posix()),
            summary + "\n",
            "## Which decoder reads what\n",
            _DECODING,
            _decoders(),
            _DISPLAY,
            _table("Opened", kinds["opened"], heads, opened),
            _table(
                "Refused",
                kinds["refused"],
                ("transfer syntax", "photometric interpretation or kind", "reason"),
                ("syntax", "interpretation", "outcome"),
            ),
            _table("Other files in the folder", other, ("what it is",), ("outcome",)),
        ]
    )


_INTRODUCTION = """# DICOM, file by file

This page is written by `python benchmarks/dicom_table.py {folder} --out docs/dicom.md`: every file
of pydicom's two collections of test objects, read by `pellucid.read_image`. The collections hold
objects broken on purpose; a refusal below is right when its reason is. "Equal to" is said of the
stored values of every frame, and of a package that Pellucid does not decode with; GDCM, Pillow and
imagecodecs each bring their own build of some of the same libraries (OpenJPEG, CharLS, libjpeg).
"""

_DECODING = """Decoders differ by grey levels and in what they do to colour, so each transfer syntax
has one decoder, whatever else is installed; there is no second try with another. The fact `decoder`
of an image names it. Colour leaves the decoder as it is stored and is converted to RGB once, by the
matrix of PS3.3, C.7.6.3.1.2. A JPEG frame that names its own colour space (component names R, G and
B, an Adobe or a JFIF segment) is believed before the header.
"""

_DISPLAY = """## From stored values to the picture

| step | paragraph | what is done |
| --- | --- | --- |
| bits | PS3.5, 8.1.1 | only Bits Stored below High Bit count: an overlay in the unused bits is left out |
| modality | PS3.3, C.11.1; C.7.6.16.2.9 | Modality LUT, else Rescale Slope and Intercept, of the frame where it has its own |
| values of interest | C.11.2; C.7.6.16.2.10 | the chosen window, else the first VOI LUT, else the first window (LINEAR, LINEAR_EXACT, SIGMOID), else the full range of up to 8 bits, else the frame's own range |
| polarity | C.7.6.3.1.2 | MONOCHROME1 is inverted |
| padding | C.7.5.1.1.2 | Pixel Padding Value to its Range Limit counts for no range and is black |
| palette | C.7.6.3.1.5, C.7.9.2 | 8 and 16 bits, also segmented |
| square pixels | C.7.6.3.1.7, 10.7.1.3 | the shorter side is enlarged by the spacings or Pixel Aspect Ratio; the fact `pixel_aspect` says so |
| frames | C.7.6.6, PS3.5 A.4 | one frame is found and decoded without the others |

Linear windows over floating point pixels are taken as LINEAR_EXACT. Overlays (C.9), presentation
states and supplemental palettes are left out.

A chosen window (`lung`, `mediastinum`, `soft_tissue`, `bone`, `brain`, `liver`, or
`CENTER,WIDTH`) replaces the file's own. Two numbers are laid over every grey of more than 8 bits, in
the units of the file: rescaled DICOM values, stored values of a PNG, TIFF or array. A preset is in
Hounsfield units and is laid over those alone: DICOM with Rescale Type HU, rescaled CT, and signed
numbers of a TIFF or array. Colour and pictures of 8 bits keep their full scale. The fact `window`
says what was done, also `not applied: colour`, so that a mixed dataset stays readable and nothing
is passed over in silence.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    paths = sorted(path for path in options.folder.rglob("*") if path.is_file())
    rows = [judge(path, options.folder) for path in paths]
    page = report(rows, options.folder)
    options.out.write_text(page, encoding="utf-8")
    print(Counter(f"{row.kind} {row.verdict}".strip() for row in rows))


if __name__ == "__main__":
    main()
