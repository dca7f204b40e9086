"""What a run says to items on partitions: who is in each, how they were dealt, what they are like.

Each filler takes a run's documents and returns an answer, or None where only the author knows.
"""

from __future__ import annotations

import pandas as pd

from pellucid.reporting.checklists.answers import MET, Answer, asked, met, not_met
from pellucid.reporting.checklists.known import (
    PERSONS,
    fact_names,
    is_about,
    judged_blocks,
    main_blocks,
    on_split,
    plan_words,
    size_of,
    split_tables,
    who,
)
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.writing import capitalise, count, listing, split_name

SMALL_CELL = 10  # patients; fewer are not shown, as in the subgroup tables
MOST_VALUES = 10


def training_data(documents: RunDocuments) -> Answer | None:
    """The make-up of the training split."""
    if not documents.was_trained_here:
        return None
    parts = [_make_up(documents, split, part) for split, part in split_tables(documents)[:1]]
    return (
        met(f"{capitalise(parts[0])}.")
        if parts and split_tables(documents)[0][0] == "train"
        else None
    )


def partition(documents: RunDocuments) -> Answer | None:
    """Images and patients in each split, and how they were dealt."""
    parts = split_tables(documents)
    if not parts:
        return None
    sizes = "; ".join(f"{split_name(s)}: {_people(documents, part)}" for s, part in parts)
    seed = documents.facts.get("seed")
    drawn = "" if seed is None else f" Seed {seed}."
    wish = plan_words(documents, ("fractions",))
    told = f"{capitalise(sizes)}.{drawn}{f' Wished {wish}.' if wish else ''}"
    if documents.n_folds:
        by_patient = "by patient " if documents.patients_known else ""
        told += f" Train and validation were dealt {by_patient}into {documents.n_folds} folds."
    return met(told)


def disjointness(documents: RunDocuments) -> Answer | None:
    """Whether a patient stands in one split only."""
    if not documents.patients_known:
        return not_met(
            "Patients are unknown, so partitions are disjoint by image only, "
            "and a patient may stand in several."
        )
    if documents.shares_patients:
        return not_met("Patients stand in more than one partition; this was allowed by option.")
    table = documents.index
    if table is None or "split" not in table:
        return None
    shared = int((table.groupby("patient_id")["split"].nunique() > 1).sum())
    if shared:
        return not_met(f"{count(shared, 'patient')} stand in more than one partition.")
    people = count(table["patient_id"].nunique(), "patient")
    return met(f"Disjoint by patient: of {people} none stands in more than one partition.")


def size_of_test(documents: RunDocuments) -> Answer | None:
    """The size there is; the size that was meant only the author knows."""
    parts = [f"{on_split(block)} {who(block)}" for block in main_blocks(documents)]
    findings = documents.audit.get("findings", [])
    expected = [str(f["message"]) for f in findings if f.get("code") == "sample_size"]
    known = " ".join(expected) or "The run holds no calculation of that size."
    return asked(f"Judged are {'; '.join(parts)}. {known}")


def flow(documents: RunDocuments) -> Answer | None:
    """How many images and patients came in; who was left out before only the author knows."""
    if not documents.dataset:
        return None
    unreadable = count(int(documents.facts.get("unreadable") or 0), "image")
    return asked(f"{size_of(documents)} came in; {unreadable} could not be read.")


def demographics(documents: RunDocuments) -> Answer | None:
    """Facts of persons in each split; a value with fewer than ten patients is not shown."""
    names = [name for name in fact_names(documents) if is_about(name, PERSONS)]
    table = documents.index
    if not names:
        return not_met("The dataset holds no age, sex or other fact of the patients.")
    parts = [
        f"{name}, {split_name(split)}: {_values(part, name)}"
        for name in names
        if table is not None and name in table
        for split, part in split_tables(documents)
    ]
    return met(f"{'; '.join(parts)}.") if parts else asked(f"The run knows {listing(names)}.")


def outcome_by_split(documents: RunDocuments) -> Answer | None:
    """Patients and images of each class in each split."""
    parts = [_make_up(documents, split, part) for split, part in split_tables(documents)]
    return met(f"{capitalise('; '.join(parts))}.") if parts else None


def people_compared(documents: RunDocuments) -> Answer | None:
    """Outcome and people side by side; without facts of persons only the outcome is known."""
    outcome, people = outcome_by_split(documents), demographics(documents)
    if outcome is None or people is None:
        return outcome and asked(outcome.text)
    if people.status != MET:
        return asked(f"{outcome.text} {people.text}")
    return met(f"{outcome.text} {people.text}")


def characteristics(documents: RunDocuments) -> Answer | None:
    """The facts of persons that there are; dates and treatments only the author knows."""
    people = demographics(documents)
    return asked(people.text) if people is not None and people.status == MET else people


def same_source(documents: RunDocuments) -> Answer | None:
    """Whether the evaluation is on images of the same source as the training."""
    if not documents.was_trained_here:
        return None
    if judged_blocks(documents, "external_test"):
        return asked("The external test split is of another source than the training.")
    return asked("Training and evaluation are partitions of one dataset.")


def _people(documents: RunDocuments, part: pd.DataFrame) -> str:
    images = count(len(part), "image")
    if not documents.patients_known:
        return images
    return f"{images} of {count(part['patient_id'].nunique(), 'patient')}"


def _make_up(documents: RunDocuments, split: str, part: pd.DataFrame) -> str:
    """A split's size and the images of each class of each target."""
    counted = [
        f"{target} "
        + listing([f"{n:,} {name}" for name, n in part[target].value_counts().sort_index().items()])
        for target in documents.targets
        if target in part
    ]
    return f"{split_name(split)}: {_people(documents, part)} ({'; '.join(counted)})"


def _values(part: pd.DataFrame, name: str) -> str:
    """Patients of each value of a fact, or the middle of a number; small cells are not shown."""
    years = part[name].astype("string").str.removesuffix("Y")  # DICOM PS3.5 writes ages as 045Y
    numbers = pd.to_numeric(years, errors="coerce").dropna()
    if numbers.nunique() > MOST_VALUES:
        low, middle, high = numbers.quantile([0.25, 0.5, 0.75])
        return f"median {middle:g} (quartiles {low:g} and {high:g})"
    people = part.groupby(name)["patient_id"].nunique().sort_index()
    shown = [
        f"{value} {n:,}" if n >= SMALL_CELL else f"{value} fewer than {SMALL_CELL}"
        for value, n in people.head(MOST_VALUES).items()
    ]
    others = count(len(people) - MOST_VALUES, "other value") if len(people) > MOST_VALUES else ""
    unknown = int(part[name].isna().sum())
    without = f"{count(unknown, 'image')} without it" if unknown else ""
    return listing([text for text in (*shown, others, without) if text])
