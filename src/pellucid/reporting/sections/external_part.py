"""External validation beside internal: the metrics on test and elsewhere, and their difference.

The two splits share no patient, so their estimates are independent and the difference has an
interval of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pellucid.evaluation.uncertainty.independent import METHOD
from pellucid.reporting.drawing.plots import Curve, plot_roc
from pellucid.reporting.drawing.probability_plots import Reliability, plot_reliability
from pellucid.reporting.metric_words import PROBABILITY_METRICS, in_order
from pellucid.reporting.parts import Part
from pellucid.reporting.sections.calibration_part import claim_of, has_images
from pellucid.reporting.tables import Cell, Table, build_table
from pellucid.reporting.writing import Estimate, capitalise, count, metric_name

SHOWN = (
    "auroc",
    "auprc",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "balanced_accuracy",
    "accuracy",
    "macro_f1",
    *PROBABILITY_METRICS,
)
Block = dict[str, Any]


def external_part(test: Block | None, external: Block | None, number: int) -> Part | None:
    """Test and external test side by side; None where one of them is missing."""
    if test is None or external is None:
        return None
    table = _table(test, external, number)
    words = (
        f"The same classifier on {_who(external)} from elsewhere, beside the {_who(test)} of the "
        "test split. A difference has its own interval; where that holds 0, chance may explain it.",
        *_say_main(test, external),
    )
    return Part(
        "External validation",
        f"external-{number}",
        words,
        tuple(_plots(test, external, number)),
        (table,),
        "Prevalence differs between places, and PPV, NPV and accuracy move with it. "
        f"Differences: {METHOD}.",
    )


def _who(block: Block) -> str:
    who = count(int(block["n_images"]), "image")
    known = block.get("patients_known", True)
    return f"{who} of {count(int(block['n_patients']), 'patient')}" if known else who


def figures_of(block: Block) -> dict[str, Any]:
    """The metrics of a block, those of its probabilities with them."""
    before = _before(block)
    probabilities = {key: before[key] for key in PROBABILITY_METRICS if key in before}
    return {**probabilities, **block["metrics"]}


def _before(block: Block) -> dict[str, Any]:
    return dict((block.get("calibration") or {}).get("before") or {})


def difference_of(external: Block, key: str) -> Estimate:
    """External minus test in one metric, as evaluation.json has it."""
    return Estimate.of((external.get("difference_from_test") or {}).get(key))


def _table(test: Block, external: Block, number: int) -> Table:
    here, there = figures_of(test), figures_of(external)
    keys = [key for key in in_order(here) if key in SHOWN and key in there]
    rows: list[list[Cell]] = []
    for key in keys:
        pair = Estimate.of(here[key]), Estimate.of(there[key])
        rows.append([capitalise(metric_name(key)), *pair, difference_of(external, key)])
    heads = ["Metric", "Test", "External test", "Difference (external − test)"]
    return build_table(f"external-{number}", heads, rows)


def _say_main(test: Block, external: Block) -> Iterator[str]:
    pair = [Estimate.of(block["metrics"].get("auroc")) for block in (test, external)]
    gap = difference_of(external, "auroc")
    if gap.value is None or gap.low is None or gap.high is None:
        return
    by = f"by {abs(gap.value):.3f} ({pair[0].number} in test, {pair[1].number} elsewhere)"
    if gap.low <= 0 <= gap.high:
        yield f"AUROC differs {by}, which chance may explain."
    else:
        how = "lower" if gap.value < 0 else "higher"
        yield f"AUROC is {how} elsewhere {by}, more than chance explains."


def _plots(test: Block, external: Block, number: int) -> Iterator[str]:
    named = (("test", test), ("external test", external))
    curves = [curve for label, block in named for curve in _roc(label, block)]
    if len(test["classes"]) == 2 and curves:
        yield plot_roc(curves, name=f"external-roc-{number}")
    parts = [
        Reliability(label, _before(block)["bins"])
        for label, block in named
        if has_images(_before(block))
    ]
    if len(parts) == 2:
        yield plot_reliability(parts, of=claim_of(test), name=f"external-reliability-{number}")


def _roc(label: str, block: Block) -> Iterator[Curve]:
    lines = (block.get("curves") or {}).get("roc") or {}
    line = lines.get(block.get("positive")) or next(iter(lines.values()), None)
    if line:
        area = Estimate.of(block["metrics"].get("auroc"))
        text = f"{label}, AUROC {area.number}" if area.is_defined else label
        low, high = line.get("tpr_low") or (), line.get("tpr_high") or ()
        yield Curve(text, line["fpr"], line["tpr"], low=low, high=high)
