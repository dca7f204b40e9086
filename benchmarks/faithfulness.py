"""Do the maps mean something? Measured on the test images of OCT and chest phantoms.

    python benchmarks/faithfulness.py --json benchmarks/results/faithfulness.json
    python benchmarks/faithfulness.py --demo oct=demo/oct --demo chest=demo/chest

Each case is trained as `pellucid demo` trains it, or `--demo CASE=FOLDER` is a finished one; the
figures that are kept are of `pellucid demo CASE --budget 90s` on a busy machine. The goals are the
true classes of the images that have a lesion. What a method can be told (the layer of Grad-CAM, the
baseline of the others) is chosen on validation images, by pointing without tolerance; the test
images are measured with that choice, and by pointing with the defaults beside it. All candidates
and their figures on validation are written down. Cases that are not measured stay in the file.

To be read with care: the check by random weights judges the signed maps; "of magnitudes" says how
much of their pattern is the input's. A gain of 0 in deletion may be the measure's: where a chest's
pixels are blurred the network still sees an opacity, and no order of removal lowers its score.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from machine import describe_machine
from pellucid import pipeline
from pellucid.bundle import Bundle, load_bundle
from pellucid.explanation.attribution.attribute import Attribution, attribute
from pellucid.explanation.faithfulness.document import Effort, faithfulness
from pellucid.explanation.faithfulness.figures import code_patients, share_figure
from pellucid.explanation.faithfulness.pointing import place_mask, pointing_game
from pellucid.explanation.goals import Goal, predicted_goals
from pellucid.explanation.layers import stages
from pellucid.images.preprocessing import preprocess
from pellucid.images.reading import read_image
from pellucid.progress import Progress

CASES = ("oct", "chest")
FEW_IMAGES = 32  # of validation, for the methods that take many passes an image; others get all
MANY_PASSES = ("integrated_gradients", "occlusion")
STEPS = {"steps": 20}  # of integrated gradients
WINDOW = {"window": 12, "stride": 6}  # of occlusion, in pixels of 64
EFFORT = Effort(images=400, curve_images=32, sanity_images=8)


@dataclass(frozen=True)
class Lesions:
    """Images with a lesion, their true classes, masks and patients."""

    pixels: npt.NDArray[np.uint8]
    goals: list[Goal]
    masks: npt.NDArray[np.bool_]
    patients: list[str]

    def first(self, n: int) -> Lesions:
        """At most n of them, in equal steps."""
        rows = np.unique(np.linspace(0, len(self.goals) - 1, min(n, len(self.goals))).astype(int))
        goals, patients = ([of[row] for row in rows] for of in (self.goals, self.patients))
        return Lesions(self.pixels[rows], goals, self.masks[rows], patients)


def load(folder: Path, bundle: Bundle, split: str) -> Lesions:
    """The lesions of one split of a demo's folder; masks stand beside the images."""
    table = pd.read_csv(folder / "run" / "index.csv", dtype=str)
    found = []
    for row in table[table["split"] == split].itertuples():
        mask = read_image(folder / "data" / "masks" / row.image_id).pixels
        placed = place_mask(mask, bundle.preprocessing)
        if placed.any():
            image = read_image(folder / "data" / "images" / row.image_id).pixels
            pixels = preprocess(image, bundle.preprocessing)
            found.append((pixels, Goal("label", row.label), placed, row.patient_id))
    pixels, goals, masks, patients = zip(*found, strict=True)
    return Lesions(np.stack(pixels), list(goals), np.stack(masks), list(patients))


def candidates(bundle: Bundle) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each method can be told; the first of a method is its default."""
    yield "grad_cam", {}
    for layer in stages(bundle.classifier, bundle.spec):
        yield "grad_cam", {"layer": layer}
    for baseline in ("mean", "black"):
        yield "integrated_gradients", {"baseline": baseline, **STEPS}
        yield "occlusion", {"baseline": baseline, **WINDOW}
        yield "gradient_x_input", {"baseline": baseline}


def hits_of(lesions: Lesions, made: Attribution) -> dict[str, Any]:
    """Pointing without tolerance, with its interval."""
    patients = code_patients(lesions.patients, len(lesions.goals))
    return share_figure(pointing_game(made.values, lesions.masks), patients)


def choose(bundle: Bundle, lesions: Lesions) -> list[dict[str, Any]]:
    """Every candidate with its pointing on validation, and whether it is the method's choice."""
    rows, few = [], lesions.first(FEW_IMAGES)
    for method, options in candidates(bundle):
        own = few if method in MANY_PASSES else lesions
        made = attribute(bundle, own.pixels, own.goals, method, **options)
        hits = hits_of(own, made)
        rows.append({"method": method, "options": options, "layer": made.layer, "pointing": hits})
    for row in rows:
        told = [other for other in rows if other["method"] == row["method"]]
        row["is_default"] = row is told[0]
        row["is_chosen"] = row is max(told, key=lambda other: other["pointing"]["value"])
    return rows


