"""Everything that a user can cause, drawn.

    PellucidError            exit code 2: wrong use or bad input
    ├── UsageError           an argument or option is wrong, or a result would be overwritten
    │   └── MissingPackage   an optional package is needed; the message gives the install line
    ├── DataError            the dataset as a whole cannot be used
    │   ├── ManifestError    a table of labels or patients is wrong
    │   ├── SplitError       the partitions share patients, or cannot be made
    │   └── PredictionsError a predictions table is wrong
    ├── ReadError            one image file cannot be read (it is set aside, the run goes on)
    ├── PlanError            a hyperparameter is unknown, out of range or does not fit the data
    ├── TrainingError        training cannot go on (a full disk)
    │   └── Diverged         the loss or the gradient is not finite
    ├── BundleError          a bundle, checkpoint or weights file is damaged, newer, or another kind
    └── CheckFailed          exit code 1: the work was done and a check did not hold

A message is the rule, then the value found, then the remedy:
"Probability must be in [0, 1], got 1.3. Give probabilities, not percentages."
It never holds a patient's name; file names are given, since the user chose them.
"""

from __future__ import annotations


class PellucidError(Exception):
    """Any error that the user can cause and mend: a rule, what was found, and the remedy."""

    exit_code = 2

    def __init__(self, rule: str, found: str = "", remedy: str = "") -> None:
        self.rule, self.found, self.remedy = rule, found, remedy
        first = f"{rule}, got {found}" if found else rule
        super().__init__(" ".join(_sentence(part) for part in (first, remedy) if part))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", ":", "\n")) else text + "."


class UsageError(PellucidError):
    """An argument or option is wrong, or a result would be overwritten."""


class MissingPackage(UsageError):
    """An optional package is needed for what was asked."""


class DataError(PellucidError):
    """The dataset as a whole cannot be used."""


class ManifestError(DataError):
    """A table of images, labels or patients is wrong."""


class SplitError(DataError):
    """The partitions share patients, or cannot be made."""


class PredictionsError(DataError):
    """A predictions table is wrong."""


class ReadError(PellucidError):
    """One image file cannot be read."""


class PlanError(PellucidError):
    """A hyperparameter is unknown, out of range or does not fit the data."""


class TrainingError(PellucidError):
    """Training cannot go on."""


class Diverged(TrainingError):
    """The loss or the gradient is not finite: the rate is too high, or the numbers too short."""


class BundleError(PellucidError):
    """A bundle, checkpoint or weights file is damaged, newer or of another kind."""


class CheckFailed(PellucidError):
    """The work was done and a check did not hold."""

    exit_code = 1


def did_you_mean(word: str, known: list[str]) -> str:
    """`Did you mean "network"?` for the nearest known word, or the known words.

    >>> did_you_mean("netwrok", ["network", "epochs"])
    'Did you mean "network"?'
    """
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(known)}."
