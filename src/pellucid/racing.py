"""The race: some plans tried on folds of the training images, and the best of them followed.

Validation picks a training's epoch and the fold left out judges it; neither the validation images
nor the test ones choose the plan. Every training has the time that a network of the final ensemble
will have, and what has been trained is kept in `race.json`, so that an interrupted race goes on.
Knows the order of things and the run folder; which plans race and who survives is
`training.candidates`'.
"""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pellucid.errors import Diverged, PlanError
from pellucid.evaluation.measures.metrics import validation_auroc
from pellucid.prediction import predict_logits
from pellucid.preparation import Prepared, Request, build_member, decode, given_settings
from pellucid.progress import Progress
from pellucid.run import Run, load_race
from pellucid.run_predictions import in_blocks
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
from pellucid.training.rules import steps_wanted

FORMAT, VERSION = "pellucid-race", 1
SLOWEST = 0.5  # of the steps that are enough
FEWEST_FOLDS = 2

Row = dict[str, Any]


def race(run: Run, prepared: Prepared, wish: Request, progress: Progress) -> Prepared:
    """Let `plan.candidates` plans race; write the winner's plan, and decode what it needs.

    Where there is nothing to choose from, the plan says so and stays. The winner's plan has what is
    left of the budget, and tells of its network and image size what was measured. Whatever is
    decided, who races with how much time above all, is kept before the first training.
    """
    if prepared.plan.candidates == 1:
        return prepared
    fingerprint = Fingerprint.load(run.fingerprint_path)
    entry = _Race(run, prepared, wish, progress, fingerprint, _Record(run, given_settings(wish)))
    why_not = entry.enter()
    if why_not:
        progress.say(f"No plans race: {why_not}")
        plan, reasons = entry.plan_of(entry.contenders[0])
        reasons["candidates"] = f"measured: no race, since {why_not}"
        save_plan(plan, run.plan_path, reasons)
        return replace(prepared, plan=plan)
    contenders = entry.contenders
    progress.say(
        f"{len(contenders)} plans race on folds of the training images: "
        + "; ".join(candidate.name for candidate in contenders)
    )
    left = contenders
    for fold in range(entry.record.n_folds):
        if len(left) > 1:
            for candidate in left:
                candidate.scores.append(entry.score(candidate, fold))
            left = survivors(left)
    winner = max(left, key=lambda candidate: candidate.mean)  # several where folds were too few
    told = f"AUROC {_aurocs(winner)} on folds of the training images, " + ", ".join(
        f"{_aurocs(other)} by {other.name}" for other in contenders if other is not winner
    )
    progress.say(f"Chosen: {winner.name}: {told}")
    plan, reasons = entry.final_plan(winner)
    raced = winner.settings.keys() - entry.record.asked.keys()
    reasons |= dict.fromkeys(raced, f"measured: {told}")
    reasons["candidates"] = f"measured: {len(contenders)} have raced, see race.json"
    entry.record.close(winner, contenders)
    run.add_facts(race={"seconds": round(entry.record.seconds, 1), "plans": len(contenders)})
    save_plan(plan, run.plan_path, reasons)
    return entry.prepare(plan)


