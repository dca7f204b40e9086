"""The verdict in sentences: what was asked, on whom, how good the answer is, what to beware of.

Every number stands in evaluation.json or in the audit; this module only decides what must be said
first. It knows no HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.auditing.generalisation import find_gap
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.writing import Estimate, count, decimal, listing, metric_name, split_name

# Below 30 patients a 95 % interval of a share is wider than about ± 15 points, whatever the share
# between 0.2 and 0.8 (Wilson 1927).
FEW_PATIENTS = 30
WIDE_INTERVAL = 0.10


@dataclass(frozen=True)
class Caution:
    """Something to beware of. `level` is FAIL, WARN or NOTE."""

    level: str
    text: str
    remedy: str = ""

    @property
    def word(self) -> str:
        """The level as a reader says it."""
        return {"FAIL": "Serious", "WARN": "Beware", "NOTE": "Note"}.get(self.level, self.level)


def main_metric(block: dict[str, Any]) -> tuple[str, Estimate]:
    """The metric that the verdict leads with: AUROC, over K classes its macro mean."""
    metrics = block.get("metrics", {})
    for key in ("auroc", "macro_auroc", "auroc_macro", "balanced_accuracy", "accuracy"):
        if key in metrics:
            name = "macro AUROC" if "auroc" in key and len(block["classes"]) > 2 else key
            return metric_name(name), Estimate.of(metrics[key])
    return "AUROC", Estimate(None, method="undefined: evaluation.json does not hold it")


def describe_question(documents: RunDocuments, target: str) -> str:
    """What was asked, which class is positive and who chose it, which classes were merged."""
    block = documents.main_block(target)
    classes, positive = list(block["classes"]), block.get("positive")
    text = f"Is the image {listing(classes, 'or')}?"
    if is_yes_or_no(classes):
        text = f"Does the image show {target}?"
    if positive is not None and len(classes) == 2:
        text += f" Positive means {positive}{_who_chose(documents, target, positive)}."
    for new, old in ((documents.facts.get("task") or {}).get("merge") or {}).items():
        if new in classes:
            text += f" {new} stands for {listing(list(old))}, merged."
    return text


def _who_chose(documents: RunDocuments, target: str, positive: str) -> str:
    for entry in (documents.facts.get("task") or {}).get("targets", []):
        if entry.get("name") == target:
            chosen_later = entry.get("positive") not in (None, positive)
            if chosen_later or entry.get("positive_source") == "user":
                return ", as the user chose"
            return ", taken by default as the last class by name (--positive chooses)"
    return ""


def verdict_sentences(documents: RunDocuments, target: str) -> list[str]:
    """How good: the main metric with its interval, then what happens at the threshold 0.5."""
    block = documents.main_block(target)
    name, estimate = main_metric(block)
    first = f"On {_whom(documents, block)}, {name} was {estimate.sentence}."
    return [first, *(_binary(block) if len(block["classes"]) == 2 else _several(block))]


def _whom(documents: RunDocuments, block: dict[str, Any]) -> str:
    """The images judged, and in which respect the network did not know them."""
    split = str(block["split"])
    who = count(int(block["n_images"]), "image")
    if documents.patients_known:
        who += f" of {count(int(block['n_patients']), 'patient')}"
    if split not in ("test", "external_test"):
        return f"{who} ({split}, not a test)"
    if not documents.was_trained_here:
        return f"{who} ({split_name(split)})"
    if documents.shares_patients:
        return f"{who}, some of them patients that training used too"
    return f"{who} never used in training"


def _binary(block: dict[str, Any]) -> Iterator[str]:
    metrics = block.get("metrics", {})
    found = Estimate.of(metrics.get("sensitivity"))
    cleared = Estimate.of(metrics.get("specificity"))
    yield (
        f"At the threshold 0.5, sensitivity was {found.sentence} "
        f"and specificity {cleared.sentence}."
    )
    negative, positive = (_images_of(block, label) for label in block["classes"])
    if found.value is not None and cleared.value is not None:
        alarms = round(100 * (1 - cleared.value))
        yield (
            f"So of 100 {positive} it found about {round(100 * found.value)}, "
            f"and of 100 {negative} it wrongly called about {alarms} {block['classes'][-1]}."
        )


def is_yes_or_no(classes: Sequence[str]) -> bool:
    """Whether the classes only say yes or no, so that the target's name says what is meant."""
    return {label.lower() for label in classes} in ({"0", "1"}, {"no", "yes"}, {"false", "true"})


def _images_of(block: dict[str, Any], label: str) -> str:
    if not is_yes_or_no(block["classes"]):
        return f"{label} images"
    return (
        f"images {'with' if label.lower() in ('1', 'yes', 'true') else 'without'} {block['target']}"
    )


