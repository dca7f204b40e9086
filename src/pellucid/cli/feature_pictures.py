"""The sheets of `features`: what is computed, drawn, and said below it in words.

Each `picture_` function makes one sheet, a figure with its numbers. Knows both sides and no option.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from pellucid.bundle import Bundle, load_bundle
from pellucid.data.cache import build_cache
from pellucid.data.index import Dataset, read_dataset
from pellucid.errors import DataError, UsageError
from pellucid.explanation import maximisation
from pellucid.explanation.exciting_patches import ExcitingPatches, exciting_patches
from pellucid.explanation.feature_maps import STRENGTH, feature_maps, unit_fields
from pellucid.explanation.filters import filters
from pellucid.explanation.goals import find_goal
from pellucid.explanation.layers import full_name, last_convolutional_layer
from pellucid.explanation.walk import LogitParts, Stage, Walk, walk
from pellucid.images.preprocessing import preprocess
from pellucid.images.reading import read_image
from pellucid.progress import Progress
from pellucid.reporting.drawing import feature_plots as plots
from pellucid.reporting.drawing.walk_plot import LogitBars, StageRow, draw_walk
from pellucid.reporting.writing import decimal, shorten
from pellucid.run import Run
from pellucid.task import Task

PATCH_CHANNELS = 6
FEATURES = 8  # of the head, that a logit's panel names one by one

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Asked:
    """The model, one image as the network gets it (1, C, S, S), the layer and how many channels."""

    bundle: Bundle
    pixels: Pixels
    layer: str
    n_channels: int
    facts: dict[str, Any]


@dataclass(frozen=True)
class Images:
    """A dataset's table and pixels (n, C, S, S), and the rows that are looked at."""

    table: pd.DataFrame
    pixels: Pixels
    rows: npt.NDArray[np.int64]
    words: str
    patients_known: bool


@dataclass(frozen=True)
class Sheet:
    """A picture, the file it is kept in, and its numbers."""

    file: str
    figure: Figure
    facts: dict[str, Any]


def open_asked(model: Path, image: Path, layer: str | None, n_channels: int) -> Asked:
    """Load the model and the image; a wrong layer is an error before anything is drawn."""
    bundle = load_bundle(model)
    classifier = bundle.classifier
    name = layer or last_convolutional_layer(classifier)
    full_name(classifier, name)
    read = read_image(image, window=bundle.preprocessing.window)
    pixels = preprocess(read.pixels, bundle.preprocessing)[np.newaxis]
    facts = {"network": bundle.spec.name, "image": image.name, "layer": name}
    return Asked(bundle, pixels, name, n_channels, facts)


def open_images(source: str, bundle: Bundle, progress: Progress) -> Images:
    """The images of a dataset, or the training images of a run, as the network gets them.

    Raises `DataError` when none can be read.
    """
    run = Run(Path(source))
    is_run = run.index_path.is_file()
    if is_run:
        table = run.load_index()
        known = bool(run.facts.get("dataset", {}).get("patients_known"))
        name = Path(source).name
        dataset = Dataset(table, bundle.task, name, source, patients_known=known)
    else:
        dataset = read_dataset(source, progress=progress.counter("Listing"))
    cache = build_cache(dataset, bundle.preprocessing, progress=progress.counter("Decoding"))
    wanted = cache.readable & (dataset.table["split"].to_numpy() == "train" if is_run else True)
    rows = np.flatnonzero(wanted)
    if not len(rows):
        raise DataError("Patches are cut from at least one readable image", f"none in {source}")
    words = f"{len(rows):,} {'training ' if is_run else ''}images"
    return Images(dataset.table, cache.pixels, rows, words, dataset.patients_known)


def picture_maps(asked: Asked) -> Sheet:
    """The strongest feature maps of the layer."""
    seen = feature_maps(asked.bundle, asked.pixels, asked.layer)
    chosen = seen.strongest(asked.n_channels)
    strengths = {channel: float(seen.strengths[0, channel]) for channel in chosen}
    _, n_channels, rows, columns = seen.maps.shape
    note = (
        f"{len(chosen)} strongest of {n_channels} channels, each a map of {rows} × {columns}; "
        f"{_field_words(asked, rows)}.\nAbove a map: the channel, and the {STRENGTH}."
    )
    figure = plots.draw_maps(
        picture(asked.pixels[0]),
        [
            plots.Tile(f"channel {channel} · {strengths[channel]:.2f}", seen.maps[0, channel])
            for channel in chosen
        ],
        title=f"Feature maps of {asked.layer}",
        note=note,
    )
    shape = [n_channels, rows, columns]
    facts = {"layer": asked.layer, "shape": shape, "rule": STRENGTH, "strengths": strengths}
    return Sheet("maps.png", figure, facts)