class _Record:
    """`race.json`: what was asked, who races with how much time, and every training so far."""

    def __init__(self, run: Run, given: dict[str, Any]) -> None:
        self._path = run.race_path
        self.began = self._path.is_file()
        self.document: dict[str, Any] = load_race(self._path) if self.began else {"asked": given}

    @property
    def asked(self) -> dict[str, Any]:
        """The hyperparameters that the user had set when the race began."""
        return dict(self.document["asked"])

    @property
    def seconds_each(self) -> float | None:
        """What a training has: as much as a network of the final ensemble; None without budget."""
        return self.document["seconds_each"]  # type: ignore[no-any-return]

    @property
    def n_folds(self) -> int:
        """Into how many parts the training images are dealt."""
        return int(self.document["folds"])

    @property
    def seconds(self) -> float:
        """What all trainings have taken."""
        return sum(float(row["seconds"]) for row in self.document["trainings"])

    def begin(self, contenders: list[Candidate], **decided: Any) -> None:
        """Keep who races, before the first training."""
        racing = [
            {"settings": dict(c.settings), "images_per_second": c.images_per_second}
            for c in contenders
        ]
        self.document |= {"metric": "auroc", **decided, "contenders": racing, "trainings": []}
        self._write()

    def find(self, candidate: Candidate, fold: int) -> Row | None:
        """The training of a candidate without a fold, where it is done."""
        for row in self.document["trainings"]:
            if row["settings"] == dict(candidate.settings) and row["fold"] == fold:
                return dict(row)
        return None

    def add(self, row: Row) -> None:
        """Keep a training."""
        self.document["trainings"].append(row)
        self._write()

    def close(self, winner: Candidate, contenders: list[Candidate]) -> None:
        """Keep how it ended."""
        self.document["winner"] = dict(winner.settings)
        self.document["candidates"] = [
            {
                "settings": dict(each.settings),
                "aurocs": [None if math.isnan(score) else score for score in each.scores],
            }
            for each in contenders
        ]
        self._write()

    def _write(self) -> None:
        write_json(self._path, {"format": FORMAT, "version": VERSION, **self.document})


