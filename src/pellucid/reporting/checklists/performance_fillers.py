"""What a run says to items on performance: figures, intervals, thresholds, groups, failures.

Each filler takes a run's documents and returns an answer, or None where only the author knows.
Every number is one of evaluation.json, rounded as the report rounds it.
"""

from __future__ import annotations

from typing import Any

from pellucid.reporting.checklists.answers import MET, Answer, asked, met, not_met
from pellucid.reporting.checklists.group_fillers import subgroups
from pellucid.reporting.checklists.known import (
    Block,
    all_figures,
    calibration_of,
    figures,
    judged_blocks,
    main_blocks,
    on_split,
    subgroups_of,
    who,
)
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.metric_words import in_order
from pellucid.reporting.writing import count, decimal, listing, metric_name, without_numbers

DIAGNOSTIC = ("auroc", "sensitivity", "specificity", "ppv", "npv", "balanced_accuracy", "accuracy")
SHORT = ("auroc", "balanced_accuracy", "accuracy")
SHOWN_METHODS = 6


def metrics(documents: RunDocuments) -> Answer | None:
    """Every metric by name, and the plots beside them."""
    blocks = main_blocks(documents)
    names = in_order(dict.fromkeys(name for block in blocks for name in block["metrics"]))
    if not names:
        return None
    plots = ["ROC and precision-recall curves"]
    plots += ["reliability curves"] * any(block.get("calibration") for block in blocks)
    plots += ["decision curves"] * any(block.get("decision_curve") for block in blocks)
    told = f"{listing([metric_name(name) for name in names])}; {listing(plots)}."
    return met(f"{told}{_compared(documents)}")


def uncertainty(documents: RunDocuments) -> Answer | None:
    """Level and methods of the intervals, as the figures name them."""
    found = [figure for block in main_blocks(documents) for figure in all_figures(block)]
    held = [figure for figure in found if figure.get("low") is not None and figure.get("method")]
    methods = [without_numbers(str(figure["method"])) for figure in held]
    if not methods:
        return not_met("No figure of the run has an interval.")
    by_use = sorted(set(methods), key=lambda method: (-methods.count(method), method))
    document = documents.evaluation
    level = float(document.get("confidence") or 0.95)
    over = "patients" if documents.patients_known else "images (patients unknown)"
    return met(
        f"{100 * level:g} % intervals over {over}, {document.get('n_resamples')} resamples where "
        f"resampled, seed {document.get('seed')}. Methods: {'; '.join(by_use[:SHOWN_METHODS])}."
    )


def performance(documents: RunDocuments) -> Answer | None:
    """The main metrics with their intervals."""
    blocks = main_blocks(documents)
    names = ("auroc", "auprc", "balanced_accuracy", "accuracy", "macro_f1", "brier")
    return _met_with_intervals(blocks, f"{_told(blocks, names)}.")


def diagnostic_figures(documents: RunDocuments) -> Answer | None:
    """Sensitivity, specificity and predictive values: by class where there are more than two."""
    blocks = main_blocks(documents)
    parts = [_diagnostic(block) for block in blocks]
    return _met_with_intervals(blocks, f"{'; '.join(parts)}.")


def performance_and_subgroups(documents: RunDocuments) -> Answer | None:
    """Performance with intervals; met only where groups are given too."""
    whole = performance(documents)
    groups = subgroups(documents)
    if whole is None or groups is None or whole.status != MET:
        return whole
    if groups.status == MET:
        return met(f"{whole.text} {groups.text}")
    return not_met(f"{groups.text} All together: {whole.text}")


def external_test(documents: RunDocuments) -> Answer | None:
    """How good the model is elsewhere."""
    blocks = judged_blocks(documents, "external_test")
    if not blocks:
        return not_met("The run holds no external test.")
    return met(f"{_told(blocks, SHORT)}.")


