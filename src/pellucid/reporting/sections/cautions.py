"""What to beware of, the gravest first: each caution is said once, with its remedy.

Every number stands in evaluation.json or in the audit. Knows no HTML.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pellucid.auditing.generalisation import find_gap
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.sections.external_part import difference_of
from pellucid.reporting.sections.verdict import main_metric
from pellucid.reporting.writing import (
    Estimate,
    capitalise,
    count,
    decimal,
    listing,
    metric_name,
    sentence_of,
    split_name,
)

# Below 30 patients a 95 % interval of a share is wider than about ± 15 points, whatever the share
# between 0.2 and 0.8 (Wilson 1927).
FEW_PATIENTS = 30
WIDE_INTERVAL = 0.10
SIGNIFICANT = 0.05  # after correction for the number of tests
MUCH_WORSE = 0.05  # a loss under the mildest corruption that is worth a caution


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


def collect_cautions(documents: RunDocuments) -> list[Caution]:
    """Everything to beware of, the gravest first, each said once."""
    found = [
        *_about_patients(documents),
        *_about_choices(documents),
        *_about_findings(documents),
        *_about_files(documents),
        *(caution for target in documents.targets for caution in _about_figures(documents, target)),
        *_about_gap(documents),
        *(c for target in documents.targets for c in _about_external(documents, target)),
        *(c for target in documents.targets for c in _about_groups(documents, target)),
        *(c for target in documents.targets for c in _about_probabilities(documents, target)),
        *_about_robustness(documents),
        *_about_reach(documents),
    ]
    order = {"FAIL": 0, "WARN": 1, "NOTE": 2}
    unique = list(dict.fromkeys(found))
    return sorted(unique, key=lambda caution: order.get(caution.level, 3))


def _about_choices(documents: RunDocuments) -> Iterator[Caution]:
    """What the evaluation itself says of how thresholds and sets were chosen."""
    for note in documents.evaluation.get("notes") or []:
        yield Caution("WARN", str(note))


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
            f"images, which {_chose(documents)}, and flatter."
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


def _chose(documents: RunDocuments) -> str:
    """What validation was used for; of a model from elsewhere nobody can tell."""
    return "also chose the epoch" if documents.was_trained_here else "may have chosen the model"


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
        text = f"{where}{capitalise(split_name(str(block['split'])))} holds only {listing(few)}."
        yield Caution("WARN", text, "Figures of so small a group move much by chance.")


def _about_gap(documents: RunDocuments) -> Iterator[Caution]:
    """Validation chose the epoch, so that it flatters; say it when test does not confirm it."""
    for finding in find_gap({"blocks": documents.blocks}):
        if documents.n_folds and float(finding.figures["gap"]) < 0:
            why = "Test was judged by the mean of all networks, validation by one each."
            yield Caution(finding.level, finding.message, f"{why} {finding.remedy}".strip())
        else:
            yield Caution(finding.level, finding.message, finding.remedy)


def _about_reach(documents: RunDocuments) -> Iterator[Caution]:
    if not any(block["split"] == "external_test" for block in documents.blocks):
        known = "All images come from one source."
        if not documents.was_trained_here:
            known = "Whether these images come from where the model was trained is not known here."
        text = "At another hospital, with other devices and other patients, the figures will differ"
        yield Caution("NOTE", f"{known} {text} and can be much worse.")


def _about_external(documents: RunDocuments, target: str) -> Iterator[Caution]:
    """Whether the external images show it worse than test does, beyond chance."""
    external, test = (documents.block(target, split) for split in ("external_test", "test"))
    if external is None or test is None:
        return
    figures = [main_metric(block)[1] for block in (external, test)]
    gap = difference_of(external, "auroc")
    if gap.value is None or gap.high is None or gap.high >= 0:
        return
    where = f"{target}: " if len(documents.targets) > 1 else ""
    text = (
        f"{where}On images from elsewhere it is worse by {decimal(-gap.value)} "
        f"({figures[1].number} in test, {figures[0].number} there), more than chance explains."
    )
    yield Caution("WARN", text, "Believe the images from elsewhere.")


def worse_groups(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The facts over which the figures differ by more than chance, after correction."""
    return [
        entry
        for entry in block.get("subgroups") or []
        if entry.get("p_corrected") is not None and entry["p_corrected"] < SIGNIFICANT
    ]


def _about_groups(documents: RunDocuments, target: str) -> Iterator[Caution]:
    where = f"{target}: " if len(documents.targets) > 1 else ""
    for entry in worse_groups(documents.main_block(target)):
        verdict = sentence_of(str(entry.get("verdict") or f"figures differ by {entry['fact']}"))
        yield Caution("WARN", f"{where}{verdict}", "See the subgroups below.")


def _about_probabilities(documents: RunDocuments, target: str) -> Iterator[Caution]:
    """Slope and level of what a user gets: as the model gives it."""
    calibration = documents.main_block(target).get("calibration") or {}
    given = calibration.get("before") or {}
    slope, intercept = Estimate.of(given.get("slope")), Estimate.of(given.get("intercept"))
    if _side(slope, 1):
        how = "too extreme" if _side(slope, 1) < 0 else "too cautious"
        figure = f"calibration slope {slope.text}"
    elif _side(intercept, 0) and len(documents.main_block(target)["classes"]) == 2:
        how = "too high" if _side(intercept, 0) < 0 else "too low"
        figure = f"calibration intercept {intercept.text}"
    else:
        return
    where = f"{target}: " if len(documents.targets) > 1 else ""
    text = f"{where}Probabilities are {how} ({figure}): a call may be right "
    yield Caution("WARN", f"{text}and its probability still wrong.", "Do not read them as risks.")


def _side(estimate: Estimate, ideal: float) -> int:
    """Whether the whole interval lies below the ideal (-1) or above it (1); else 0."""
    if estimate.low is None or estimate.high is None:
        return 0
    return int(estimate.low > ideal) - int(estimate.high < ideal)


def _about_robustness(documents: RunDocuments) -> Iterator[Caution]:
    for entry in documents.evaluation.get("robustness") or []:
        target, metric = str(entry["target"]), metric_name(str(entry["metric"]))
        where = f"{target}: " if len(documents.targets) > 1 else ""
        if entry["metric"] == "auroc" and target in documents.targets:
            metric = main_metric(documents.main_block(target))[0]
        for corruption in entry["corruptions"]:
            clean = Estimate.of(corruption["clean"])
            mild = Estimate.of(corruption["levels"][0]["metric"]) if corruption["levels"] else clean
            if clean.value is None or mild.value is None or clean.value - mild.value < MUCH_WORSE:
                continue
            name = str(corruption["name"]).replace("_", " ")
            text = (
                f"{where}Slightly changed images ({name}) lower {metric} from "
                f"{decimal(clean.value)} to {decimal(mild.value)}."
            )
            yield Caution("WARN", text, "Check that new images are made as these were.")
