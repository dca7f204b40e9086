"""Whether the maps mean anything, as parts of a page: by method and class, with what chance gives.

Every figure and verdict comes from the faithfulness document; this module arranges them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pellucid.reporting.drawing.faithfulness_plots import (
    draw_pointing,
    draw_randomisation,
    draw_removal_curves,
)
from pellucid.reporting.explaining.method_words import method_words, settings_words
from pellucid.reporting.parts import Part
from pellucid.reporting.tables import Cell, Table, build_table
from pellucid.reporting.writing import Estimate, count, listing, percent, sentence_of

Document = Mapping[str, Any]


def faithfulness_parts(document: Document, number: int, of: str = "") -> list[Part]:
    """The parts of one target's document: the tests of all methods, and, with masks, the lesions.

    `of` names the target where there are several.
    """
    if not document.get("methods"):
        return []
    where = f" of {of}" if of else ""
    parts = [_tests(document, number, where)]
    if document.get("chance"):
        parts.append(_lesions(document, number, where))
    return parts


def _tests(document: Document, number: int, where: str) -> Part:
    """Deletion, insertion, and the sanity check of every method."""
    name = f"faithful-{number}"
    methods = document["methods"]
    plots = [draw_removal_curves(one, f"{name}-{one['method']}") for one in methods]
    return Part(
        f"Do the maps{where} mean something?",
        name,
        tuple(_test_words(document)),
        (*plots, draw_randomisation(methods, f"{name}-sanity")),
        (_test_table(document, name), _class_table(document, name)),
        _test_key(document),
    )


def _test_words(document: Document) -> Iterator[str]:
    images = count(int(document["n"]), "image")
    rule = f" {sentence_of(str(document['rule']))}" if document.get("rule") else ""
    yield (
        f"Measured on {images}.{rule} What a map marks is taken away from the image, the strongest "
        "places first (deletion), or given back first (insertion); a map that means something "
        "moves the score sooner than a random order. Then the weights are drawn anew, layer by "
        "layer: a map that stays the same does not come from what was learnt."
    )
    for one in document["methods"]:
        check = one["randomisation"]
        name = method_words(str(one["method"])).name
        yield f"{name}: sanity check {check['verdict']}. {sentence_of(str(check['reason']))}"
    for method, reason in (document.get("missing") or {}).items():
        yield f"{method_words(str(method)).name} was not tested: {sentence_of(str(reason))}"


def _test_table(document: Document, name: str) -> Table:
    """A row a method."""
    rows: list[list[Cell]] = [
        [
            _method(one),
            _estimate(one["deletion"]["gain"]),
            _estimate(one["insertion"]["gain"]),
            _estimate(one["randomisation"]["final"]),
            str(one["randomisation"]["verdict"]),
            int(one.get("n_silent") or 0) or None,
        ]
        for one in document["methods"]
    ]
    columns = [
        "Method",
        "Deletion, gain over random",
        "Insertion, gain over random",
        "Likeness under new weights",
        "Sanity check",
        "Maps that point nowhere",
    ]
    return build_table(f"{name}-methods", columns, rows, caption="By method")


def _class_table(document: Document, name: str) -> Table:
    """A row a method and class; only where there is more than one class."""
    rows: list[list[Cell]] = [
        [
            method_words(str(one["method"])).name,
            _class(entry),
            int(entry["n"]),
            _estimate(entry["deletion_gain"]),
            _estimate(entry["insertion_gain"]),
        ]
        for one in document["methods"]
        for entry in one.get("by_class") or []
        if entry["class"] != "all"
    ]
    columns = ["Method", "Class", "Images", "Deletion gain", "Insertion gain"]
    return build_table(f"{name}-classes", columns, rows, caption="By method and class explained")


def _test_key(document: Document) -> str:
    settings = document.get("settings") or {}
    instead = {"blur": "the blurred image", "mean": "the mean of the image"}
    replaced = str(settings.get("replaced") or "")
    text = (
        "Gain: area between the map's curve and that of random maps, of the probability of the "
        f"class; above 0 the map is better. In place of what is taken away stands "
        f"{instead.get(replaced, replaced)}. Likeness: rank correlation of the maps before and "
        "after all weights are drawn anew; low is right. Intervals are 95 %."
    )
    given = int(document.get("n_given") or document["n"])
    if given > int(document["n"]):
        text += f" {int(document['n']):,} of {given:,} images were taken, evenly spread."
    return text.strip()


def _lesions(document: Document, number: int, where: str) -> Part:
    """The pointing game and the overlap, beside what chance gives."""
    name = f"pointing-{number}"
    return Part(
        f"Do the maps{where} hit the lesions?",
        name,
        tuple(_lesion_words(document)),
        (draw_pointing(document, f"{name}-plot"),),
        (_pointing_table(document, name),),
        _lesion_key(document),
    )


def _lesion_key(document: Document) -> str:
    near = (document.get("settings") or {}).get("tolerance", 0)
    return (
        f"Pointing: the map's strongest place lies on the lesion, or within {near} pixels of it "
        "(strictly: on it, which a random point does as often as the lesion's share of the image). "
        "Overlap: of the lesion and as many of the map's strongest pixels, shared area over joint "
        "area. Share inside: how much of the map's strength lies on the lesion. A class may be "
        "called wrongly: then its maps show what spoke for the mistake. Intervals are 95 %."
    )


def _lesion_words(document: Document) -> Iterator[str]:
    whole = _entry(document["chance"], "all")
    yield f"The lesions' places are known in {count(int(document['n_masks']), 'image')}."
    if whole is None:
        return
    share, random = Estimate.of(whole["mask_share"]).value, Estimate.of(whole["random"]).value
    if share is not None and random is not None:
        yield (
            f"They take {percent(share)} of the image; a random point would hit {percent(random)}."
        )
    hits = []
    for one in document["methods"]:
        entry = _entry(one.get("pointing") or [], "all")
        value = Estimate.of(entry["pointing"]).value if entry else None
        if value is not None:
            hits.append(f"{method_words(str(one['method'])).name} {percent(value)}")
    if hits:
        yield f"The strongest place hits the lesion: {listing(hits)} of the images."


def _pointing_table(document: Document, name: str) -> Table:
    """A row a class and method, chance beside it."""
    rows: list[list[Cell]] = []
    for chance in document["chance"]:
        for one in document["methods"]:
            entry = _entry(one.get("pointing") or [], str(chance["class"]))
            if entry is not None:
                rows.append(
                    [
                        _class(chance),
                        method_words(str(one["method"])).name,
                        int(entry["n"]),
                        _estimate(entry["pointing"]),
                        _estimate(chance["random"]),
                        _estimate(chance["centre"]),
                        _estimate(entry.get("strict")),
                        _estimate(chance["mask_share"]),
                        _estimate(entry["iou"]),
                        _estimate(entry["energy"]),
                    ]
                )
    columns = [
        "Class explained",
        "Method",
        "Images",
        "Pointing",
        "By chance",
        "Always the centre",
        "Pointing, strictly",
        "Lesion's share",
        "Overlap",
        "Share inside",
    ]
    return build_table(name, columns, rows, caption="By class and method")


def _entry(entries: Sequence[Document], label: str) -> Document | None:
    return next((entry for entry in entries if str(entry["class"]) == label), None)


def _class(entry: Document) -> str:
    return "all classes" if entry["class"] == "all" else str(entry["class"])


def _method(one: Document) -> str:
    words = settings_words(one.get("settings") or {})
    layer = f" at {one['layer']}" if one.get("layer") else ""
    name = method_words(str(one["method"])).name
    return f"{name}{layer} ({words})" if words else f"{name}{layer}"


def _estimate(figure: Any) -> Estimate | None:
    """A figure with its interval; an empty cell where it is not defined."""
    estimate = Estimate.of(figure)
    return estimate if estimate.is_defined else None