def internal_test(documents: RunDocuments) -> Answer | None:
    """How good the model is on the test split of its own source."""
    blocks = judged_blocks(documents, "test")
    if not blocks:
        return not_met("The run holds no test split with labels.")
    told = f"{_told(blocks, SHORT)}."
    if documents.was_trained_here:
        return met(told)
    return asked(f"{told} Whether these are of the source of its training the run does not know.")


def robustness(documents: RunDocuments) -> Answer | None:
    """The verdict on corrupted pictures."""
    entries = documents.evaluation.get("robustness") or []
    if not entries:
        return not_met("The run holds no analysis of robustness.")
    return met(" ".join(_robustness_sentence(entry) for entry in entries))


def explanations(documents: RunDocuments) -> Answer | None:
    """The run holds no explanations."""
    return asked("The run holds no explanation of single decisions.")


def failures(documents: RunDocuments) -> Answer | None:
    """Mistakes by number and kind; without the analysis, only their number."""
    blocks = main_blocks(documents)
    if not blocks:
        return None
    if not all(block.get("failures") for block in blocks):
        return asked("; ".join(f"{on_split(block)} {_mistakes(block)}" for block in blocks) + ".")
    return met("; ".join(f"{on_split(block)} {_failure_words(block)}" for block in blocks) + ".")


def output_and_thresholds(documents: RunDocuments) -> Answer | None:
    """What comes out, and where each threshold was chosen."""
    blocks = main_blocks(documents)
    parts = [f"{on_split(block)} {_thresholds(block)}" for block in blocks]
    return met(f"Probabilities of the classes. {'; '.join(parts)}.") if parts else None


def recalibration(documents: RunDocuments) -> Answer | None:
    """How the probabilities were scaled, and on which split."""
    done = calibration_of(documents)
    if done:
        return met(f"{done}; the model gives its probabilities so scaled.")
    parts = [(block, block.get("calibration") or {}) for block in main_blocks(documents)]
    scaled = [(block, held["scaling"]) for block, held in parts if held.get("scaling")]
    if not scaled:
        return not_met(f"The model was not recalibrated{_reason(parts)}.")
    words = [
        f"{on_split(block)} {scaling['method']} scaling fitted on {scaling['fitted_on']}"
        for block, scaling in scaled
    ]
    return met(f"{'; '.join(words)}, in the evaluation alone: the model gives them unscaled.")


def recalibrated(documents: RunDocuments) -> Answer | None:
    """Calibration before and after scaling."""
    done = calibration_of(documents)
    if done:
        told = [
            f"{on_split(block)} {_given(block['calibration']['before'])}"
            for block in main_blocks(documents)
            if (block.get("calibration") or {}).get("before")
        ]
        return met(f"{done}. {'; '.join(told)}." if told else f"{done}.")
    parts = [(block, block.get("calibration") or {}) for block in main_blocks(documents)]
    both = [(block, held) for block, held in parts if held.get("before") and held.get("after")]
    if not both:
        return not_met(f"The model was not recalibrated{_reason(parts)}.")
    return met("; ".join(f"{on_split(block)} {_before_after(held)}" for block, held in both) + ".")


def cautions(documents: RunDocuments) -> Answer | None:
    """What the run itself warns of; which limits matter only the author knows."""
    blocks = documents.blocks
    warnings = [
        "patients are unknown" * (not documents.patients_known),
        "patients stand in several partitions" * documents.shares_patients,
        "there is no external test" * all(b["split"] != "external_test" for b in blocks),
        "no subgroup is analysed" * (not subgroups_of(documents)),
        "robustness is not analysed" * (not documents.evaluation.get("robustness")),
        _audit_words(documents),
    ]
    said = [warning for warning in warnings if warning]
    return asked(f"The run itself says: {listing(said)}.") if said else None


def _met_with_intervals(blocks: list[Block], text: str) -> Answer | None:
    """Figures without a single interval are named, and do not meet the item."""
    if not blocks:
        return None
    held = (figure for block in blocks for figure in block["metrics"].values())
    if any(figure.get("low") is not None for figure in held):
        return met(text)
    return not_met(f"No figure has an interval: {text}")