def _several(block: dict[str, Any]) -> Iterator[str]:
    balanced = Estimate.of(block.get("metrics", {}).get("balanced_accuracy"))
    chance = decimal(1 / len(block["classes"]))
    yield f"Balanced accuracy was {balanced.sentence}; guessing gives {chance}."
    recalls = {
        label: Estimate.of(figures.get("sensitivity"))
        for label, figures in (block.get("per_class") or {}).items()
    }
    defined = {label: entry for label, entry in recalls.items() if entry.value is not None}
    if defined:
        worst = min(defined, key=lambda label: (defined[label].value or 0.0, label))
        recall = defined[worst].sentence
        yield f"The class found least often was {worst}, with sensitivity {recall}."


def collect_cautions(documents: RunDocuments) -> list[Caution]:
    """Everything to beware of, the gravest first, each said once."""
    found = [
        *_about_patients(documents),
        *_about_findings(documents),
        *_about_files(documents),
        *(caution for target in documents.targets for caution in _about_figures(documents, target)),
        *_about_gap(documents),
        *_about_reach(documents),
    ]
    order = {"FAIL": 0, "WARN": 1, "NOTE": 2}
    unique = list(dict.fromkeys(found))
    return sorted(unique, key=lambda caution: order.get(caution.level, 3))


def _about_patients(documents: RunDocuments) -> Iterator[Caution]:
    if documents.shares_patients:
        text = (
            "Some patients stand in more than one split (--allow-shared-patients): the figures "
            "can be better than they would be on new patients."
        )
        yield Caution("FAIL", text, "Split by patient before believing them.")
    if not documents.patients_known:
        text = (
            "Patients are not known: each image counts as its own patient. Images of one patient "
            "may stand in several splits, and the intervals are then too narrow."
        )
        yield Caution("WARN", text, "Give --patient-pattern or --patient-column.")


def _about_findings(documents: RunDocuments) -> Iterator[Caution]:
    said = {"no_patients", "unreadable", "synthetic"}  # the report says these in its own words
    if documents.shares_patients:
        said.add("shared_patients")
    for finding in documents.audit.get("findings", []):
        if finding.get("level") in ("FAIL", "WARN") and finding.get("code") not in said:
            level, message = str(finding["level"]), str(finding.get("message", ""))
            yield Caution(level, message, str(finding.get("remedy") or ""))


def _about_files(documents: RunDocuments) -> Iterator[Caution]:
    unreadable = int(
        documents.facts.get("unreadable") or len(documents.audit.get("unreadable", []))
    )
    if unreadable:
        text = f"{count(unreadable, 'file')} could not be read and took no part."
        yield Caution("WARN", text, "The reasons stand below, under Data.")


def _about_figures(documents: RunDocuments, target: str) -> Iterator[Caution]:
    block = documents.main_block(target)
    where = f"{target}: " if len(documents.targets) > 1 else ""
    if block["split"] not in ("test", "external_test"):
        text = (
            f"{where}There are no labelled test images. The figures are of the {block['split']} "
            "images, which also chose the epoch, and flatter."
        )
        yield Caution("FAIL", text)
    yield from _about_few_patients(documents, block, where)
    name, estimate = main_metric(block)
    low, high = estimate.low, estimate.high
    if low is not None and high is not None and high - low > WIDE_INTERVAL:
        text = (
            f"{where}The interval of {name} is wide ({estimate.interval}): "
            "these images do not settle how good the classifier is."
        )
        yield Caution("WARN", text)


def _about_few_patients(
    documents: RunDocuments, block: dict[str, Any], where: str
) -> Iterator[Caution]:
    table = documents.predictions_of(str(block["target"]), str(block["split"]))
    if table is None or "patient_id" not in table:
        return
    patients = table.groupby("y_true")["patient_id"].nunique()
    what = "patient" if documents.patients_known else "image"
    few = [
        f"{count(int(patients.get(label, 0)), what)} with {label}"
        for label in block["classes"]
        if int(patients.get(label, 0)) < FEW_PATIENTS
    ]
    if few:
        text = f"{where}{split_name(str(block['split'])).capitalize()} holds only {listing(few)}."
        yield Caution("WARN", text, "Figures of so small a group move much by chance.")


def _about_gap(documents: RunDocuments) -> Iterator[Caution]:
    """Validation chose the epoch, so that it flatters; say it when test does not confirm it."""
    for finding in find_gap({"blocks": documents.blocks}):
        yield Caution(finding.level, finding.message, finding.remedy)


def _about_reach(documents: RunDocuments) -> Iterator[Caution]:
    if not any(block["split"] == "external_test" for block in documents.blocks):
        known = "All images come from one source."
        if not documents.was_trained_here:
            known = "Whether these images come from where the model was trained is not known here."
        text = "At another hospital, with other devices and other patients, the figures will differ"
        yield Caution("NOTE", f"{known} {text} and can be much worse.")
    yield Caution("NOTE", "This is research software and not a medical device.")
