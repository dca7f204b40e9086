"""The race: some plans tried on folds of the training images, and the best of them followed.

Validation picks a training's epoch and the fold left out judges it; neither the validation images
nor the test ones choose the plan. Every training has the time that a network of the final ensemble
will have, and what has been trained is kept in `race.json`, so that an interrupted race goes on.
Knows the order of things and the run folder; which plans race and who survives is
`training.candidates`'.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.auditing.copies import find_copies
from pellucid.data.folds import folds_by_patient
from pellucid.errors import TrainingError
from pellucid.evaluation.measures.metrics import validation_auroc
from pellucid.prediction import predict_logits
from pellucid.preparation import Prepared, Request, build_member, decode, given_settings
from pellucid.progress import Progress
from pellucid.run import Run
from pellucid.storage import write_json
from pellucid.training import loop
from pellucid.training.candidates import (
    MOST_FOLDS,
    Candidate,
    count_trainings,
    propose,
    survivors,
)
from pellucid.training.fingerprint import Fingerprint
from pellucid.training.measuring import measure_speed
from pellucid.training.members import n_networks
from pellucid.training.plan import Plan, make_plan, save_plan
from pellucid.training.rules import ENOUGH_STEPS

FORMAT, VERSION = "pellucid-race", 1
SLOWEST = 0.5  # of the steps that are enough

Row = dict[str, Any]


def race(run: Run, prepared: Prepared, wish: Request, progress: Progress) -> Prepared:
    """Let `plan.candidates` plans race; write the winner's plan, and decode what it needs.

    Nothing happens where there is nothing to choose from. The winner's plan has what is left of the
    budget, and says of its network and image size what was measured.
    """
    fingerprint = Fingerprint.load(run.fingerprint_path)
    entry = _Race(run, prepared, wish, progress, fingerprint)
    contenders = entry.quick_enough(propose(fingerprint, prepared.plan, given_settings(wish)))
    if len(contenders) == 1:
        return prepared
    entry.enter(len(contenders))
    progress.say(
        f"{len(contenders)} plans race on folds of the training images: "
        + "; ".join(candidate.name for candidate in contenders)
    )
    left, fold = contenders, 0
    while len(left) > 1:
        for candidate in left:
            candidate.scores.append(entry.score(candidate, fold % MOST_FOLDS))
        left, fold = survivors(left), fold + 1
    (winner,) = left
    told = f"AUROC {_aurocs(winner)} on folds of the training images, " + ", ".join(
        f"{_aurocs(other)} by {other.name}" for other in contenders if other is not winner
    )
    progress.say(f"Chosen: {winner.name}: {told}")
    entry.write(
        winner=dict(winner.settings),
        candidates=[
            {
                "settings": dict(each.settings),
                "aurocs": [None if math.isnan(score) else score for score in each.scores],
            }
            for each in contenders
        ],
    )
    plan, reasons = entry.plan_of(winner, budget_seconds=entry.seconds_left)
    reasons |= dict.fromkeys(winner.settings, f"measured: {told}")
    reasons["candidates"] = f"measured: {len(contenders)} have raced, see race.json"
    if plan.budget_seconds is not None:
        reasons["budget_seconds"] = "measured: what the race has left of the budget"
    save_plan(plan, run.plan_path, reasons)
    return entry.prepare(plan)


@dataclass
class _Race:
    """What all trainings of a race have in common, and the rows of `race.json` so far."""

    run: Run
    prepared: Prepared
    wish: Request
    progress: Progress
    fingerprint: Fingerprint
    left_out: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    seconds_each: float | None = None
    folds: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        if self.run.race_path.is_file():
            document = json.loads(self.run.race_path.read_text(encoding="utf-8"))
            self.rows, self.left_out = list(document["trainings"]), list(document["left_out"])

    def quick_enough(self, contenders: list[Candidate]) -> list[Candidate]:
        """Those that could take half of the steps wanted in their time; the first always stays.

        How fast each trains is measured, a second each, and remembered for a race that goes on.
        """
        share, kept = self._share(len(contenders)), contenders[:1]
        if share is None:
            return contenders
        contenders[0].images_per_second = self.fingerprint.machine.images_per_second
        known = [row["settings"] for row in self.rows]
        for candidate in contenders[1:]:
            plan, _ = self.plan_of(candidate)
            speed = measure_speed(plan, self.prepared.dataset.task)
            candidate.images_per_second, settings = speed, dict(candidate.settings)
            enough = speed * share >= SLOWEST * ENOUGH_STEPS * plan.batch_size
            if settings in known or (enough and settings not in self._slow):
                kept.append(candidate)
            elif settings not in self._slow:
                self.left_out.append({"settings": settings, "images_per_second": speed})
                self.progress.say(f"{candidate.name} does not race: {speed:g} images/s here")
        return kept

    @property
    def _slow(self) -> list[Row]:
        return [row["settings"] for row in self.left_out]

    def enter(self, n_candidates: int) -> None:
        """The race begins: with how many, and on which folds."""
        self.seconds_each = self._share(n_candidates)
        self.folds = _folds(self.prepared, self.progress)

    def _share(self, n_candidates: int) -> float | None:
        """What a training has: as much as a network of the final ensemble."""
        plan = self.prepared.plan
        if plan.budget_seconds is None:
            return None
        return plan.budget_seconds / (count_trainings(n_candidates) + n_networks(plan))

    @property
    def seconds_left(self) -> float | None:
        """What the race has left of the budget: at least the final networks' share."""
        plan = self.prepared.plan
        if plan.budget_seconds is None or self.seconds_each is None:
            return None
        left = plan.budget_seconds - sum(float(row["seconds"]) for row in self.rows)
        return max(left, n_networks(plan) * self.seconds_each)

    def plan_of(self, candidate: Candidate, **changes: Any) -> tuple[Plan, dict[str, str]]:
        """The plan of a candidate as the rules complete it, and the reasons."""
        settings = {**given_settings(self.wish), **candidate.settings, "candidates": 1, **changes}
        fingerprint, speed = self.fingerprint, candidate.images_per_second
        if speed is not None:
            fingerprint = fingerprint.with_speed(speed)
        return make_plan(fingerprint, settings=settings)

    def prepare(self, plan: Plan) -> Prepared:
        """The dataset, split as it is, decoded for a plan."""
        classifier = build_member(plan, self.prepared.dataset.task)
        return decode(self.prepared.dataset, (plan, classifier), self.wish, self.progress)

    def score(self, candidate: Candidate, fold: int) -> float:
        """The candidate's AUROC on a fold, as it was kept or by a training now."""
        for row in self.rows:
            if row["settings"] == dict(candidate.settings) and row["fold"] == fold:
                break
        else:
            row = {"settings": dict(candidate.settings), "fold": fold}
            row |= self._train(candidate, fold)
            self.rows.append(row)
            self.write()
        auroc = math.nan if row["auroc"] is None else float(row["auroc"])
        self.progress.say(f"  {candidate.name}: AUROC {auroc:.4f} on fold {fold + 1}")
        return auroc

    def write(self, **more: Any) -> None:
        """Keep the race as far as it has come."""
        head = {"format": FORMAT, "version": VERSION, "metric": "auroc", "folds": MOST_FOLDS}
        head |= {"seconds_each": self.seconds_each, "left_out": self.left_out}
        write_json(self.run.race_path, {**head, **more, "trainings": self.rows})

    def _train(self, candidate: Candidate, fold: int) -> Row:
        """Train without a fold, and judge there; a training that fails has no AUROC."""
        alone = {"members": 1, "distil": False, "budget_seconds": self.seconds_each}
        plan, _ = self.plan_of(candidate, **alone)
        own, folder = self.prepare(plan), self.run.folder / "race"
        task, codes, rows = own.dataset.task, own.dataset.codes(), own.rows("train")
        held = self.folds[rows] == fold

        def step(done: int, steps: int, rate: float) -> None:
            place = f"{candidate.name}, fold {fold + 1}"
            self.progress.now(f"  {place}: step {done} of {steps}, {rate:,.0f} images/s")

        try:
            result = loop.train(
                own.classifier,
                plan,
                loop.TrainingData(
                    task=task,
                    pixels=own.cache.pixels,
                    codes=codes,
                    train=rows[~held],
                    validation=own.rows("validation"),
                ),
                folder,
                score=lambda codes, logits: validation_auroc(codes, logits, task),
                transform=self.wish.transform,
                listener=loop.Listener(step=step),
            )
        except TrainingError as error:
            self.progress.say(f"  {candidate.name}: {error}")
            return {"auroc": None, "seconds": self.seconds_each or 0.0, "reason": str(error)}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        logits = predict_logits(own.classifier, own.cache.pixels[rows[held]], own.preprocessing)
        auroc = float(validation_auroc(codes[rows[held]], logits, task))
        return {
            "auroc": None if math.isnan(auroc) else round(auroc, 6),
            "seconds": round(result.seconds, 2),
            "epochs": len(result.rows),
            "n_images": int(held.sum()),
        }


def _folds(prepared: Prepared, progress: Progress) -> npt.NDArray[np.int64]:
    """The fold of every row, -1 outside train; patients and copies of a picture stay together."""
    table, rows = prepared.dataset.table, prepared.rows("train")
    copies = find_copies(prepared.cache, progress.counter("Comparing pictures"))
    linked = copies.groups(len(table))[rows]
    within = replace(prepared.dataset, table=table.iloc[rows])
    folds = np.full(len(table), -1, dtype=np.int64)
    folds[rows] = folds_by_patient(within, MOST_FOLDS, prepared.plan.seed, linked=linked)
    return folds


def _aurocs(candidate: Candidate) -> str:
    return " and ".join(f"{score:.3f}" for score in candidate.scores)
