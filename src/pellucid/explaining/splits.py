"""A split of a run explained at once: a gallery, every map in one file, and whether they mean it.

Knows the run's index and which file goes where; the maps are `explanation`'s.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.bundle import Bundle
from pellucid.errors import ReadError, UsageError, did_you_mean
from pellucid.explaining.images import Explained, named_reason
from pellucid.explaining.masks import find_masks
from pellucid.explaining.measuring import measure
from pellucid.explaining.one_image import Wish, goal_of, word_each
from pellucid.explaining.places import INDEX, model_name, open_folder, refuse_written
from pellucid.explanation.attribution.attribute import Attribution, attribute
from pellucid.explanation.faithfulness.document import spread
from pellucid.images.preprocessing import place_back, preprocess
from pellucid.images.reading import read_image
from pellucid.prediction import predict_logits
from pellucid.progress import Progress
from pellucid.reporting.drawing.heat_maps import fit_picture
from pellucid.reporting.explaining.explained import ExplainedMap
from pellucid.reporting.explaining.faithfulness_parts import faithfulness_parts
from pellucid.reporting.explaining.gallery_page import (
    TILES_SHOWN,
    GalleryPage,
    GalleryTile,
    tile_address,
    tile_key,
    unreadable_images,
    write_gallery_page,
)
from pellucid.reporting.explaining.method_words import method_words
from pellucid.reporting.parts import Part
from pellucid.reporting.writing import count
from pellucid.run import Run
from pellucid.storage import write_bytes, write_json
from pellucid.task import Target

MAPS, TESTS = "maps.npz", "faithfulness.json"

Pixels = npt.NDArray[np.uint8]
Count = Callable[[int, int], None]


@dataclass(frozen=True)
class SplitImages:
    """The readable images of a split as the network sees them: row i of each is the same image.

    `rows` are their places in the table that was read.
    """

    table: pd.DataFrame
    rows: list[int]
    pixels: Pixels
    logits: npt.NDArray[np.float32]


def explain_split(
    bundle: Bundle,
    model: Path,
    out: Path,
    *,
    split: str,
    limit: int | None,
    masks: Path | None,
    wish: Wish,
    overwrite: bool,
    progress: Progress,
) -> Explained:
    """Explain a split of a run; writes index.html, maps.npz and faithfulness.json.

    Of more than `limit` images some are taken in equal steps through the run's index.
    """
    table = _rows(model, split)
    refuse_written([out / name for name in (f"{INDEX}.html", MAPS, TESTS)], overwrite)
    total = len(table)
    table = table.iloc[spread(total, limit)].reset_index(drop=True)
    lesions = find_masks(masks, table["image_id"].astype(str).tolist()) if masks else None
    done = Explained(open_folder(out))
    images = _read(bundle, table, done, progress.counter("Reading images"))
    if not len(images.table):
        raise UsageError(f"No image of the split {split!r} can be read", str(done.unreadable[0]))
    targets = wish.targets(bundle)
    maps = [_attribute(bundle, images, target, wish, progress) for target in targets]
    done.written.append(_save(out / MAPS, dict(_arrays(images, maps))))
    of_images = [lesions[row] for row in images.rows] if lesions else None
    tests = [_test(bundle, images, one, of_images, wish, progress) for one in maps]
    done.written.append(write_json(out / TESTS, {"split": split, "targets": tests}))
    done.documents += [entry for one in maps for entry in _documents(images, one)]
    tiles = list(_tiles(bundle, images, maps[0][wish.methods[0]], targets[0]))
    page = _page(done, tiles, model, split, (len(images.table), total), wish)
    page.parts.extend(_parts(tests))
    done.written.append(write_gallery_page(page, out / f"{INDEX}.html"))
    return done


def _rows(model: Path, split: str) -> pd.DataFrame:
    """The rows of the run's index that stand in the split; raises `UsageError`."""
    run = Run(model)
    if not run.index_path.is_file():
        rule = "A split is explained of a run, which knows its images"
        raise UsageError(rule, str(model), "Give the run folder, or image files.")
    table = run.load_index()
    known = sorted(table["split"].dropna().unique())
    if split not in known:
        raise UsageError(f"Unknown split of {model}", repr(split), did_you_mean(split, known))
    return table[table["split"] == split].reset_index(drop=True)


def _read(bundle: Bundle, table: pd.DataFrame, done: Explained, count_up: Count) -> SplitImages:
    """Read, preprocess and predict; what cannot be read is set aside with its reason."""
    kept, pixels = [], []
    for number, row in enumerate(table.itertuples(index=False)):
        try:
            window = bundle.preprocessing.window
            image = read_image(str(row.image_path), int(str(row.frame)), window=window)
        except ReadError as error:
            done.unreadable.append(error)
        else:
            kept.append(number)
            pixels.append(preprocess(image.pixels, bundle.preprocessing))
        count_up(number + 1, len(table))
    size, channels = bundle.preprocessing.image_size, bundle.preprocessing.channels
    batch = np.stack(pixels) if pixels else np.zeros((0, channels, size, size), np.uint8)
    logits = predict_logits(bundle.classifier, batch, bundle.preprocessing)
    return SplitImages(table.iloc[kept].reset_index(drop=True), kept, batch, logits)


