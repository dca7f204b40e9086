"""What a run says to items on the model: network, weights, training, choice, software.

Each filler takes a run's documents and returns an answer, or None where only the author knows.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from pellucid.reporting.checklists.answers import Answer, asked, does_not_apply, met
from pellucid.reporting.checklists.known import plan_value, plan_words
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.writing import capitalise, count, decimal, listing

TRAINED_ELSEWHERE = "The run judges a model that was made elsewhere"
TRAINING = (
    "optimiser",
    "learning_rate",
    "weight_decay",
    "schedule",
    "batch_size",
    "epochs",
    "patience",
    "augmentation",
    "loss",
    "label_smoothing",
    "dropout",
    "precision",
    "seed",
)


def kind_of_model(documents: RunDocuments) -> Answer | None:
    """The category of method, for the title."""
    name = plan_value(documents, "network")
    return asked(f"Deep learning: the network {name}.") if name else None


def network(documents: RunDocuments) -> Answer | None:
    """The whole model as a formula, with its size and output."""
    facts = documents.facts.get("network") or {}
    if not facts.get("formula"):
        return asked(f"{TRAINED_ELSEWHERE}.")
    n_parameters = count(int(facts.get("parameters") or 0), "parameter")
    layers = count(len(facts.get("rows") or []), "layer")
    name = plan_value(documents, "network")
    called = f"{name}: " if name else ""
    return met(
        f"{called}{facts['formula']}; {n_parameters}, {layers} listed with their shapes in the "
        f"report. Output: {_output(documents)}."
    )


def software(documents: RunDocuments) -> Answer | None:
    """Packages with their versions, and the machine."""
    versions = documents.facts.get("versions") or {}
    held = [f"{name} {v}" for name, v in versions.items() if v != "not installed"]
    return met(f"{listing(held)}.") if held else None


def initial_weights(documents: RunDocuments) -> Answer | None:
    """Random or pretrained weights, by the plan; of a file only its name."""
    if not documents.was_trained_here:
        return asked(f"{TRAINED_ELSEWHERE}.")
    weights = plan_value(documents, "weights")
    if weights is None:
        return None
    seed = plan_value(documents, "seed")
    if weights == "null":
        own = ", each network's own from it" if _members(documents) > 1 else ""
        return met(f"Random, from seed {seed}{own}; no pretrained weights." if seed else "Random.")
    name = PurePosixPath(weights.replace("\\", "/")).name
    return asked(f"Pretrained weights: {name}. What they were trained on, the author knows.")


def training(documents: RunDocuments) -> Answer | None:
    """Optimiser, rates, augmentation and length; the rest stands in plan.yaml."""
    if not documents.was_trained_here:
        return asked(f"{TRAINED_ELSEWHERE}.")
    parts = [plan_words(documents, TRAINING), _length(documents)]
    told = capitalise("; ".join(part for part in parts if part))
    all_of_them = count(len(documents.plan), "hyperparameter")
    return met(f"{told}. All {all_of_them} stand with their reasons in plan.yaml and the report.")


def choice_of_model(documents: RunDocuments) -> Answer | None:
    """Which epoch was kept, by which metric; the test split has no part in it."""
    table = documents.history
    if table is None:
        return None if documents.was_trained_here else asked(f"{TRAINED_ELSEWHERE}.")
    metric = plan_value(documents, "metric") or "the metric of the plan"
    best = table[table["is_best"].astype(bool)]
    if best.empty:
        return None
    row = best.iloc[-1]
    judged_by = "the images of its fold" if documents.n_folds else "validation images"
    return met(
        f"Epoch {int(row['epoch'])} of {len(table)}, which had the best {metric} on {judged_by} "
        f"({decimal(float(row['validation_metric']))}); the test split chose nothing."
        + (" So of each network; this is the first." if _is_ensemble(documents) else "")
        + _raced(documents)
    )


def _raced(documents: RunDocuments) -> str:
    """That the plan itself was chosen by a race, where it was."""
    candidates = documents.race.get("candidates") or []
    if not candidates:
        return ""
    plans = count(len(candidates), "plan")
    return f" {capitalise(plans)} had raced on folds of the training images before."


def ensemble(documents: RunDocuments) -> Answer | None:
    """How many networks a run has trained, and how their answers are combined."""
    if not documents.was_trained_here:
        return asked(f"{TRAINED_ELSEWHERE}.")
    members = _members(documents)
    if members == 1 and not _is_distilled(documents):
        return met("One network; nothing was combined.")
    how = "without one fold of the images" if documents.n_folds else "from its own seed"
    made = f"{count(members, 'network')} of one architecture, each trained {how}"
    if _is_distilled(documents):
        return met(f"{made}; one more was trained to answer as their mean does, and is used alone.")
    return met(f"{made}; the mean of their logits is the answer.")


def _is_distilled(documents: RunDocuments) -> bool:
    return bool((documents.facts.get("training") or {}).get("distilled"))


def _is_ensemble(documents: RunDocuments) -> bool:
    return _members(documents) > 1 and not _is_distilled(documents)


def _members(documents: RunDocuments) -> int:
    return int((documents.facts.get("training") or {}).get("members") or 1)


def building(documents: RunDocuments) -> Answer | None:
    """Kind of model, training and internal validation in one answer."""
    if not documents.was_trained_here:
        return does_not_apply(f"{TRAINED_ELSEWHERE}.")
    parts = (network(documents), training(documents), choice_of_model(documents))
    told = [part.text for part in parts if part is not None and part.status == "met"]
    return met(" ".join(told)) if told else None


def imbalance(documents: RunDocuments) -> Answer | None:
    """What the plan does about rare classes."""
    weights, loss = plan_value(documents, "class_weights"), plan_value(documents, "loss")
    if weights is None:
        return None
    if weights == "none" and loss != "focal":
        return met("Nothing was done about class imbalance: no weights, no resampling.")
    return met(f"{plan_words(documents, ('class_weights', 'loss'))}; no resampling.")


def prediction_rule(documents: RunDocuments) -> Answer | None:
    """How a probability comes about."""
    if not documents.was_trained_here:
        return asked(f"{TRAINED_ELSEWHERE}; its predictions were given as a table.")
    return met(
        "The trained network gives a probability for each class of an image; pellucid predict "
        "computes it from the bundle, which holds preprocessing and weights."
    )


def availability(documents: RunDocuments) -> Answer | None:
    """What could be shared; whether it is, only the author knows."""
    if not documents.was_trained_here:
        return asked(f"{TRAINED_ELSEWHERE}.")
    return asked(
        "The bundle of the run holds plan, preprocessing and weights, and can be shared as it is."
    )


def analysis_code(documents: RunDocuments) -> Answer | None:
    """The analysis is Pellucid's; the author's own code only the author knows."""
    version = (documents.facts.get("versions") or {}).get("pellucid")
    return asked(f"The analysis is by Pellucid {version} (Apache-2.0).") if version else None


def date_of_model(documents: RunDocuments) -> Answer | None:
    """When the training began."""
    started = documents.facts.get("started")
    if not started or not documents.was_trained_here:
        return None
    return met(f"Training began {started}.")


def version_of_model(documents: RunDocuments) -> Answer | None:
    """The author numbers the model; the run knows seed and software."""
    version = (documents.facts.get("versions") or {}).get("pellucid")
    seed = documents.facts.get("seed")
    if version is None or seed is None:
        return None
    return asked(f"Seed {seed}, Pellucid {version}.")


def poor_input(documents: RunDocuments) -> Answer | None:
    """What the software does with an image that it cannot read."""
    return asked("An image that cannot be read gets no prediction, and is named with the reason.")


def _output(documents: RunDocuments) -> str:
    parts = []
    for target in documents.targets:
        names = documents.main_block(target)["classes"]
        parts.append(f"{target}, probabilities of {listing(names)}")
    return "; ".join(parts)


def _length(documents: RunDocuments) -> str:
    facts = documents.facts.get("training") or {}
    table = documents.history
    epochs = count(len(table), "epoch") if table is not None else ""
    stopped = f"stopped because {facts['stopped_because']}" if "stopped_because" in facts else ""
    seconds = f"{float(facts['seconds']):,.0f} s" if facts.get("seconds") else ""
    members = _members(documents)
    several = f"{members} networks in all, of which the one shown had" if members > 1 else ""
    raced = (documents.facts.get("race") or {}).get("seconds")
    before = f"after a race of {float(raced):,.0f} s" if raced else ""
    told = f"{several} {epochs}".strip()
    return ", ".join(part for part in (told, stopped, seconds, before) if part)
