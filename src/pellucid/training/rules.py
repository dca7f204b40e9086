"""From a fingerprint to hyperparameters, each with its reason.

A rule sees the fingerprint and what was chosen before it, the user's own settings included, so that
`network=vgg11` also changes the learning rate. What a later rule decides, it does not see: that is
not there until then. What no rule touches is a fixed choice. Rules know no image and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pellucid.network.spec import DEEP_BLOCKS
from pellucid.training.candidates import NETWORKS_CPU, count_trainings
from pellucid.training.fingerprint import Fingerprint
from pellucid.training.hyperparameters import Plan

IMAGE_SIZE_CPU, IMAGE_SIZE_GPU = 64, 224
IMAGE_SIZE_BUDGET = 48  # on a CPU, where time is counted: docs/log.md
# A guess, not measured: patience or a budget usually ends the training earlier.
STEPS_WANTED = 3000
SMALL_DATASET, LARGE_DATASET = 500, 2000  # training images
ENOUGH_STEPS, ENOUGH_EPOCHS = 600, 8  # read off a few runs, see docs/log.md
FULL_STRENGTH_EPOCHS, LEAST_STRENGTH = 30, 0.25  # the least is for the next hospital's pictures
MOST_MEMBERS = 5
FEWEST_FOLDS, PATIENTS_A_FOLD = 5, 2  # with three, a network has too few images: docs/log.md
# Trainings that the budget allows, and candidates that race: a share is still several trainings.
RACES = ((80, 6), (40, 4))
TINY, SMALL = 32, 48  # pixels a side
SMALL_NETWORK, LARGE_NETWORK = NETWORKS_CPU
_HINTS = {
    "chest_xray": ("chest", "pneumonia", "cxr", "covid"),
    "breast_ultrasound": ("breast", "busi", "ultrasound"),
    "retinal_oct": ("oct", "retina"),
}


Chosen = Mapping[str, Any]
Rule = Callable[[Fingerprint, Chosen], tuple[Any, str]]


def apply_rules(fingerprint: Fingerprint, settings: Chosen) -> tuple[Plan, dict[str, str]]:
    """The plan for a dataset, and for each hyperparameter why: fixed, by a rule, or the user's."""
    known: dict[str, Any] = {"channels": fingerprint.pictures.channels}
    if network := _asked(settings):
        known["network"] = network
    given = Plan(**{**known, **settings}).model_dump()
    chosen = {key: value for key, value in given.items() if key in settings or key not in RULES}
    reasons = {key: f"fixed: {field.description}" for key, field in Plan.model_fields.items()}
    reasons |= dict.fromkeys(settings, "yours: set by the user")
    for key, rule in RULES.items():
        if key not in settings:
            chosen[key], reason = rule(fingerprint, chosen)
            reasons[key] = f"rule: {reason}"
    return Plan(**chosen), reasons


def _image_size(fingerprint: Fingerprint, chosen: Chosen) -> tuple[int, str]:
    limit, where = IMAGE_SIZE_CPU, "affordable on a CPU"
    if _is_on_gpu(fingerprint, chosen):
        limit, where = IMAGE_SIZE_GPU, "affordable on a GPU"
    elif _learns_small(fingerprint, chosen):
        limit, where = IMAGE_SIZE_BUDGET, "what a CPU learns most from while a budget runs"
    side = fingerprint.pictures.side
    if side <= limit:
        size = max(8, 4 * round(side / 4))
        return size, f"the images are {side:g} pixels wide or high; a multiple of 4 suits pooling"
    return limit, f"the images have {side:g} pixels; {limit} is {where}"


def _learns_small(fingerprint: Fingerprint, chosen: Chosen) -> bool:
    """Whether time is counted, and neither weights nor a network ask for larger images."""
    if chosen["budget_seconds"] is None or _has_weights(fingerprint, chosen):
        return False
    return _asked(chosen) in (None, SMALL_NETWORK)


def _asked(chosen: Chosen) -> str | None:
    """The network that the user names, or the only one that has what the user sets."""
    if chosen.get("blocks"):
        return SMALL_NETWORK
    implied = LARGE_NETWORK if chosen.get("small_stem") else None
    network: str | None = chosen.get("network", implied)
    return network


def _has_weights(fingerprint: Fingerprint, chosen: Chosen) -> bool:
    """Whether the network would be pretrained, as the user says or by what lies here."""
    if "weights" in chosen:
        return chosen["weights"] is not None
    return (_asked(chosen) or LARGE_NETWORK) in fingerprint.machine.pretrained


def _channels(fingerprint: Fingerprint, _: Chosen) -> tuple[int, str]:
    kind = "grey" if fingerprint.pictures.channels == 1 else "coloured"
    return fingerprint.pictures.channels, f"the images are {kind}"


