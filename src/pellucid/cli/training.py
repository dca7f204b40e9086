"""Commands that train: `demo`, `plan` and `train`; what they ask, and how they are interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli.app import (
    AsJson,
    Seed,
    StratifyBy,
    Window,
    app,
    command_line,
    print_json,
    refuse_existing,
    resumable,
)
from pellucid.cli.data_options import read_data, takes_data
from pellucid.progress import Progress

if TYPE_CHECKING:
    from pellucid.data.index import Dataset

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One hyperparameter; may be repeated."),
]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", metavar="FILE", help="A plan.yaml to follow.")
]
Weights = Annotated[str | None, typer.Option(metavar="FILE|imagenet", help="Pretrained weights.")]
Budget = Annotated[
    str | None, typer.Option(help="Wall time for training with validation: 90s, 10m, 2h.")
]
Distil = Annotated[
    bool, typer.Option("--distil", help="Let one network learn from the ensemble, and keep it.")
]


@app.command()
def demo(
    case: Annotated[str, typer.Argument(help="chest, breast or oct.")] = "oct",
    out: Annotated[
        Path | None, typer.Option(help="Where to put images and run (default: demo/CASE).")
    ] = None,
    budget: Annotated[str, typer.Option(help="Wall time for training.")] = "150s",
    overwrite: Annotated[bool, typer.Option(help="Replace the run of an earlier demo.")] = False,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted demo.")] = False,
    as_json: AsJson = False,
) -> None:
    """Synthetic patients → audit → train → evaluate → report, in a few minutes."""
    from pellucid import pipeline

    with resumable():
        run = pipeline.demo(
            case,
            out or Path("demo") / case,
            budget=budget,
            overwrite=overwrite,
            resume=resume,
            command=command_line(),
            progress=Progress(quiet=as_json),
        )
    _finish(run, as_json)


@app.command()
@takes_data
def plan(
    chosen: dict[str, Any],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The plan (.yaml) to write.")
    ] = None,
    fingerprint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what was measured of data and machine (.json)."),
    ] = None,
    plan_file: PlanFile = None,
    settings: Settings = None,
    weights: Weights = None,
    window: Window = None,
    budget: Budget = None,
    distil: Distil = False,
    seed: Seed = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the files.")] = False,
    as_json: AsJson = False,
) -> None:
    """How `train` would train on this data, and why, line by line; `train --plan` follows it."""
    for path in (out, fingerprint):
        if path is not None:
            refuse_existing(path, overwrite)
    from pellucid import pipeline
    from pellucid.training.plan import plan_text, save_plan

    measured, made, reasons = pipeline.plan(
        read_data(chosen, as_json),
        plan=plan_file,
        settings=_wanted(settings, weights, window, distil),
        budget=budget,
        seed=seed,
    )
    if fingerprint is not None:
        measured.save(fingerprint)
    if out is not None:
        save_plan(made, out, reasons)
    if as_json:
        facts, values = measured.model_dump(mode="json"), made.model_dump(mode="json")
        print_json({"fingerprint": facts, "plan": values, "reasons": reasons})
    elif out is not None:
        typer.echo(out)
    else:
        typer.echo(plan_text(made, reasons), nl=False)


def _wanted(
    settings: list[str] | None, weights: str | None, window: str | None, distil: bool
) -> dict[str, Any]:
    """The hyperparameters that the command line names."""
    from pellucid.training.plan import parse_overrides

    wanted = parse_overrides(settings or [])
    wanted.update({"weights": weights} if weights is not None else {})
    wanted.update({"window": window} if window is not None else {})
    wanted.update({"distil": True} if distil else {})
    return wanted


@app.command()
@takes_data
def train(
    chosen: dict[str, Any],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to write.")],
    two_logits: Annotated[
        bool, typer.Option(help="Two logits and softmax for a target of two classes.")
    ] = False,
    plan_file: PlanFile = None,
    settings: Settings = None,
    weights: Weights = None,
    window: Window = None,
    budget: Budget = None,
    distil: Distil = False,
    external: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="A second dataset, read alike: the external test."),
    ] = None,
    stratify_by: StratifyBy = None,
    baseline: Annotated[
        bool, typer.Option(help="Train the classical pipeline too, on the same split.")
    ] = True,
    robustness: Annotated[
        bool, typer.Option(help="Judge corrupted test pictures too (noise, blur, JPEG …).")
    ] = True,
    explain: Annotated[
        bool, typer.Option(help="Show what the network looks at, and test that it means something.")
    ] = True,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier run.")] = False,
    strict: Annotated[bool, typer.Option(help="Stop at the first unreadable image.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Train despite this FAIL of the audit; repeatable."),
    ] = None,
    allow_shared_patients: Annotated[
        bool, typer.Option(help="Train although the given splits share patients.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Everything from labelled images up to the report."""
    from pellucid import pipeline

    wanted = _wanted(settings, weights, window, distil)
    with resumable():
        dataset = read_data({**chosen, "two_logits": two_logits}, as_json)
        if external is not None:
            dataset = _with_external(dataset, {**chosen, "data": external}, allow_shared_patients)
        run = pipeline.train(
            dataset,
            out,
            plan=plan_file,
            settings=wanted,
            budget=budget,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            strict=strict,
            baseline=baseline,
            robustness=robustness,
            explain=explain,
            allow=tuple(allow or ()),
            allow_shared_patients=allow_shared_patients,
            stratify_by=tuple(stratify_by or ()),
            command=command_line(),
            progress=Progress(quiet=as_json),
        )
    _finish(run, as_json)


def _with_external(dataset: Dataset, chosen: dict[str, Any], allow_shared: bool) -> Dataset:
    """The dataset with a second one, read with the same options, as its external test."""
    from pellucid.data.external import with_external

    return with_external(dataset, read_data(chosen), allow_shared_patients=allow_shared)


def _finish(run: Any, as_json: bool) -> None:
    if as_json:
        paths = {"run": str(run.folder), "report": str(run.report_path)}
        print_json({**paths, "evaluation": run.evaluation})
    else:
        typer.echo(run.report_path)
