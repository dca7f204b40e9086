"""Everything before the first weight changes: split, plan, decode, audit.

Nothing is written to the run folder before all of it has held; what is written then is enough to
begin again after a kill. It does not know how weights are found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.auditing.audit import audit_dataset
from pellucid.auditing.copies import Copies, find_copies
from pellucid.auditing.findings import Audit
from pellucid.data.cache import PixelCache, build_cache, check_readable
from pellucid.data.folds import fewest_patients, folds_by_patient
from pellucid.data.index import Dataset
from pellucid.data.split import assign_splits, split_digest
from pellucid.errors import CheckFailed, PlanError, SplitError, UsageError
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import Classifier, NetworkSpec, build_classifier
from pellucid.progress import Progress
from pellucid.run import Run, clear_run, load_race, versions
from pellucid.task import Task
from pellucid.training.fingerprint import Fingerprint
from pellucid.training.loss import choose_pairing
from pellucid.training.measuring import measure_fingerprint, measure_speed
from pellucid.training.plan import (
    Plan,
    apply_settings,
    load_plan,
    make_plan,
    parse_budget,
    read_settings,
    save_plan,
)

SAME_PATIENT = (  # what follows when patients stand in more than one split
    "shared_patients",
    "shared_studies",
    "shared_objects",
    "identical_across_splits",
    "near_duplicates_across_splits",
)

Rows = npt.NDArray[np.int64]

BY_SPEED = {"members", "candidates", "augmentation_strength"}  # what hangs on the machine's speed
SEEDS = "Set ensemble_of=seeds."
SAME = "Give the same options as at the start, or choose another --out."
RACED = ("budget_seconds", "candidates")  # of the plan's lines, those that a race rewrites


@dataclass(frozen=True)
class Request:
    """What the user asked of `train` beside the data: see `train` for each field.

    `allow` are codes of findings of level FAIL to train despite of.
    """

    plan: Path | None = None
    settings: Mapping[str, Any] | None = None
    budget: str | None = None
    seed: int | None = None
    transform: Any = None
    resume: bool = False
    overwrite: bool = False
    strict: bool = False
    baseline: bool = True
    robustness: bool = True
    explain: bool = True
    allow_shared_patients: bool = False
    allow: tuple[str, ...] = ()
    stratify_by: tuple[str, ...] = ()
    command: str = ""

    @property
    def allowed(self) -> tuple[str, ...]:
        """The codes of findings that do not stop training."""
        return (*self.allow, *(SAME_PATIENT if self.allow_shared_patients else ()))

    @property
    def may_share_patients(self) -> bool:
        """Whether given splits may share patients, by either option; the report says so."""
        return "shared_patients" in self.allowed


@dataclass(frozen=True)
class Prepared:
    """A dataset ready to train on: split, planned, decoded; row i of both is the same image.

    Rows of equal value in `linked` (n,) show the same picture, as far as pictures were compared;
    patients are dealt as they were for the split, by `stratify_by` as well.
    """

    dataset: Dataset
    plan: Plan
    preprocessing: Preprocessing
    cache: PixelCache
    classifier: Classifier
    linked: Rows
    stratify_by: tuple[str, ...] = ()

    def deal(self, rows: Rows, n_folds: int) -> Rows:
        """The fold of each of these rows; patients and copies of a picture stay together.

        Raises `SplitError` for a class of fewer patients than folds.
        """
        folds = folds_by_patient(
            self._within(rows),
            n_folds,
            self.plan.seed,
            linked=self.linked[rows],
            stratify_by=self.stratify_by,
        )
        return folds.to_numpy().astype(np.int64)

    def fewest_patients(self, rows: Rows) -> int:
        """How many patients of the rarest class could be dealt, of those in these rows."""
        return fewest_patients(self._within(rows), self.linked[rows])

    def _within(self, rows: Rows) -> Dataset:
        return replace(self.dataset, table=self.dataset.table.iloc[rows])

    def rows(self, split: str) -> Rows:
        """The readable rows of one split."""
        inside = (self.dataset.table["split"] == split).to_numpy()
        return np.flatnonzero(inside & self.cache.readable)


def prepare(run: Run, dataset: Dataset, wish: Request, progress: Progress) -> Prepared:
    """Split, plan, decode and audit; the run folder is made only when all of it has held.

    Raises `CheckFailed` when the audit finds what makes results wrong and is not allowed.
    """
    fingerprint, plan, reasons = choose_plan(dataset, wish)
    classifier = build_member(plan, dataset.task)
    _split(dataset, plan, wish)  # what cannot be split is refused before anything is decoded
    prepared = decode(dataset, (plan, classifier), wish, progress)
    copies = find_copies(prepared.cache, progress.counter("Comparing pictures"))
    dataset, notes = _split(dataset, plan, wish, copies)
    for note in notes:
        progress.say(note)
    findings = audit_dataset(dataset, prepared.cache, copies)
    progress.say(findings.describe())
    check_audit(findings, wish.allowed)
    prepared = replace(
        prepared,
        dataset=dataset,
        linked=copies.groups(len(dataset.table)),
        stratify_by=wish.stratify_by,
    )
    # Split and copies tell more of the patients than the table did: folds may have too few.
    fingerprint = fingerprint.with_split(
        duplicates=copies.n_copies(len(dataset.table)),
        fewest_patients=prepared.fewest_patients(rows_outside_test(prepared)),
    )
    plan, reasons = make_plan(fingerprint, path=wish.plan, settings=_settings(wish))
    prepared = replace(prepared, plan=plan)
    if plan.ensemble_of == "folds":
        deal_folds(prepared)  # what cannot be dealt is refused before anything is written
    readable = int(prepared.cache.readable.sum())
    if wish.overwrite and not wish.resume:
        clear_run(run)
    findings.save(run.audit_path)
    run.add_facts(
        command=wish.command,
        dataset=_dataset_facts(dataset),
        task=dataset.task.model_dump(mode="json"),
        seed=plan.seed,
        versions=versions(),
        notes=[*dataset.notes, *notes],
        allow_shared_patients=wish.may_share_patients,
        allowed=list(wish.allow),
        split_digest=split_digest(dataset.table),
        stratify_by=list(wish.stratify_by),
        unreadable=len(dataset.table) - readable,
    )
    run.save_index(dataset.table)
    fingerprint.save(run.fingerprint_path)
    save_plan(plan, run.plan_path, reasons)
    return prepared


def rows_outside_test(prepared: Prepared) -> Rows:
    """The readable rows of train and validation, in ascending order."""
    return np.sort(np.concatenate([prepared.rows("train"), prepared.rows("validation")]))


def deal_folds(prepared: Prepared) -> Rows:
    """The fold of each row of `rows_outside_test`, one for each network of an ensemble of folds."""
    try:
        return prepared.deal(rows_outside_test(prepared), prepared.plan.members)
    except SplitError as error:
        raise SplitError(error.rule, error.found, SEEDS) from error


def choose_plan(dataset: Dataset, wish: Request) -> tuple[Fingerprint, Plan, dict[str, str]]:
    """What is known of dataset and machine, the plan that follows, and each line's reason."""
    asked = {key: value for key, value in given_settings(wish).items() if key == "fractions"}
    fingerprint = measure_fingerprint(dataset, fractions=Plan(**asked).fractions)
    plan, reasons = make_plan(fingerprint, path=wish.plan, settings=_settings(wish))
    if plan.budget_seconds is not None and not given_settings(wish).keys() >= BY_SPEED:
        fingerprint = fingerprint.with_speed(measure_speed(plan, dataset.task))
        plan, reasons = make_plan(fingerprint, path=wish.plan, settings=_settings(wish))
    if plan.ensemble_of == "folds":
        _check_folds(fingerprint, plan)
    return fingerprint, plan, reasons