def _weights(fingerprint: Fingerprint, chosen: Chosen) -> tuple[str | None, str]:
    name, known = chosen["network"], fingerprint.machine.pretrained
    if chosen["image_size"] <= TINY:
        return None, "published weights are of larger images"
    if name in known:
        return "imagenet", f"ImageNet weights of {name} lie on this machine"
    if name == SMALL_NETWORK:
        return None, f"nobody has published any of {name}; network={LARGE_NETWORK} has some"
    return None, f"none of {name} lie here: --weights imagenet fetches them, --weights FILE reads"


def _network(fingerprint: Fingerprint, chosen: Chosen) -> tuple[str, str]:
    size, asked = chosen["image_size"], _asked(chosen)
    if asked:
        return asked, "the only one that has what the user has set"
    too_small = "weights" not in chosen and size <= TINY  # for those that lie here
    scratch = too_small or not _has_weights(fingerprint, chosen)
    if size <= SMALL and scratch and not _is_on_gpu(fingerprint, chosen):
        return SMALL_NETWORK, f"at {size} pixels on a CPU it sees many times the images"
    return LARGE_NETWORK, "the lecture's residual network, in its smallest size"


def _blocks(fingerprint: Fingerprint, chosen: Chosen) -> tuple[list[dict[str, Any]], str]:
    if chosen["network"] != SMALL_NETWORK:
        return [], f"{chosen['network']} has layers of its own"
    images = f"{fingerprint.n_train:,} training images"
    if fingerprint.n_train < LARGE_DATASET:
        return [], f"{images}: one convolution a size, with 32, 64, 128 and 256 channels"
    return [block.model_dump() for block in DEEP_BLOCKS], f"{images}: two convolutions a size"


def _small_stem(_: Fingerprint, chosen: Chosen) -> tuple[bool | None, str]:
    if chosen["weights"] and chosen["image_size"] >= TINY:
        return False, "pretrained weights belong to the standard stem"
    return None, Plan.model_fields["small_stem"].description or ""


def _batch_size(fingerprint: Fingerprint, _: Chosen) -> tuple[int, str]:
    if fingerprint.n_train < SMALL_DATASET:
        return 16, f"only {fingerprint.n_train} training images: more steps an epoch"
    return 32, f"{fingerprint.n_train:,} training images"


def _augmentation(fingerprint: Fingerprint, _: Chosen) -> tuple[str, str]:
    if fingerprint.pictures.modality == "OPT":
        return "retinal_oct", "the files' modality is OPT, ophthalmic tomography"
    hint = fingerprint.name.lower()
    for policy, words in _HINTS.items():
        for word in words:
            if word in hint:
                return policy, f'the dataset\'s name holds "{word}"'
    return "generic", "the dataset's name does not tell the modality; nothing is mirrored"


def _candidates(fingerprint: Fingerprint, chosen: Chosen) -> tuple[int, str]:
    trainings = _affordable(fingerprint, chosen)
    if trainings is None:
        return 1, "without a budget the rules choose"
    if fingerprint.n_train < LARGE_DATASET:
        return 1, f"folds of {fingerprint.n_train:,} training images tell plans apart by chance"
    for least, candidates in RACES:
        if trainings >= least:
            return candidates, f"the budget allows {_count(trainings)} trainings of enough steps"
    return 1, f"the budget allows {_count(trainings)}, too few for a race"


def _members(fingerprint: Fingerprint, chosen: Chosen) -> tuple[int, str]:
    trainings, most = _affordable(fingerprint, chosen), MOST_MEMBERS
    if chosen.get("ensemble_of") == "folds" and fingerprint.fewest_patients:
        most = max(2, min(most, fingerprint.fewest_patients))
    if trainings is None and chosen["distil"]:
        return 3, "an ensemble is to be distilled"
    if trainings is None and chosen.get("ensemble_of") == "folds":
        return most, "as many as there are folds"
    if trainings is None:
        return 1, "without a budget one network is trained to its end"
    left = trainings - count_trainings(chosen["candidates"])
    least = 2 if chosen["distil"] or chosen.get("ensemble_of") == "folds" else 1
    members = max(least, min(most, int(left) - chosen["distil"]))
    return members, (
        f"{fingerprint.machine.images_per_second:g} images/s were measured: "
        f"{_count(trainings)} trainings of enough steps fit the budget"
    )


def _ensemble_of(fingerprint: Fingerprint, chosen: Chosen) -> tuple[str, str]:
    members, patients = chosen["members"], fingerprint.fewest_patients
    if members == 1:
        return "seeds", "one network has nothing to share out"
    if members < FEWEST_FOLDS:
        return "seeds", f"with fewer than {FEWEST_FOLDS} folds a network has too few images"
    if chosen["distil"]:
        return "seeds", "the network that learns from them is judged by images that none has seen"
    if fingerprint.validation_given:
        return "seeds", "the data come with a validation split, from which nobody learns"
    if patients < PATIENTS_A_FOLD * members:
        return "seeds", f"the rarest class has {patients} patients, too few for {members} folds"
    return "folds", "each image teaches all networks but one, and helps to choose that one's epoch"