def picture_filters(asked: Asked) -> Sheet:
    """The filters of the first convolution."""
    found = filters(asked.bundle)
    weights = found.weights
    shown = weights[:, 0] if weights.shape[1] == 1 else np.moveaxis(weights, 1, -1)
    size = f"{weights.shape[2]} × {weights.shape[3]}"
    note = f"{len(weights)} filters of {size} pixels. A weight is per unit of the normalised image."
    if weights.shape[1] == 3:
        note += " Mid-grey is 0; a filter's colour is the one that it answers to."
    names = [str(number) for number in range(len(weights))]
    title = f"Filters of the first convolution, {found.layer}"
    figure = plots.draw_filters(shown, names, title=title, note=note)
    facts = {"layer": found.layer, "shape": list(weights.shape), "norms": found.norms.tolist()}
    return Sheet("filters.png", figure, facts)


def picture_walk(asked: Asked) -> Sheet:
    """The page "from edges to disease"."""
    way = walk(asked.bundle, asked.pixels)
    size = asked.bundle.spec.image_size
    hidden = len(way.logits) - 4
    note = (
        f"Above a map: its channel, the strongest first by the {STRENGTH}.\n"
        "Frame: what the most active unit of the first map sees of the image, the part inside it."
    )
    if hidden > 0:
        note += f"\n{hidden} more logits are in features.json."
    figure = draw_walk(
        picture(way.pixels),
        [_stage_row(stage, size) for stage in way.stages],
        way.pooled,
        [_logit_bars(parts, len(asked.bundle.task.targets) > 1) for parts in way.logits],
        title=f"From edges to disease: one image on its way through {asked.bundle.spec.name}",
        note=note,
    )
    return Sheet("walk.png", figure, _walk_facts(way))


def picture_patches(asked: Asked, images: Images, progress: Progress) -> Sheet:
    """The patches that excite the image's strongest channels most in other images."""
    seen = feature_maps(asked.bundle, asked.pixels, asked.layer)
    found = exciting_patches(
        asked.bundle,
        images.pixels,
        asked.layer,
        seen.strongest(min(asked.n_channels, PATCH_CHANNELS)),
        groups=images.table["patient_id"].tolist(),
        rows=images.rows,
        progress=progress.counter("Looking for patches"),
    )
    whose = "patient" if images.patients_known else "image, patients being unknown"
    note = (
        f"From {images.words}; each patch of a row is of another {whose}. {_cut_words(found)}\n"
        "Above a patch: the activation. Cross: the unit. Hatched: beyond the image's border."
    )
    figure = plots.draw_patches(
        _patch_rows(found),
        title=f"What excites the channels of {asked.layer} most",
        note=note,
    )
    return Sheet("patches.png", figure, _patch_facts(found, images.table))


def picture_maximised(
    asked: Asked, wish: str, images: Images | None, seed: int, progress: Progress
) -> Sheet:
    """A picture made to excite a channel or a class, beside what real images reach."""
    bundle = asked.bundle
    objective = find_objective(bundle.task, asked.layer, wish)
    count = progress.counter("Maximising", "steps")
    made = maximisation.maximise(bundle, objective, seed=seed, progress=count)
    this = float(maximisation.objective_values(bundle, asked.pixels, objective)[0])
    reached = {"made picture": made.reached, "this image": this, "noise at first": made.noise}
    real, titles = picture(asked.pixels[0]), ("made picture", "this image")
    if images is not None:
        best, value = _strongest(bundle, images, objective, progress)
        reached["strongest image"] = value
        real, titles = picture(images.pixels[best]), ("made picture", "strongest image")
    ordered = sorted(reached.items(), key=lambda entry: -entry[1])
    among = f" of {images.words}" if images is not None else ""
    figure = plots.draw_maximised(
        picture(made.pixels),
        real,
        ordered,
        titles=titles,
        title=f"A picture made to raise one number: {objective.name}",
        note="It shows what the network responds to; it is not a picture of a disease.\n"
        f"Gradient ascent from noise, seed {seed}; values of whole pictures{among}.",
        unit=objective.name,
    )
    facts = {"objective": objective.name, "seed": seed, "reached": reached}
    return Sheet("maximised.png", figure, facts)


