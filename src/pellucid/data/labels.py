"""From labels as they were written to a task: merged classes, checked classes, the positive class.

Knows columns of text and no files, images or splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from pellucid.data.listing import Choices, Listing, count, natural_key, some
from pellucid.errors import DataError, ManifestError, UsageError, did_you_mean
from pellucid.task import Target, Task

MOST_CLASSES = 1000
MOST_NUMBERS = 50  # a grade or a count of lesions stays below; an age or a size does not
MOST_FRACTIONS = 10


def build_task(listing: Listing, choices: Choices) -> Task:
    """Merge and check the labels of a listing in place, and say what is asked.

    Raises `DataError` (`ManifestError` for a column that is no label column) and `UsageError` for
    a merge or a positive class that does not exist.
    """
    _check_allowed(listing, choices)
    orders = {name: _order(listing, name, choices) for name in listing.targets}
    _check_merge(choices.merge, orders)
    targets = []
    for name in listing.targets:
        orders[name] = _merge(listing.table, name, orders[name], choices.merge)
        if not choices.classes and name not in listing.classes:
            orders[name].sort(key=natural_key)
        if not listing.labels_checked:
            _check_is_label(listing.table[name].dropna(), name)
    for name in listing.targets:
        targets.append(_target(name, orders[name], choices, orders))
    merge = {new: tuple(old) for new, old in choices.merge.items()}
    return Task(targets=tuple(targets), merge=merge)


def _order(listing: Listing, name: str, choices: Choices) -> list[str]:
    """The classes of one target before merging; their order counts only where it is fixed."""
    if choices.classes:
        return list(choices.classes)
    if name in listing.classes:
        return list(listing.classes[name])
    return list(listing.table[name].dropna().unique())


def _check_allowed(listing: Listing, choices: Choices) -> None:
    if not choices.classes:
        return
    if len(listing.targets) > 1:
        raise UsageError("A list of classes can be given for one target only")
    labels = listing.table[listing.targets[0]].dropna()
    unknown = labels[~labels.isin(list(choices.classes))]
    if len(unknown):
        raise ManifestError(
            f"Labels must be one of {some(list(choices.classes), 20)}",
            f"{unknown.iloc[0]!r} ({count(len(unknown), 'row')} with a label not in the list)",
            did_you_mean(str(unknown.iloc[0]), list(choices.classes)),
        )


def _check_merge(merge: Mapping[str, Sequence[str]], orders: dict[str, list[str]]) -> None:
    known = list(dict.fromkeys(name for classes in orders.values() for name in classes))
    for new, old in merge.items():
        for name in old:
            if name not in known:
                raise UsageError(
                    f"A merge must name classes of the data, for {new!r}",
                    repr(name),
                    did_you_mean(name, known),
                )
        if new in known and new not in old:
            raise UsageError(
                "A merged class needs a name of its own, or that of one of its parts",
                f"{new!r}, which is another class",
            )


def _merge(
    table: pd.DataFrame, name: str, classes: list[str], merge: Mapping[str, Sequence[str]]
) -> list[str]:
    """Rename merged labels; a merged class stands where the first of its parts stood."""
    renamed = {old: new for new, parts in merge.items() for old in parts if old in classes}
    if renamed:
        table[name] = table[name].map(renamed).where(table[name].isin(list(renamed)), table[name])
    return list(dict.fromkeys(renamed.get(label, label) for label in classes))


def _check_is_label(labels: pd.Series[str], name: str) -> None:
    """Refuse a column of paths, ids or measurements; raises `ManifestError`."""
    distinct = labels.nunique()
    remedy = "Choose the column of classes with --label-column."
    if distinct > MOST_CLASSES or (len(labels) >= 10 and distinct > len(labels) / 2):
        raise ManifestError(
            f"Column {name!r} cannot be a label: it has almost as many values as rows",
            f"{distinct:,} values in {count(len(labels), 'row')}, such as "
            f"{some(list(labels.unique()), 2)}",
            remedy,
        )
    numbers = pd.to_numeric(labels, errors="coerce")
    if numbers.isna().any():
        return
    most = MOST_NUMBERS if (numbers % 1 == 0).all() else MOST_FRACTIONS
    if distinct > most:
        raise ManifestError(
            f"Column {name!r} cannot be a label: it is a measurement",
            f"{distinct:,} different numbers",
            remedy,
        )


def _target(
    name: str, classes: list[str], choices: Choices, orders: dict[str, list[str]]
) -> Target:
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "no label at all"
        raise DataError(
            f"Target {name!r} needs at least two classes",
            found,
            "Check the merge." if choices.merge else "A classifier has something to tell apart.",
        )
    positive = choices.positive
    if positive and len(orders) > 1:
        positive = _positive_of(positive, classes, orders)
    if positive and len(classes) == 2 and positive == classes[0]:
        classes = classes[::-1]
    return Target(
        name=name,
        classes=tuple(classes),
        positive=positive,
        positive_source="user" if positive else "default",
        n_logits=2 if choices.two_logits and len(classes) == 2 else 0,
    )


def _positive_of(positive: str, classes: list[str], orders: dict[str, list[str]]) -> str | None:
    """With several targets the positive class belongs to those of two classes that have it."""
    pairs = [pair for pair in orders.values() if len(pair) == 2]
    known = list(dict.fromkeys(label for pair in pairs for label in pair))
    if positive not in known:
        raise UsageError(
            "The positive class must be a class of a target of two classes",
            repr(positive),
            did_you_mean(positive, known),
        )
    return positive if len(classes) == 2 and positive in classes else None
