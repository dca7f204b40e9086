"""What machine a benchmark ran on, and how its table and JSON are written."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, Any]:
    """Processor, cores, whether it multiplies bfloat16, system and Python; no host name."""
    model, known = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        known = cpuinfo.read_text()
        lines = known.splitlines()
        model = next((ln.split(":", 1)[1].strip() for ln in lines if "model name" in ln), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "bfloat16": any(flag in known for flag in ("avx512_bf16", "amx_bf16")),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def parse_arguments(description: str) -> argparse.Namespace:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    names = list(rows[0])
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) for name in names]
    for line in (names, *([str(row[name]) for name in names] for row in rows)):
        print("  ".join(str(cell).rjust(width) for cell, width in zip(line, widths, strict=True)))


def publish(rows: list[dict[str, Any]], command: str, path: Path | None) -> None:
    """Print the rows as a table and write them with the machine's description."""
    show(rows)
    if path:
        document = {"command": command, "machine": describe_machine(), "rows": rows}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")