def find_objective(task: Task, layer: str, wish: str) -> maximisation.Objective:
    """A channel's number, a class, or TARGET:CLASS where targets share a class.

    Raises `UsageError` for what is none of them.
    """
    if wish.isdecimal():
        return maximisation.channel_objective(layer, int(wish))
    target, colon, label = wish.rpartition(":")
    if colon and target in task.names:
        return maximisation.class_objective(find_goal(task, target, label))
    having = [one.name for one in task.targets if wish in one.classes]
    if len(having) == 1 or len(task.targets) == 1:
        name = having[0] if having else task.names[0]
        return maximisation.class_objective(find_goal(task, name, wish))
    raise UsageError(
        "What is maximised is a channel's number, or a class as TARGET:CLASS",
        repr(wish),
        f"Targets: {', '.join(task.names)}.",
    )


def picture(pixels: Pixels) -> Pixels:
    """(C, row, column) → (row, column) or (row, column, 3), as it is drawn."""
    return pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)


def _strongest(
    bundle: Bundle, images: Images, objective: maximisation.Objective, progress: Progress
) -> tuple[int, float]:
    """The row whose image has the largest value of the objective, and the value."""
    count = progress.counter("Comparing")
    values = maximisation.objective_values(
        bundle, images.pixels, objective, rows=images.rows, progress=count
    )
    best = int(values.argmax())
    return int(images.rows[best]), float(values[best])


def _field_words(asked: Asked, n_rows: int) -> str:
    field = unit_fields(asked.bundle, {asked.layer: n_rows})[asked.layer]
    return f"one unit sees {_side_words(field.size, asked.bundle.spec.image_size)}"


def _side_words(side: float, size: int) -> str:
    return f"{side:g} × {side:g} pixels{', all of the image' if side >= 2 * size else ''}"


def _cut_words(found: ExcitingPatches) -> str:
    side = f"{found.field:g} × {found.field:g} pixels"
    if found.is_whole_image:
        return f"One unit sees {side}: all of the image."
    return f"Patches are what one unit sees, {side}."


def _stage_row(stage: Stage, size: int) -> StageRow:
    channels, rows, columns = stage.shape
    side = stage.field.size
    lines = (
        stage.layer,
        f"{channels} maps of {rows} × {columns}",
        "one unit sees",
        f"{side:g} × {side:g} pixels" if side < 2 * size else f"{side:g} pixels: all",
    )
    tiles = tuple(
        plots.Tile(str(channel), values)
        for channel, values in zip(stage.channels, stage.maps, strict=True)
    )
    return StageRow(lines, stage.window, tiles)


def _logit_bars(parts: LogitParts, are_several: bool) -> LogitBars:
    """The features that move the logit most, the sum of the others, the bias, the logit."""
    named = parts.strongest(FEATURES)
    bars = tuple((str(number), float(parts.contributions[number])) for number in named)
    others = float(np.delete(parts.contributions, named).sum())
    n_others = len(parts.contributions) - len(named)
    label = f"{parts.target}: {parts.label}" if are_several else parts.label
    sums = ((f"{n_others} others", others), ("bias", parts.bias), ("logit", parts.total))
    return LogitBars(f"Logit of {shorten(label, 16)}", bars, sums)


def _walk_facts(way: Walk) -> dict[str, Any]:
    stages = [
        {
            "layer": stage.layer,
            "shape": list(stage.shape),
            "receptive_field": stage.field.size,
            "channels": list(stage.channels),
            "strengths": list(stage.strengths),
        }
        for stage in way.stages
    ]
    logits = [
        {
            "target": parts.target,
            "class": parts.label,
            "logit": parts.logit,
            "bias": parts.bias,
            "contributions": parts.contributions.tolist(),
        }
        for parts in way.logits
    ]
    pooled = [float(value) for value in way.pooled]
    return {"stages": stages, "pooling": way.pooling, "pooled": pooled, "logits": logits}


def _patch_rows(found: ExcitingPatches) -> list[tuple[str, list[plots.PatchTile]]]:
    return [
        (
            f"channel\n{channel}",
            [
                plots.PatchTile(
                    decimal(patch.activation, 2), picture(patch.pixels), patch.inside, patch.centre
                )
                for patch in patches
            ],
        )
        for channel, patches in found.patches.items()
    ]


def _patch_facts(found: ExcitingPatches, table: pd.DataFrame) -> dict[str, Any]:
    names = table["image_id"].tolist()
    channels = {
        str(channel): [
            {
                "image_id": names[patch.image],
                "activation": patch.activation,
                "unit": list(patch.unit),
                "corner": list(patch.corner),
            }
            for patch in patches
        ]
        for channel, patches in found.patches.items()
    }
    facts = {"layer": found.layer, "receptive_field": found.field, "n_images": found.n_images}
    return {**facts, "channels": channels}
