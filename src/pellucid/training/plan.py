"""The plan of a run: made from the dataset's fingerprint and the user's settings, kept as YAML.

The file holds one hyperparameter a line with its reason as a comment, and can be edited and given
back with `--plan`, whole or in part. This module knows no data and no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pellucid.errors import PlanError, UsageError
from pellucid.storage import write_text
from pellucid.training.fingerprint import Fingerprint
from pellucid.training.hyperparameters import Plan, check_known
from pellucid.training.rules import apply_rules

__all__ = [
    "Plan",
    "apply_settings",
    "build_plan",
    "load_plan",
    "make_plan",
    "parse_budget",
    "parse_overrides",
    "plan_text",
    "read_settings",
    "save_plan",
]

_MAX_BYTES = 2**20
_BUDGET = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def build_plan(
    fingerprint: Fingerprint,
    overrides: Mapping[str, Any] | None = None,
    budget: float | None = None,
) -> tuple[Plan, dict[str, str]]:
    """The plan for a dataset and the reasons, hyperparameter by hyperparameter.

    `overrides` win over the rules, and the rules reckon with them; `budget` is in seconds.
    Raises `PlanError`.
    """
    settings = _with_budget(dict(overrides or {}))
    if budget is not None:
        settings["budget_seconds"] = budget
    return apply_rules(fingerprint, settings)


def make_plan(
    fingerprint: Fingerprint,
    *,
    path: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> tuple[Plan, dict[str, str]]:
    """The plan from a file (whole or in part), `settings` that win over it, and the rules."""
    from_file = read_settings(path) if path else {}
    plan, reasons = build_plan(fingerprint, {**from_file, **(settings or {})})
    for key in from_file.keys() - (settings or {}).keys():
        reasons[key] = "yours: from the plan file"
    return plan, reasons


def apply_settings(plan: Plan, settings: Mapping[str, Any]) -> Plan:
    """The plan with single hyperparameters replaced, checked as a whole; raises `PlanError`."""
    return Plan(**{**plan.model_dump(), **_with_budget(dict(settings))})


def save_plan(plan: Plan, path: Path, reasons: Mapping[str, str] | None = None) -> Path:
    """Write the plan as `plan_text` gives it."""
    return write_text(path, plan_text(plan, reasons or {}))


def plan_text(plan: Plan, reasons: Mapping[str, str]) -> str:
    """The plan as YAML, a comment a line: the reason, or what the hyperparameter means."""
    lines = ["# Every hyperparameter of a run. Edit a copy and give it back with --plan."]
    values = plan.model_dump(mode="json")
    values["blocks"] = [block.model_dump(exclude_defaults=True) for block in plan.blocks]
    for key, value in values.items():
        comment = reasons.get(key) or Plan.model_fields[key].description
        lines.append(f"{key}: {_yaml(value)}  # {comment}")
    return "\n".join(lines) + "\n"


def load_plan(path: Path) -> Plan:
    """Read a plan; what the file does not name has its default. Raises `PlanError`."""
    return Plan(**read_settings(path))


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Read `KEY=VALUE` settings as the command line gives them; values are YAML.

    >>> parse_overrides(["network=resnet34", "epochs=3", "nesterov=false"])
    {'network': 'resnet34', 'epochs': 3, 'nesterov': False}
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise PlanError("A setting is written KEY=VALUE", repr(text), "Example: epochs=10")
        check_known(key.strip())
        try:
            settings[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise PlanError(f"The value of {key.strip()} is not YAML", repr(value)) from error
    return settings


def parse_budget(text: str) -> float:
    """Wall time in seconds, from 90s, 10m, 2h, 1h30m or plain seconds; raises `UsageError`.

    >>> parse_budget("10m"), parse_budget("1h30m"), parse_budget("600")
    (600.0, 5400.0, 600.0)
    """
    match = _BUDGET.fullmatch(text.strip().lower().replace("min", "m").replace(" ", ""))
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600.0 * hours + 60.0 * minutes + seconds
    if not total:
        raise UsageError("A budget is a time above 0", repr(text), "Examples: 90s, 10m, 2h.")
    return total


def _with_budget(settings: dict[str, Any]) -> dict[str, Any]:
    budget = settings.get("budget_seconds")
    if isinstance(budget, str):
        settings["budget_seconds"] = parse_budget(budget)
    return settings


def read_settings(path: Path) -> dict[str, Any]:
    """The hyperparameters that a plan file names, whole or in part; raises `PlanError`."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PlanError(f"The plan {path} is larger than a plan can be")
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"The plan {path} cannot be read", error.strerror or "") from error
    except UnicodeDecodeError as error:
        raise PlanError(f"The plan {path} is not a text file") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:160]
        raise PlanError(f"The plan {path} is not YAML", reason) from error
    if not isinstance(document, dict):
        raise PlanError(f"The plan {path} must hold lines of KEY: VALUE", type(document).__name__)
    return _with_budget({str(key): value for key, value in document.items()})


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return str(text).removesuffix("...\n").strip()