def _check_folds(fingerprint: Fingerprint, plan: Plan) -> None:
    if plan.members == 1:
        rule = "An ensemble of folds has a network for each of two folds or more"
        raise PlanError(rule, "members=1", "Set members=5, or ensemble_of=seeds.")
    if fingerprint.validation_given:
        rule = "Nobody learns from the validation split that the data come with"
        raise PlanError(rule, "ensemble_of=folds", SEEDS)


def check_audit(audit: Audit, allowed: Collection[str] = ()) -> None:
    """Raise `CheckFailed` for findings of level FAIL that are not allowed."""
    failures = audit.failures(allowed)
    if failures:
        codes = list(dict.fromkeys(failure.code for failure in failures))
        options = " ".join(f"--allow {code}" for code in codes)
        raise CheckFailed(
            "Training stops where the audit finds what makes results wrong",
            " ".join(failure.message for failure in failures),
            f"See the pictures with `pellucid audit DATA --out FOLDER` and mend the data, or train "
            f"despite it with {options}.",
        )


def _split(
    dataset: Dataset, plan: Plan, wish: Request, copies: Copies | None = None
) -> tuple[Dataset, list[str]]:
    """The dataset with a split for every row; copies of one picture stay in one split."""
    linked = copies.groups(len(dataset.table)) if copies is not None else None
    return assign_splits(
        dataset,
        seed=plan.seed,
        fractions=plan.fractions,
        allow_shared_patients=wish.may_share_patients,
        linked=linked,
        stratify_by=wish.stratify_by,
    )


