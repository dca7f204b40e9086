"""What a run says to items on data: task, source, missing labels, facts, preprocessing.

Each filler takes a run's documents and returns an answer, or None where only the author knows.
Figures are those of the documents; nothing names a patient, a file or a folder.
"""

from __future__ import annotations

from pellucid.reporting.checklists.answers import Answer, asked, does_not_apply, met
from pellucid.reporting.checklists.known import (
    CLUSTERS,
    fact_names,
    is_about,
    main_blocks,
    on_split,
    plan_words,
    size_of,
    who,
)
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.writing import count, listing


def task(documents: RunDocuments) -> Answer | None:
    """Which question the classifier answers."""
    return asked(f"The classifier tells {_questions(documents)}.")


def develops_or_evaluates(documents: RunDocuments) -> Answer | None:
    """Whether the run trained a model or judged one."""
    if documents.was_trained_here:
        return asked("The run develops a model and evaluates it.")
    return asked("The run evaluates the predictions of a model that was made elsewhere.")


def classes(documents: RunDocuments) -> Answer | None:
    """The labels that count as truth."""
    return asked(f"The labels as given count as truth: {_questions(documents)}.")


def dataset(documents: RunDocuments) -> Answer | None:
    """Name and size of the dataset; where it comes from only the author knows."""
    facts = documents.dataset
    if not facts:
        return None
    kind = ", synthetic images" if facts.get("synthetic") else ""
    return asked(f"Dataset {facts.get('name', 'without a name')}{kind}: {size_of(documents)}.")


def evaluation_data(documents: RunDocuments) -> Answer | None:
    """On which images the verdict stands."""
    parts = [f"{on_split(block)} {who(block)}" for block in main_blocks(documents)]
    return met(f"{'; '.join(parts)}.") if parts else None


def unreadable_images(documents: RunDocuments) -> Answer | None:
    """Images that could not be read; who was eligible only the author knows."""
    unreadable = documents.facts.get("unreadable")
    if unreadable is None:
        return None
    if not unreadable:
        return asked("Every image could be read.")
    return asked(f"{count(int(unreadable), 'image')} could not be read and went no further.")


def missing_labels(documents: RunDocuments) -> Answer | None:
    """How many images have no label, and that these are left out; nothing is imputed."""
    table = documents.index
    if table is None:
        return None
    parts = [
        f"{target}: {count(int(table[target].isna().sum()), 'image')} without a label"
        for target in documents.targets
        if target in table
    ]
    if not parts:
        return None
    unreadable = count(int(documents.facts.get("unreadable") or 0), "image")
    return met(
        f"An image without a label is left out of that target; nothing is imputed. "
        f"{'; '.join(parts)}; {unreadable} could not be read."
    )


def known_facts(documents: RunDocuments) -> Answer | None:
    """Which facts of patients and devices the dataset holds."""
    names = fact_names(documents)
    if not names:
        return asked("The dataset holds no facts of patients or devices.")
    return asked(f"The dataset holds these facts: {listing(names)}.")


def clusters_known(documents: RunDocuments) -> Answer | None:
    """How many sites the dataset names."""
    names = [name for name in fact_names(documents) if is_about(name, CLUSTERS)]
    table = documents.index
    if table is None:
        return None
    parts = [f"{name}: {count(table[name].nunique(), 'value')}" for name in names if name in table]
    return asked("; ".join(parts) if parts else "The dataset names no site and no device.")


def preparation_and_checks(documents: RunDocuments) -> Answer | None:
    """How images were prepared and audited; every image alike."""
    prepared = preprocessing(documents)
    if prepared is None or not documents.audit:
        return prepared
    found = [str(finding.get("level")) for finding in documents.audit.get("findings", [])]
    levels = [f"{found.count(level)} of level {level}" for level in ("FAIL", "WARN", "NOTE")]
    return met(f"{prepared.text} The audit of the data has findings: {listing(levels)}.")


def preprocessing(documents: RunDocuments) -> Answer | None:
    """What is done to every image, by the plan."""
    words = plan_words(documents, ("image_size", "channels", "fit", "window", "mean", "std"))
    return met(f"Every image alike, whoever it is of: {words}.") if words else None


def predictors(documents: RunDocuments) -> Answer | None:
    """What goes into the model."""
    if not documents.was_trained_here:
        return does_not_apply("The run judges a model that was made elsewhere.")
    return met("The pixels of the image are the only predictors; no others were tried or left out.")


def _questions(documents: RunDocuments) -> str:
    blocks = [documents.main_block(target) for target in documents.targets]
    return listing([f"{b['target']} ({listing(b['classes'], 'or')})" for b in blocks])
