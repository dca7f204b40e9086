"""Every picture of docs/lecture.md and docs/seeing.md, made again by Pellucid itself.

    python docs/make_pictures.py                        phantoms → docs/pictures/lecture
    python docs/make_pictures.py --images FOLDER --out FOLDER   real images → outside the repository

It draws a folder of phantoms (or takes yours), trains a ResNet-34 for `--budget`, and draws. The
numbers in the pictures therefore depend on the machine; what they show does not. `--run` takes a
run that is already there. Pictures of real images are never put into the repository.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image as Picture

import pellucid
from pellucid.bundle import Bundle, load_bundle
from pellucid.cli import feature_pictures
from pellucid.data.phantoms import PHANTOM_PATIENT_PATTERN, write_phantoms
from pellucid.errors import UsageError
from pellucid.explanation.attribution.attribute import attribute
from pellucid.explanation.goals import predicted_goals
from pellucid.images.preprocessing import place_back, preprocess
from pellucid.images.reading import read_image
from pellucid.network.classifier import build_classifier
from pellucid.network.formulas import pad
from pellucid.network.receptive_field import receptive_fields
from pellucid.network.spec import NetworkSpec
from pellucid.playground import pictures as play
from pellucid.playground.activations import activation_curves
from pellucid.playground.augmentations import augment_in_turn
from pellucid.playground.collapse import collapse
from pellucid.playground.convolution import respond
from pellucid.playground.cross_entropy import cross_entropy_curve
from pellucid.playground.kernels import find_kernel
from pellucid.playground.output_layers import convert_logits
from pellucid.playground.pooling import pool
from pellucid.playground.subject import Subject, read_subject
from pellucid.reporting.drawing import faithfulness_plots as faithful
from pellucid.reporting.drawing import playground_plots as plots
from pellucid.reporting.drawing.curves import plot_curves
from pellucid.reporting.drawing.figure_files import figure_file
from pellucid.reporting.drawing.heat_maps import HeatMap, draw_heat_maps, fit_picture
from pellucid.reporting.drawing.run_plots import plot_losses, plot_metric
from pellucid.run import Run
from pellucid.task import Target, Task

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "pictures" / "lecture"
FAITHFULNESS = ROOT / "benchmarks" / "results" / "faithfulness.json"
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm")
PATIENTS, IMAGE_SIZE, NETWORK = 240, 96, "resnet34"
DPI, COLOURS, MOST_BYTES = 100, 256, 150_000
FIELD_LAYERS = ("conv1", "maxpool", "layer1.0", "layer1", "layer2.0", "layer2")
LEVELS = {"shallow": "relu", "deep": "layer2", "final": "layer4"}

Drawn = tuple[str, bytes]  # the name of a picture's file, and what stands in it


@dataclass(frozen=True)
class Material:
    """What is drawn: an image to play with, a run, and one of its test images."""

    subject: Subject
    policy: str
    run: Run
    image: Path


def main() -> None:
    """Make the pictures, and say where they are."""
    wish = _arguments()
    out = wish.out.resolve()
    if wish.images is not None and out.is_relative_to(ROOT):
        raise UsageError("Pictures of real images stay outside the repository", str(wish.out))
    out.mkdir(parents=True, exist_ok=True)
    material = _material(wish)
    for name, content in _all_pictures(material):
        if wish.only and wish.only not in name:
            continue
        (out / name).write_bytes(content)
        sys.stdout.write(f"{len(content):>8,} bytes  {out / name}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="an image folder of your own")
    parser.add_argument("--patient-pattern", help="with --images: the patient in a file's name")
    parser.add_argument("--policy", default="retinal_oct", help="augmentations that are shown")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--run", type=Path, help="a run that is there already")
    parser.add_argument("--budget", default="8m", help="wall time for training the ResNet-34")
    parser.add_argument("--only", default="", help="only pictures with this in their name")
    return parser.parse_args()


def _material(wish: argparse.Namespace) -> Material:
    run = Run(wish.run) if wish.run else _train(wish)
    if wish.images is None:
        return Material(read_subject("phantom:oct"), wish.policy, run, _right_image(run))
    files = sorted(path for path in wish.images.rglob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise UsageError("The folder has an image", f"none in {wish.images}")
    image = files[0] if wish.run else _right_image(run)
    subject = replace(read_subject(str(image)), name=image.parent.name)
    return Material(subject, wish.policy, run, image)


def _train(wish: argparse.Namespace) -> Run:
    """A ResNet-34 from scratch on the images, or on phantoms; neither baseline nor corruptions."""
    folder = Path(tempfile.mkdtemp(prefix="pellucid-pictures-"))
    images, pattern = wish.images, wish.patient_pattern
    if images is None:
        options: dict[str, Any] = {"n_patients": PATIENTS, "image_size": IMAGE_SIZE}
        images = write_phantoms(folder / "data", "oct", **options)
        pattern = PHANTOM_PATIENT_PATTERN
    return pellucid.train(
        pellucid.read_dataset(images, patient_pattern=pattern),
        folder / "run",
        budget=wish.budget,
        settings={"network": NETWORK, "image_size": IMAGE_SIZE},
        baseline=False,
        robustness=False,
    )


def _right_image(run: Run) -> Path:
    """The first test image with a finding that the network calls rightly, or the first of all."""
    bundle, table = load_bundle(run.bundle_path), run.load_index()
    target = bundle.task.targets[0]
    test = table[table["split"] == "test"].sort_values("image_id")
    ill = test[test[target.name].str.upper() != "NORMAL"]
    for path, label in zip(ill["image_path"], ill[target.name], strict=True):
        (goal,) = predicted_goals(bundle, _pixels(bundle, Path(path)))
        if goal.label == label:
            return Path(path)
    return Path(test["image_path"].iloc[0])


def _pixels(bundle: Bundle, image: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    read = read_image(image, window=bundle.preprocessing.window)
    return preprocess(read.pixels, bundle.preprocessing)[np.newaxis]


def _all_pictures(material: Material) -> Iterator[Drawn]:
    """One picture after the other, so that --only and a broken one do not cost the others."""
    for part in (_formulas, _on_an_image, _of_a_run, _inside, _faithfulness):
        yield from part(material)


def _formulas(_: Material) -> Iterator[Drawn]:
    """What is drawn of numbers alone."""
    target = Target(name="label", classes=("NORMAL", "PNEUMONIA"), positive="PNEUMONIA")
    yield _svg("activations", play.draw_activations(activation_curves()))
    yield _svg("cross-entropy", play.draw_cross_entropy(cross_entropy_curve(2)))
    yield _svg("losses", play.draw_losses())
    yield _svg("output", play.draw_output(convert_logits([1.5], target.classes)))


def _on_an_image(material: Material) -> Iterator[Drawn]:
    """What is done to one image: kernels, padding, pooling, the collapse, fields, augmentations."""
    subject = material.subject
    grey, name = subject.grey, subject.name
    row, column = (side // 2 - 12 for side in grey.shape)
    for file, kernel, padding in (
        ("sobel", "sobel_x", "same"),
        ("mean", "mean:9", "same"),
        ("patch", f"patch:{row},{column},24", 0),
    ):
        responses = respond(grey, find_kernel(kernel, grey), padding=padding, mode="mirror")
        yield _png(f"kernel-{file}", play.draw_convolution(responses, name))
    yield _png("padding", _draw_padding(subject))
    yield _png("pooling", play.draw_pooling(pool(grey, "max", 4), name))
    yield _png("collapse", play.draw_collapse(collapse(grey)))
    yield _png("receptive-field", _draw_fields(subject))
    augmented = augment_in_turn(subject.for_network(128), material.policy)
    yield _png("augmentations", play.draw_augmentations(augmented, name))


def _draw_padding(subject: Subject) -> Figure:
    side = min(subject.grey.shape)
    width = side // 4
    image = subject.grey
    box = ((width, width, *image.shape),)
    panels = [
        plots.Panel(
            f"{words}\n{width} pixels a side",
            pad(image[np.newaxis], width, mode)[0],
            "grey value",
            (0.0, 1.0),
            boxes=box,
        )
        for mode, words in (("zero", "zeros"), ("mirror", "mirror"), ("wrap", "wrap"))
    ]
    note = "Framed: the image itself. A network pads by one to three pixels a layer, not by these."
    return plots.draw_panels(panels, title="What stands beyond the border", note=note)


def _draw_fields(subject: Subject) -> Figure:
    """What the middle unit of six layers of a ResNet-34 sees, on an image of 224 pixels."""
    spec = NetworkSpec(name=NETWORK, channels=1, image_size=224)
    task = Task(targets=(Target(name="label", classes=("no", "yes")),))
    fields = receptive_fields(build_classifier(spec, task), spec)
    image = replace(subject, pixels=subject.grey[np.newaxis].astype(np.float32)).for_network(224)[0]
    panels = []
    for layer in FIELD_LAYERS:
        field = fields[f"backbone.{layer}"]
        first, last = field.bounds(round((112 - field.start) / field.stride))
        low, high = max(0, round(first)), min(223, round(last))
        box = ((low, low, high - low + 1, high - low + 1),)
        words = f"{layer}\n{field.size:g} × {field.size:g}, stride {field.stride:g}"
        panels.append(plots.Panel(words, image, "grey value", (0.0, 1.0), boxes=box))
    note = (
        "Framed: the pixels that the middle unit of a layer can see, cut at the image's border; "
        "layer3 and layer4 see all of it."
    )
    return plots.draw_panels(panels, title="Receptive fields of a ResNet-34", note=note)


def _of_a_run(material: Material) -> Iterator[Drawn]:
    """The curves of a run, as its report draws them."""
    history, facts = _history(material.run), material.run.facts
    best = facts["training"]["best_epoch"]
    yield "loss-curve.svg", _alone(plot_losses(history, best, name="loss"))
    yield "metric-curve.svg", _alone(plot_metric(history, best, metric="AUROC", name="metric"))
    blocks = material.run.evaluation["blocks"]
    test = next(block for block in blocks if block["split"] == "test")
    roc, precision = plot_curves(test, None, 1)
    yield "roc.svg", _alone(roc)
    yield "precision-recall.svg", _alone(precision)


def _history(run: Run) -> Any:
    import pandas as pd

    return pd.read_csv(run.folder / "history.csv")


def _inside(material: Material) -> Iterator[Drawn]:
    """The image on its way through the trained network."""
    for level, layer in LEVELS.items():
        asked = _asked(material, layer)
        yield _png(f"maps-{level}", feature_pictures.picture_maps(asked).figure)
    asked = _asked(material, None)
    yield _png("filters", feature_pictures.picture_filters(asked).figure)
    yield _png("walk", feature_pictures.picture_walk(asked).figure)
    yield "grad-cam.png", _small(_draw_maps(material))


def _asked(material: Material, layer: str | None) -> feature_pictures.Asked:
    return feature_pictures.open_asked(material.run.bundle_path, material.image, layer, 7)


def _draw_maps(material: Material) -> bytes:
    """Grad-CAM and integrated gradients for the called class, over the whole image."""
    bundle = load_bundle(material.run.bundle_path)
    image, pixels = read_image(material.image).pixels, _pixels(bundle, material.image)
    (goal,) = predicted_goals(bundle, pixels)
    picture = fit_picture(image)
    maps = []
    for method, words in (("grad_cam", "Grad-CAM"), ("integrated_gradients", "Integrated grad.")):
        found = attribute(bundle, pixels, goal, method)
        heat = place_back(found.values[0], *picture.shape[:2], bundle.preprocessing)
        is_cam = method == "grad_cam"
        unit = f"raises the logit of {goal.label}" if is_cam else f"share of {goal.label}'s logit"
        title = f"{words}, {found.layer}" if is_cam else words
        maps.append(HeatMap(heat, title, unit, is_signed=not is_cam, is_smooth=is_cam))
    return draw_heat_maps(picture, maps, f"What speaks for {goal.label}, the class that is called")


def _faithfulness(_: Material) -> Iterator[Drawn]:
    """The figures of the benchmark, where it has been run."""
    if not FAITHFULNESS.is_file():
        return
    results = json.loads(FAITHFULNESS.read_text(encoding="utf-8"))
    for case, measured in results["cases"].items():
        name = f"pointing-{case}"
        yield f"{name}.svg", _alone(faithful.draw_pointing(measured["faithfulness"], name))


def _svg(name: str, figure: Figure) -> Drawn:
    return f"{name}.svg", figure_file(figure, ".svg")


def _png(name: str, figure: Figure) -> Drawn:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return f"{name}.png", _small(buffer.getvalue())


def _small(png: bytes) -> bytes:
    """The same picture with a palette of few colours, and narrower until it is small enough."""
    picture = Picture.open(io.BytesIO(png)).convert("RGB")
    longest = 1100
    while True:
        shown = picture.copy()
        shown.thumbnail((longest, 4 * longest), Picture.Resampling.LANCZOS)
        buffer = io.BytesIO()
        shown.quantize(COLOURS, dither=Picture.Dither.NONE).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MOST_BYTES or longest < 400:
            return buffer.getvalue()
        longest = round(0.9 * longest)


def _alone(svg: str) -> bytes:
    """An SVG element of a page as a file of its own."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).encode()


if __name__ == "__main__":
    main()
