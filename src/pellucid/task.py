"""What is asked of the classifier: targets, their classes, merged classes, the positive class.

A task has one or more targets. A target with two classes gets one logit (or two when asked), one
with K classes K logits, and each target its own output block (lecture: output layers). Multi-label
is several targets with the classes "0" and "1". This module knows no files, tables or networks.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from pellucid.errors import DataError, UsageError, did_you_mean


class Target(BaseModel):
    """One question: a name and its classes, in the order of the logits.

    `positive` is the class whose presence is called positive; only a target of two classes has one,
    and it always stands last in `classes`, so that code 1 is positive.
    `positive_source` says who chose it: "user" or "default" (the last class by name).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    classes: tuple[str, ...]
    positive: str | None = None
    positive_source: str = "default"
    n_logits: int = 0

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        classes = tuple(values.get("classes", ()))
        if len(classes) == 2:
            positive = values.get("positive") or classes[-1]
            values["positive"] = positive
            if positive == classes[0]:
                classes = (classes[1], classes[0])
        values["classes"] = classes
        if not values.get("n_logits"):
            values["n_logits"] = 1 if len(classes) == 2 else len(classes)
        return values

    @model_validator(mode="after")
    def _check(self) -> Target:
        name = self.name
        if len(self.classes) < 2:
            found = f"only {self.classes[0]!r}" if self.classes else "none"
            raise DataError(f"Target {name!r} needs at least two classes", found)
        if len(set(self.classes)) != len(self.classes):
            raise DataError(f"The classes of target {name!r} must differ", str(list(self.classes)))
        if self.positive is not None and self.positive not in self.classes:
            raise UsageError(
                f"The positive class must be a class of target {name!r}",
                repr(self.positive),
                did_you_mean(self.positive, list(self.classes)),
            )
        if self.positive is not None and not self.is_binary:
            raise UsageError(
                f"Only a target of two classes has a positive class; {name!r} has "
                f"{len(self.classes)}: {', '.join(self.classes)}",
                remedy="Merge classes (--merge) or leave --positive out.",
            )
        if self.n_logits not in ({1, 2} if self.is_binary else {len(self.classes)}):
            raise UsageError(
                f"Target {name!r} of {len(self.classes)} classes cannot have "
                f"{self.n_logits} logits",
            )
        return self

    @property
    def is_binary(self) -> bool:
        """Whether the target has two classes."""
        return len(self.classes) == 2


class Task(BaseModel):
    """One or more targets, and the classes that were merged when the labels were read.

    `merge` maps a new class to the classes it stands for: {"normal_benign": ("normal", "benign")}.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: tuple[Target, ...]
    merge: dict[str, tuple[str, ...]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the targets, in order."""
        return tuple(target.name for target in self.targets)

    @property
    def n_logits(self) -> int:
        """The length of a network's output: all targets' logits side by side."""
        return sum(target.n_logits for target in self.targets)

    def slices(self) -> dict[str, slice]:
        """Which part of the output vector belongs to which target.

        >>> task = Task(targets=(Target(name="a", classes=("no", "yes")),
        ...                      Target(name="b", classes=("x", "y", "z"))))
        >>> task.slices()
        {'a': slice(0, 1, None), 'b': slice(1, 4, None)}
        """
        slices, start = {}, 0
        for target in self.targets:
            slices[target.name] = slice(start, start + target.n_logits)
            start += target.n_logits
        return slices


def parse_merge(texts: list[str]) -> dict[str, tuple[str, ...]]:
    """Read `NEW=OLD+OLD` as the command line gives it.

    >>> parse_merge(["normal_benign=normal+benign"])
    {'normal_benign': ('normal', 'benign')}
    """
    merge: dict[str, tuple[str, ...]] = {}
    for text in texts:
        new, equals, old = text.partition("=")
        parts = tuple(part.strip() for part in old.split("+") if part.strip())
        if not (equals and new.strip() and parts):
            raise UsageError(
                "A merge is written NEW=OLD+OLD", repr(text), "Example: normal_benign=normal+benign"
            )
        if new.strip() in merge:
            raise UsageError("Each merged class is named once", repr(new.strip()))
        merge[new.strip()] = parts
    seen: dict[str, str] = {}
    for new, parts in merge.items():
        for part in parts:
            if part in seen:
                raise UsageError(
                    "A class can be merged into one other class only",
                    f"{part!r} in both {seen[part]!r} and {new!r}",
                )
            seen[part] = new
    return merge
