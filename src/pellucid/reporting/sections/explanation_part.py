"""What the network looks at, as a section of a run's report: pictures by a fixed rule, and tests.

From explanation.json and the pictures beside it; patients do not appear.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.explaining.faithfulness_parts import faithfulness_parts
from pellucid.reporting.explaining.method_words import method_words, settings_words
from pellucid.reporting.parts import Part
from pellucid.reporting.pictures import photo_address
from pellucid.reporting.writing import decimal, listing, sentence_of

PICTURES_SHOWN = 48


@dataclass(frozen=True)
class ExplainedTile:
    """One image beside its maps, in one picture."""

    image_id: str
    address: str
    call: str
    probability: str
    note: str
    is_synthetic: bool


@dataclass(frozen=True)
class ExplanationSection:
    """The section as plain data; `groups` are the images called rightly and the mistakes."""

    words: list[str]
    groups: list[tuple[str, list[ExplainedTile]]]
    key: str
    parts: list[Part]


def explanation_section(documents: RunDocuments) -> ExplanationSection | None:
    """The section of a run that has an explanation.json; None for any other."""
    found = documents.explanation
    if not found:
        return None
    several = len(documents.targets) > 1
    images = list(found.get("images") or [])[:PICTURES_SHOWN]
    groups = (
        (f"{title}{where}", [_tile(documents, one, found) for one in chosen])
        for title, where, chosen in _groups(images, several)
    )
    parts = [
        part
        for number, one in enumerate(found.get("faithfulness") or [])
        for part in _tests(one, number, several)
    ]
    return ExplanationSection(
        words=list(_words(found)),
        groups=[(title, tiles) for title, tiles in groups if tiles],
        key=_key(found),
        parts=parts,
    )


def _groups(
    images: Sequence[Mapping[str, Any]], several: bool
) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    """Right calls, then mistakes, of each target."""
    for target in dict.fromkeys(str(one["target"]) for one in images):
        where = f", {target}" if several else ""
        of_target = [one for one in images if one["target"] == target]
        for title, is_right in (("Called rightly", True), ("Mistakes", False)):
            yield title, where, [one for one in of_target if bool(one["is_right"]) == is_right]


def _words(found: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "Which places of an image the score of the called class depends on. A map does not say "
        "that there is disease in a place, nor that the call is right: a wrong call has a map too."
    )
    for method, reason in (found.get("missing") or {}).items():
        yield f"{method_words(str(method)).name} is not here: {sentence_of(str(reason))}"


def _key(found: Mapping[str, Any]) -> str:
    """What stands in each picture from left to right, and how the images were chosen."""
    names = ["the image alone"]
    for one in found.get("methods") or []:
        words = settings_words(one.get("settings") or {})
        name = method_words(str(one["method"])).name + (
            f" at {one['layer']}" if one["layer"] else ""
        )
        names.append(f"{name} ({words})" if words else name)
    return (
        f"From left to right: {listing(names)}. Grad-CAM from purple to yellow, the others orange "
        "for the called class and blue against it; each map is scaled by itself, and a white line "
        f"is half of the strongest value. {_rule(found)}"
    )


def _rule(found: Mapping[str, Any]) -> str:
    """By which rule the images were chosen, so that nobody can have picked them."""
    return f"The {found.get('split', '')} images are taken by rule. {found.get('rule', '')}"


def _probability(p: float) -> str:
    """A probability, never rounded to certainty."""
    return ">0.999" if p > 0.9995 else decimal(p)


def _tile(
    documents: RunDocuments, one: Mapping[str, Any], found: Mapping[str, Any]
) -> ExplainedTile:
    silent = [method_words(str(method)).name for method in one.get("says_nothing") or []]
    return ExplainedTile(
        image_id=str(one["image_id"]),
        address=photo_address(documents.picture(str(one["picture"]))),
        call=f"{one['truth']} → {one['called']}",
        probability=_probability(float(one["probability"])),
        note=f"{listing(silent)}: the same everywhere" if silent else "",
        is_synthetic=bool(one.get("synthetic")),
    )


def _tests(one: Mapping[str, Any], number: int, several: bool) -> list[Part]:
    """The parts of one target, or the reason why nothing was tested."""
    target = str(one.get("target") or "")
    if one.get("reason"):
        text = f"The maps were not tested: {sentence_of(str(one['reason']))}"
        return [Part("Do the maps mean something?", f"faithful-{number}", (text,))]
    return faithfulness_parts(one, number, target if several else "")