def _affordable(fingerprint: Fingerprint, chosen: Chosen) -> float | None:
    """How many networks can be trained with enough steps within the budget; None without one."""
    budget, speed = chosen["budget_seconds"], fingerprint.machine.images_per_second
    if budget is None or speed is None:
        return None
    steps = steps_wanted(fingerprint.n_train, chosen["batch_size"])
    return float(budget * speed / (steps * chosen["batch_size"]))


def _count(trainings: float) -> str:
    return f"{trainings:.1f}" if trainings < 10 else f"{trainings:,.0f}"


def _learning_rate(_: Fingerprint, chosen: Chosen) -> tuple[float, str]:
    sgd = chosen["optimiser"] == "sgd"
    if chosen["weights"]:
        return (0.01 if sgd else 2e-4), "pretrained weights are changed gently"
    if not _has_norm(chosen):
        return (0.01 if sgd else 1e-4), f"{chosen['network']} without norm bears no high rate"
    return (0.05 if sgd else 1e-3), f"customary for {chosen['optimiser']} and a network with norm"


def _weight_decay(_: Fingerprint, chosen: Chosen) -> tuple[float, str]:
    value = 5e-4 if chosen["optimiser"] == "sgd" else 0.05
    return value, f"customary for {chosen['optimiser']}"


def _epochs(fingerprint: Fingerprint, chosen: Chosen) -> tuple[int, str]:
    steps = steps_per_epoch(fingerprint.n_train, chosen["batch_size"])
    epochs = min(100, max(10, round(STEPS_WANTED / steps)))
    return epochs, f"{steps} steps an epoch: {epochs * steps:,} steps in all"


def _augmentation_strength(fingerprint: Fingerprint, chosen: Chosen) -> tuple[float, str]:
    """Augmentation fights learning by heart, which takes seeing an image often."""
    epochs = float(chosen["epochs"])
    budget, speed = chosen["budget_seconds"], fingerprint.machine.images_per_second
    if budget is not None and speed is not None:
        networks = count_trainings(chosen["candidates"]) + chosen["members"] + chosen["distil"]
        epochs = min(epochs, budget * speed / (networks * fingerprint.n_train))
    strength = min(1.0, max(LEAST_STRENGTH, epochs / FULL_STRENGTH_EPOCHS))
    return round(strength, 2), f"a network sees each image about {epochs:.0f} times"


def _patience(_: Fingerprint, chosen: Chosen) -> tuple[int, str]:
    # The gain comes late, when the cosine has brought the rate down: do not stop before it.
    return max(8, round(0.3 * chosen["epochs"])), "a third of the epochs, at least 8"


def _warmup_epochs(_: Fingerprint, chosen: Chosen) -> tuple[float, str]:
    return min(1.0, 0.1 * chosen["epochs"]), "one epoch, or a tenth of a short training"


RULES: dict[str, Rule] = {
    "image_size": _image_size,
    "channels": _channels,
    "network": _network,
    "blocks": _blocks,
    "weights": _weights,
    "small_stem": _small_stem,
    "batch_size": _batch_size,
    "augmentation": _augmentation,
    "candidates": _candidates,
    "members": _members,
    "ensemble_of": _ensemble_of,
    "learning_rate": _learning_rate,
    "weight_decay": _weight_decay,
    "epochs": _epochs,
    "augmentation_strength": _augmentation_strength,
    "patience": _patience,
    "warmup_epochs": _warmup_epochs,
}


def steps_per_epoch(n_train: int, batch_size: int) -> int:
    """How many batches an epoch has: none of a single image, which batch norm cannot bear.

    >>> steps_per_epoch(64, 32), steps_per_epoch(65, 32), steps_per_epoch(3, 2)
    (2, 3, 1)
    """
    steps = -(-n_train // batch_size)
    return steps if batch_size == 1 else min(steps, max(1, n_train // 2))


def steps_wanted(n_train: int, batch_size: int) -> int:
    """How many steps a network shall have before another one joins it.

    >>> steps_wanted(700, 32), steps_wanted(70_000, 32)
    (600, 17504)
    """
    return max(ENOUGH_STEPS, ENOUGH_EPOCHS * steps_per_epoch(n_train, batch_size))


def _has_norm(chosen: Chosen) -> bool:
    network: str = chosen["network"]
    if network == "plain":
        return all(block["norm"] != "none" for block in chosen["blocks"])
    return not network.startswith("vgg") or network.endswith("_bn")


def _is_on_gpu(fingerprint: Fingerprint, chosen: Chosen) -> bool:
    return fingerprint.machine.gpu is not None and chosen["device"] != "cpu"
