"""Every filler by its name in the data files, and the answer of a run to an item.

An item without a filler, and one whose filler finds nothing, is asked of the author.
"""

from __future__ import annotations

from collections.abc import Callable

from pellucid.reporting.checklists import data_fillers as data
from pellucid.reporting.checklists import group_fillers as group
from pellucid.reporting.checklists import model_fillers as model
from pellucid.reporting.checklists import performance_fillers as performance
from pellucid.reporting.checklists import split_fillers as split
from pellucid.reporting.checklists.answers import Answer, asked, does_not_apply
from pellucid.reporting.checklists.items import AUTHOR, Item
from pellucid.reporting.documents import RunDocuments

Filler = Callable[[RunDocuments], Answer | None]
_FILLERS: tuple[Filler, ...] = (
    data.task,
    data.develops_or_evaluates,
    data.classes,
    data.dataset,
    data.evaluation_data,
    data.unreadable_images,
    data.missing_labels,
    data.known_facts,
    data.clusters_known,
    data.preparation_and_checks,
    data.preprocessing,
    data.predictors,
    split.training_data,
    split.partition,
    split.disjointness,
    split.size_of_test,
    split.flow,
    split.demographics,
    split.outcome_by_split,
    split.people_compared,
    split.characteristics,
    split.same_source,
    model.kind_of_model,
    model.network,
    model.software,
    model.initial_weights,
    model.training,
    model.choice_of_model,
    model.ensemble,
    model.building,
    model.imbalance,
    model.prediction_rule,
    model.availability,
    model.analysis_code,
    model.date_of_model,
    model.version_of_model,
    model.poor_input,
    performance.metrics,
    performance.uncertainty,
    performance.performance,
    performance.diagnostic_figures,
    performance.performance_and_subgroups,
    group.subgroups,
    group.groups_analysed,
    group.fairness,
    group.intersections,
    group.clusters_analysed,
    performance.internal_test,
    performance.external_test,
    performance.robustness,
    performance.explanations,
    performance.failures,
    performance.output_and_thresholds,
    performance.recalibration,
    performance.recalibrated,
    performance.cautions,
)
FILLERS: dict[str, Filler] = {filler.__name__: filler for filler in _FILLERS}
ELSEWHERE = "It concerns the making of a model; this run judges one that was made elsewhere"


def fill(item: Item, documents: RunDocuments) -> Answer:
    """What the run says to an item."""
    if item.development_only and not documents.was_trained_here:
        return does_not_apply(f"{ELSEWHERE}.")
    if item.filled_by == AUTHOR:
        return asked()
    return FILLERS[item.filled_by](documents) or asked()