def measure(folder: Path, case: str, progress: Progress) -> dict[str, Any]:
    """Everything about one case."""
    bundle = load_bundle(folder / "run")
    found = choose(bundle, load(folder, bundle, "validation"))
    progress.say(f"{case}: settings chosen on validation")
    test = load(folder, bundle, "test")
    maps: dict[str, Attribution] = {}
    defaults = []
    for row in found:
        if not (row["is_default"] or row["is_chosen"]):
            continue
        made = attribute(bundle, test.pixels, test.goals, row["method"], **row["options"])
        if row["is_chosen"]:
            maps[row["method"]] = made
        if row["is_default"]:
            defaults.append({**row, "pointing": hits_of(test, made)})
    options = {row["method"]: row["options"] for row in found if row["is_chosen"]}
    document = faithfulness(
        bundle,
        test.pixels,
        test.goals,
        list(maps),
        masks=test.masks,
        patient_ids=test.patients,
        options=options,
        maps=maps,
        effort=EFFORT,
        progress=progress.counter,
    )
    called = predicted_goals(bundle, test.pixels)
    return {
        "network": bundle.spec.name,
        "image_size": bundle.spec.image_size,
        "training": json.loads((folder / "run" / "run.json").read_text())["training"],
        "n_lesions": len(test.goals),
        "n_rightly_called": sum(a == b for a, b in zip(called, test.goals, strict=True)),
        "validation": found,
        "test_defaults": defaults,
        "faithfulness": document,
    }


def print_case(case: str, found: dict[str, Any]) -> None:
    """The figures of a case as tables."""
    right, n = found["n_rightly_called"], found["n_lesions"]
    print(f"\n{case}: {n} test images with a lesion, {right} of them rightly called")
    print_line("settings", "told", ["on validation", "on test"])
    defaults = {row["method"]: row["pointing"] for row in found["test_defaults"]}
    for row in found["validation"]:
        told = row["layer"] or row["options"]["baseline"]
        on_test = text(defaults[row["method"]]) if row["is_default"] else ""
        cells = [text(row["pointing"]), on_test, "chosen" if row["is_chosen"] else ""]
        print_line(row["method"], told, cells)
    document = found["faithfulness"]
    print_line("chance", "class", ["n", "mask share", "centre"])
    for row in document["chance"]:
        cells = [row["n"], text(row["mask_share"]), text(row["strict_centre"])]
        print_line("", row["class"], cells)
    print_line("method", "class", ["pointing", "within 2 pixels", "overlap (IoU)", "energy"])
    for one in document["methods"]:
        for row in one["pointing"]:
            cells = [text(row[name]) for name in ("strict", "pointing", "iou", "energy")]
            print_line(one["method"], row["class"], cells)
    heads = ["deletion gain", "insertion gain", "likeness at the end", "of magnitudes", "sanity"]
    print_line("method", "", heads)
    for one in document["methods"]:
        check = one["randomisation"]
        cells = [one["deletion"]["gain"], one["insertion"]["gain"], check["final"]]
        magnitude = f"{check['magnitude'][-1]:.3f}"
        print_line(one["method"], "", [*map(text, cells), magnitude, check["verdict"]])


def print_line(first: str, second: str, cells: list[Any]) -> None:
    print(f"  {first:21}{second:10}" + "".join(f"{cell!s:23}" for cell in cells), flush=True)


def text(figure: dict[str, Any]) -> str:
    """A figure with its interval."""
    if figure["value"] is None:
        return "undefined"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def rounded(value: Any) -> Any:
    """The same with numbers of five digits, which is more than they hold."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--demo", action="append", default=[], metavar="CASE=FOLDER")
    parser.add_argument("--case", action="append", choices=CASES, help="only this case")
    parser.add_argument("--budget", default="150s", help="time to train each case")
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    given = dict(one.split("=", 1) for one in options.demo)
    progress = Progress()
    cases = {}
    for case in options.case or CASES:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(given.get(case, temporary))
            if case not in given:
                pipeline.demo(case, folder, budget=options.budget, progress=progress)
            cases[case] = measure(folder, case, progress)
        print_case(case, cases[case])
    if options.json:
        demos = "".join(f" --demo {case}=demo/{case}" for case in cases if case in given)
        command = f"python benchmarks/faithfulness.py{demos}"
        document = {"command": command, "machine": describe_machine(), "cases": rounded(cases)}
        if options.json.is_file():
            earlier = json.loads(options.json.read_text())["cases"]
            document["cases"] = {**earlier, **document["cases"]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