@dataclass
class _Race:
    """What all trainings of a race have in common."""

    run: Run
    prepared: Prepared
    wish: Request
    progress: Progress
    fingerprint: Fingerprint
    record: _Record
    contenders: list[Candidate] = field(default_factory=list)
    folds: npt.NDArray[np.int64] = field(init=False)

    def enter(self) -> str:
        """Decide who races and on which folds, or take up what was decided; why nobody does."""
        plan = self.prepared.plan
        if self.record.began:
            self.contenders = [Candidate(**row) for row in self.record.document["contenders"]]
            if len(self.contenders) > 1:
                self.folds = self._deal(self.record.n_folds)
            return str(self.record.document.get("no_race", ""))
        proposed = propose(self.fingerprint, plan, self.record.asked)
        self.contenders, left_out = self._quick_enough(proposed)
        n_folds, why_not = 0, ""
        if len(proposed) == 1:
            why_not = "the network and the image size are given, or no other is known"
        elif len(self.contenders) == 1:
            why_not = "the other plans cannot be tried in the time"
        else:
            rows = self.prepared.rows("train")
            fewest = self.prepared.fewest_patients(rows)
            n_folds = min(MOST_FOLDS, fewest)
            if n_folds < FEWEST_FOLDS:
                why_not = "a class has too few patients for folds"
        decided: Row = {"left_out": left_out, "folds": n_folds}
        if why_not:
            first = self.contenders[0]  # which is what the rules say without being told
            self.contenders = [Candidate({}, images_per_second=first.images_per_second)]
            self.record.begin(self.contenders, **decided, seconds_each=None, no_race=why_not)
            return why_not
        share = self._share(len(self.contenders))
        self.record.begin(self.contenders, **decided, seconds_each=share)
        self.folds = self._deal(n_folds)
        return ""

    def _quick_enough(self, proposed: list[Candidate]) -> tuple[list[Candidate], list[Row]]:
        """Those that can be built and could take half of the steps wanted; the first always stays.

        How fast each trains is measured, a second each.
        """
        kept, left_out = proposed[:1], []
        kept[0].images_per_second = self.fingerprint.machine.images_per_second
        share = self._share(len(proposed))
        for candidate in proposed[1:]:
            row: Row = {"settings": dict(candidate.settings)}
            try:
                plan, _ = self.plan_of(candidate)
                speed = measure_speed(plan, self.prepared.dataset.task)
            except (PlanError, torch.OutOfMemoryError) as error:
                row["reason"] = str(error).splitlines()[0]
            else:
                steps = steps_wanted(self.fingerprint.n_train, plan.batch_size)
                if share is None or speed * share >= SLOWEST * steps * plan.batch_size:
                    candidate.images_per_second = speed if share is not None else None
                    kept.append(candidate)
                    continue
                row |= {"images_per_second": speed, "reason": f"{speed:g} images/s here"}
            left_out.append(row)
            self.progress.say(f"{candidate.name} does not race: {row['reason']}")
        return kept, left_out

    def _share(self, n_candidates: int) -> float | None:
        plan = self.prepared.plan
        if plan.budget_seconds is None:
            return None
        return plan.budget_seconds / (count_trainings(n_candidates) + n_networks(plan))

    def final_plan(self, winner: Candidate) -> tuple[Plan, dict[str, str]]:
        """The winner's plan for as many networks as were planned, with the rest of the budget."""
        first = self.prepared.plan
        changes: dict[str, Any] = {"members": first.members}
        if first.budget_seconds is not None and self.record.seconds_each is not None:
            rest = first.budget_seconds - self.record.seconds
            changes["budget_seconds"] = max(rest, n_networks(first) * self.record.seconds_each)
        plan, reasons = self.plan_of(winner, **changes)
        if "members" not in self.record.asked:
            reasons["members"] = "rule: as many as were planned before the race"
        if "budget_seconds" in changes:
            reasons["budget_seconds"] = "measured: what the race has left of the budget"
        return plan, reasons

    def plan_of(self, candidate: Candidate, **changes: Any) -> tuple[Plan, dict[str, str]]:
        """The plan of a candidate as the rules complete it, and the reasons."""
        settings = {**self.record.asked, **candidate.settings, "candidates": 1, **changes}
        fingerprint, speed = self.fingerprint, candidate.images_per_second
        if speed is not None:
            fingerprint = fingerprint.with_speed(speed)
        return make_plan(fingerprint, settings=settings)

    def prepare(self, plan: Plan) -> Prepared:
        """The dataset, split as it is, decoded for a plan."""
        first = self.prepared
        classifier = build_member(plan, first.dataset.task)
        own = decode(first.dataset, (plan, classifier), self.wish, self.progress)
        return replace(own, linked=first.linked, stratify_by=first.stratify_by)

    def score(self, candidate: Candidate, fold: int) -> float:
        """The candidate's AUROC on a fold, as it was kept or by a training now."""
        row = self.record.find(candidate, fold)
        if row is None:
            row = {"settings": dict(candidate.settings), "fold": fold}
            row |= self._train(candidate, fold)
            self.record.add(row)
        auroc = math.nan if row["auroc"] is None else float(row["auroc"])
        self.progress.say(f"  {candidate.name}: AUROC {auroc:.4f} on fold {fold + 1}")
        return auroc

    def _train(self, candidate: Candidate, fold: int) -> Row:
        """Train without a fold, and judge there; a training that fails has no AUROC."""
        alone: dict[str, Any] = {"members": 1, "ensemble_of": "seeds", "distil": False}
        if self.record.seconds_each is not None:
            alone["budget_seconds"] = self.record.seconds_each
        plan, _ = self.plan_of(candidate, **alone)
        own, folder = self.prepare(plan), self.run.folder / "race"
        task, codes, rows = own.dataset.task, own.dataset.codes(), own.rows("train")
        held = self.folds[rows] == fold

        def step(done: int, steps: int, rate: float) -> None:
            place = f"{candidate.name}, fold {fold + 1}"
            self.progress.now(f"  {place}: step {done} of {steps}, {rate:,.0f} images/s")

        began = time.monotonic()
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
        except Diverged as error:
            self.progress.say(f"  {candidate.name}: {error}")
            took = round(time.monotonic() - began, 2)
            return {"auroc": None, "seconds": took, "reason": str(error)}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        began = time.monotonic()
        logits = in_blocks(predict_logits, own, own.classifier, rows[held])
        auroc = float(validation_auroc(codes[rows[held]], logits, task))
        return {
            "auroc": None if math.isnan(auroc) else round(auroc, 6),
            "seconds": round(result.seconds + time.monotonic() - began, 2),
            "epochs": len(result.rows),
            "n_images": int(held.sum()),
        }

    def _deal(self, n_folds: int) -> npt.NDArray[np.int64]:
        """The fold of every row, -1 outside train."""
        rows = self.prepared.rows("train")
        folds = np.full(len(self.prepared.dataset.table), -1, dtype=np.int64)
        folds[rows] = self.prepared.deal(rows, n_folds)
        return folds


def _aurocs(candidate: Candidate) -> str:
    return " and ".join(f"{score:.3f}" for score in candidate.scores)
