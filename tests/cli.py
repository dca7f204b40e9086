"""How tests speak to the command line: in this process, with the exit code and both outputs."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from pellucid.cli import main


@dataclass(frozen=True)
class Answer:
    """What the shell would see."""

    code: int
    out: str
    err: str


def pellucid(*arguments: object) -> Answer:
    """Run `pellucid ARGUMENTS` and return its answer."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["pellucid", *(str(argument) for argument in arguments)]
    code = 0
    with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Answer(code, out.getvalue(), err.getvalue())
