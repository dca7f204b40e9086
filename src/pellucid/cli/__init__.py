"""The command line: one subcommand a verb; each imports its stage inside the command.

    app.py             the application, shared options, exit codes
    training.py        demo, train
    datasets.py        audit, split
    judging.py         predict, evaluate, compare, report
    explaining.py      explain
    features.py        features
    anatomy.py         anatomy
    playing.py         play
    data_options.py    what describes DATA

`pellucid --help` therefore imports neither torch nor pandas. Results go to standard output,
progress and messages to standard error; with `--json` standard output is one JSON document.
"""

from __future__ import annotations

# The order of these lines is the order of the verbs in `pellucid --help`.
# isort: off
from pellucid.cli.app import app, main
from pellucid.cli import training as training
from pellucid.cli import datasets as datasets
from pellucid.cli import judging as judging
from pellucid.cli import explaining as explaining
from pellucid.cli import features as features
from pellucid.cli import anatomy as anatomy
from pellucid.cli import playing as playing
# isort: on

__all__ = ["app", "main"]