def prepare_again(run: Run, dataset: Dataset, wish: Request, progress: Progress) -> Prepared:
    """The same as `prepare`, from what the interrupted run wrote."""
    plan = load_plan(run.plan_path)
    settings = given_settings(wish)
    before = plan
    if run.race_path.is_file():  # a race that has ended changes these in the plan
        asked = load_race(run.race_path)["asked"]
        unset = {key: Plan.model_fields[key].default for key in RACED}
        before = apply_settings(plan, {**unset, **{k: asked[k] for k in RACED if k in asked}})
    if not _changes_nothing(before, settings):
        raise UsageError(
            "A resumed run keeps its plan, and the options given would change it", remedy=SAME
        )
    asked, stratify_by = tuple(wish.stratify_by), tuple(run.facts.get("stratify_by", ()))
    if asked not in ((), stratify_by):
        found = f"{' '.join(asked)} instead of {' '.join(stratify_by) or 'none'}"
        raise UsageError("A resumed run keeps its split", f"--stratify-by {found}", SAME)
    table = run.load_index()
    if sorted(table["image_id"]) != sorted(dataset.table["image_id"]):
        raise UsageError(
            f"The dataset has changed since the run {run.folder} began",
            f"{len(dataset.table):,} images instead of {len(table):,}, or other names",
            "Start a new run.",
        )
    task = Task.model_validate(run.facts["task"])
    where = dataset.table.set_index("image_id")["image_path"]
    table["image_path"] = table["image_id"].map(where)
    dataset = replace(dataset, table=table, task=task)
    prepared = decode(dataset, (plan, build_member(plan, task)), wish, progress)
    if plan.ensemble_of == "seeds" and plan.candidates == 1:
        return prepared  # nothing is dealt any more
    copies = find_copies(prepared.cache, progress.counter("Comparing pictures"))
    return replace(prepared, linked=copies.groups(len(table)), stratify_by=stratify_by)


def _changes_nothing(plan: Plan, settings: Mapping[str, Any]) -> bool:
    try:
        return apply_settings(plan, settings) == plan
    except PlanError:  # what does not go with the plan would change it
        return False


def given_settings(wish: Request) -> dict[str, Any]:
    """The hyperparameters that the user has set, by a plan file, one by one, or as options."""
    return {**(read_settings(wish.plan) if wish.plan else {}), **_settings(wish)}


def _settings(wish: Request) -> dict[str, Any]:
    settings = dict(wish.settings or {})
    if wish.seed is not None:
        settings["seed"] = wish.seed
    if wish.budget is not None:
        settings["budget_seconds"] = parse_budget(wish.budget)
    return settings


def decode(
    dataset: Dataset, model: tuple[Plan, Classifier], wish: Request, progress: Progress
) -> Prepared:
    """The dataset as the plan wants its pictures; those decoded before are opened."""
    plan, classifier = model
    preprocessing = Preprocessing(**plan.preprocessing())
    cache = build_cache(dataset, preprocessing, progress=progress.counter("Reading images"))
    check_readable(cache, dataset, strict=wish.strict)
    alone = np.arange(len(dataset.table))
    return Prepared(dataset, plan, preprocessing, cache, classifier, linked=alone)


def _dataset_facts(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "source": Path(dataset.source).name,
        "n_images": len(dataset.table),
        "n_patients": int(dataset.table["patient_id"].nunique()),
        "patients_known": dataset.patients_known,
        "synthetic": dataset.synthetic,
        "facts": list(dataset.facts),
    }


def build_member(plan: Plan, task: Task) -> Classifier:
    """A network before training; refuses what cannot be trained before anything is decoded."""
    for target in task.targets:
        choose_pairing(plan.output, target)
    spec = NetworkSpec(**plan.network_spec())
    return build_classifier(spec, task, weights=plan.weights, seed=plan.seed)
