"""The verdict in sentences: what was asked, on whom, how good the answer is and how sure that is.

Every number stands in evaluation.json or in the audit; this module only decides what must be said
first. It knows no HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.writing import Estimate, count, decimal, listing, metric_name, split_name


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


def describe_goodness(documents: RunDocuments, target: str) -> list[str]:
    """How good: the main metric with its interval, and what it is to be held against."""
    block = documents.main_block(target)
    name, estimate = main_metric(block)
    sentences = [f"On {whom(documents, block)}, {name} was {estimate.sentence}."]
    if len(block["classes"]) > 2:
        balanced = Estimate.of(block.get("metrics", {}).get("balanced_accuracy"))
        chance = decimal(1 / len(block["classes"]))
        sentences.append(f"Balanced accuracy was {balanced.sentence}; guessing gives {chance}.")
    elif name == "AUROC":
        meaning = "how often a positive image is ranked above a negative one"
        sentences.append(f"AUROC is {meaning}; 0.5 is guessing.")
    external = documents.block(target, "external_test")
    if external is not None and external is not block:
        n, estimate = count(int(external["n_images"]), "image"), main_metric(external)[1]
        sentences.append(f"On {n} from elsewhere, {name} was {estimate.sentence}.")
    return sentences


def whom(documents: RunDocuments, block: dict[str, Any]) -> str:
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


def worst_confusion(block: dict[str, Any], label: str) -> str:
    """What the images of a class are called most often where they are called wrongly."""
    classes = [str(name) for name in block["classes"]]
    row = list(block["confusion_matrix"][classes.index(label)])
    row[classes.index(label)] = 0
    return classes[row.index(max(row))] if max(row) else ""


def is_yes_or_no(classes: Sequence[str]) -> bool:
    """Whether the classes only say yes or no, so that the target's name says what is meant."""
    return {label.lower() for label in classes} in ({"0", "1"}, {"no", "yes"}, {"false", "true"})


def images_of(block: dict[str, Any], label: str) -> str:
    """The images of one class, as a sentence names them."""
    if not is_yes_or_no(block["classes"]):
        return f"{label} images"
    return (
        f"images {'with' if label.lower() in ('1', 'yes', 'true') else 'without'} {block['target']}"
    )