def _attribute(
    bundle: Bundle, images: SplitImages, target: Target, wish: Wish, progress: Progress
) -> dict[str, Attribution]:
    """Every method's maps of the class asked for, else of the one called, of each image."""
    words = [word_each(bundle, row)[target.name] for row in images.logits]
    goals = [goal_of(wording, wish.label) for wording in words]
    return {
        method: attribute(
            bundle,
            images.pixels,
            goals,
            method,
            progress=progress.counter(method_words(method).name),
            **wish.options(method),
        )
        for method in wish.methods
    }


def _test(
    bundle: Bundle,
    images: SplitImages,
    maps: dict[str, Attribution],
    lesions: Sequence[Path | None] | None,
    wish: Wish,
    progress: Progress,
) -> dict[str, Any]:
    """The faithfulness document of one target's maps."""
    return measure(
        bundle,
        images.pixels,
        next(iter(maps.values())).goals,
        tuple(maps),
        masks=lesions,
        patient_ids=images.table["patient_id"].astype(str).tolist(),
        options={method: wish.options(method) for method in maps},
        maps=maps,
        progress=progress,
    )


def _parts(tests: Sequence[dict[str, Any]]) -> Iterator[Part]:
    for number, one in enumerate(tests):
        yield from faithfulness_parts(one, number, one["target"] if len(tests) > 1 else "")


def _arrays(
    images: SplitImages, maps: Sequence[dict[str, Attribution]]
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """What maps.npz holds: names of images; of each target its name, classes, logits and maps."""
    yield "image_ids", _names(images)
    for number, of_target in enumerate(maps):
        first = next(iter(of_target.values()))
        yield f"target_{number}", np.array(first.goals[0].target)
        yield f"classes_{number}", np.array([goal.label for goal in first.goals])
        yield f"logits_{number}", first.scores.astype(np.float32)
        for method, found in of_target.items():
            yield f"{method}_{number}", found.values


def _names(images: SplitImages) -> npt.NDArray[np.str_]:
    return images.table["image_id"].to_numpy(dtype=str)


def _save(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> Path:
    """One archive of arrays of numbers and text; no object, so reading it unpickles nothing."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub sees the option
    return write_bytes(path, buffer.getvalue())


def _documents(images: SplitImages, maps: dict[str, Attribution]) -> Iterator[dict[str, Any]]:
    """A line an image for --json."""
    first = next(iter(maps.values()))
    for name, goal, score in zip(_names(images), first.goals, first.scores, strict=True):
        document = {"image_id": str(name), "target": goal.target, "class": goal.label}
        yield {**document, "logit": float(score)}


def _tiles(
    bundle: Bundle, images: SplitImages, found: Attribution, target: Target
) -> Iterator[GalleryTile]:
    """The first images under their maps, with truth and call where the run knows the truth."""
    for number in range(min(len(images.table), TILES_SHOWN)):
        row = images.table.iloc[number]
        window = bundle.preprocessing.window
        image = read_image(str(row["image_path"]), int(row["frame"]), window=window)
        picture = fit_picture(image.pixels)
        height, width = picture.shape[:2]
        goal = found.goals[number]
        one = ExplainedMap(
            target=goal.target,
            label=goal.label,
            method=found.method,
            layer=found.layer,
            score=float(found.scores[number]),
            values=place_back(found.values[number], height, width, bundle.preprocessing),
        )
        words = word_each(bundle, images.logits[number])[target.name].to_json()
        yield GalleryTile(
            name=str(row["image_id"]),
            address=tile_address(picture, one),
            call=_call(row, target, words["called"]),
            is_synthetic=bool(image.facts.get("synthetic", False)),
        )


def _call(row: pd.Series[Any], target: Target, called: str) -> str:
    truth = row.get(target.name)
    return f"{truth} → {called}" if isinstance(truth, str) else f"called {called}"


def _page(
    done: Explained,
    tiles: list[GalleryTile],
    model: Path,
    split: str,
    counts: tuple[int, int],
    wish: Wish,
) -> GalleryPage:
    n, total = counts
    lead = f"{count(n, f'{split} image')} explained."
    if n < total - len(done.unreadable):
        lead = f"{n:,} of {count(total, f'{split} image')} explained, in equal steps of the index."
    words = [f"Every map stands in {MAPS}, as the network's input sees it."]
    if len(tiles) < n:
        words.append(f"The first {len(tiles)} are shown here.")
    if split in ("train", "validation") and Run(model).is_of_folds:
        words.append("All of its networks but one have learned from each of these images.")
    elif split == "train":
        words.append("It has learned from these images, and is surer of them than of others.")
    return GalleryPage(
        title=f"What {model_name(model)} looks at",
        subtitle="Explanations of a split by Pellucid",
        lead=lead,
        words=words,
        tiles=tiles,
        key=f"Truth → called. {tile_key(wish.methods[0], wish.label)}",
        unreadable=unreadable_images([named_reason(error) for error in done.unreadable]),
    )