def _compared(documents: RunDocuments) -> str:
    """Which models are compared, and by which tests."""
    document = documents.evaluation.get("comparison") or documents.compared
    pairs = [p for t in document.get("targets", []) for p in t.get("pairs", [])]
    tests = sorted({str(m["test"]) for pair in pairs for m in pair["metrics"].values()})
    if not tests:
        return ""
    return f" Compared: {listing([str(name) for name in document['names']])}, by {listing(tests)}."


def _told(blocks: list[Block], names: tuple[str, ...]) -> str:
    """The named metrics of each block, with its size."""
    return "; ".join(f"{on_split(b)} {figures(b, names)} ({who(b)})" for b in blocks)


def _diagnostic(block: Block) -> str:
    if block.get("positive") or not block.get("per_class"):
        return f"{on_split(block)} {figures(block, DIAGNOSTIC)} ({who(block)})"
    classes = [
        f"{name}: {_of_class(metrics, ('sensitivity', 'specificity', 'ppv', 'npv'))}"
        for name, metrics in block["per_class"].items()
    ]
    return f"{on_split(block)} {'; '.join(classes)} ({who(block)})"


def _of_class(metrics_of: dict[str, Any], names: tuple[str, ...]) -> str:
    return figures({"metrics": metrics_of}, names)


def _robustness_sentence(entry: dict[str, Any]) -> str:
    names = listing([str(c["name"]).replace("_", " ") for c in entry.get("corruptions", [])])
    verdict = str(entry.get("verdict") or "").rstrip(".")
    size = count(int(entry.get("n_images") or 0), "image")
    told = f" {verdict}." if verdict else ""
    return f"{entry['target']}: {metric_name(entry['metric'])} on {size} under {names}.{told}"


def _mistakes(block: Block) -> str:
    """How many are called wrongly, from the confusion matrix."""
    matrix = block["confusion_matrix"]
    total = sum(sum(row) for row in matrix)
    right = sum(matrix[k][k] for k in range(len(matrix)))
    return f"{total - right:,} of {count(total, 'image')} are called wrongly"


def _failure_words(block: Block) -> str:
    held = block["failures"]
    groups = [str(group["what"]).rstrip(".") for group in held.get("groups", [])]
    told = f": {'; '.join(groups)}" if groups else ""
    return f"{_mistakes(block)}{told}"


def _thresholds(block: Block) -> str:
    points = block.get("operating_points") or []
    if not points:
        return "the class with the highest probability is called"
    return listing(
        [
            f"threshold {decimal(point['threshold'])} ({point['name'].replace('_', ' ')}, "
            f"{_chosen(point)})"
            for point in points
            if point.get("threshold") is not None
        ]
    )


def _chosen(point: dict[str, Any]) -> str:
    chosen = point.get("chosen_on")
    return f"chosen on {chosen}" if chosen in ("train", "validation", "test") else "set beforehand"


def _given(figures_given: dict[str, Any]) -> str:
    return figures({"metrics": figures_given}, ("slope", "intercept", "brier", "log_loss"))


def _before_after(held: dict[str, Any]) -> str:
    names = ("slope", "intercept", "brier", "log_loss")
    return "before scaling {}, after it {}".format(
        *(figures({"metrics": held[when]}, names) for when in ("before", "after"))
    )


def _reason(parts: list[tuple[Block, dict[str, Any]]]) -> str:
    reasons = dict.fromkeys(str(held["reason"]) for _, held in parts if held.get("reason"))
    return f": {listing(list(reasons))}" if reasons else ""


def _audit_words(documents: RunDocuments) -> str:
    levels = [str(finding.get("level")) for finding in documents.audit.get("findings", [])]
    serious = sum(level in ("FAIL", "WARN") for level in levels)
    return f"the audit of the data holds {count(serious, 'warning')}" if serious else ""
