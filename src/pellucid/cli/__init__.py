"""The command line: one subcommand a verb; each imports its stage inside the command.

    app.py             the application, shared options, exit codes
    training.py        demo, plan, train
    datasets.py        audit, split
    judging.py         predict, evaluate, compare, report
    explaining.py      explain
    features.py        features
    anatomy.py         anatomy
    playing.py         play
    serving.py         serve
    exporting.py       export
    data_options.py    what describes DATA

`--help` and `--version` are answered from this file, before typer is imported, and a verb imports
its own module alone: starting up costs what is asked for. The tests hold `HELP` and `VERBS` against
what the commands say of themselves. Results go to standard output, progress and messages to
standard error; with `--json` standard output is one JSON document.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from pellucid import __version__

if TYPE_CHECKING:
    from typer import Typer

HELP = """\
Usage: pellucid [OPTIONS] COMMAND [ARGS]...

  Labelled medical images in, a classifier that one can see through out.

Options:
  --version  Print the version.
  --help     Show this message and exit.

Commands:
  demo      Synthetic patients → audit → train → evaluate → report, in a...
  plan      How `train` would train on this data, and why, line by line;...
  train     Everything from labelled images up to the report.
  audit     What is wrong with the data; exit code 1 when a finding is a...
  split     Write a manifest with splits by patient, for `train FILE...
  evaluate  Judge predictions, also those of a model that Pellucid did...
  compare   Compare models on the same patients, by paired tests; says...
  predict   Probabilities for new images; exit code 1 when some could not...
  report    Write the report of a run again from its files.
  explain   What the network looks at: a page an image; exit code 1 when...
  features  Look inside: the image's way from the first layer to the...
  anatomy   Layer by layer: what it does, its output, what a unit of it...
  export    A model to take elsewhere: a bundle, ONNX, torch.export or a...
  serve     A page and an API that answer for a model, until stopped with...
  play      Play with the lecture's ideas: one image, a few numbers, a...
"""

VERBS = {
    "demo": "training",
    "plan": "training",
    "train": "training",
    "audit": "datasets",
    "split": "datasets",
    "evaluate": "judging",
    "compare": "judging",
    "predict": "judging",
    "report": "judging",
    "explain": "explaining",
    "features": "features",
    "anatomy": "anatomy",
    "export": "exporting",
    "serve": "serving",
    "play": "playing",
}
"""The module of each verb, in the order of `pellucid --help`."""


def main() -> None:
    """Answer what stands in `sys.argv`."""
    words = sys.argv[1:]
    try:
        if words == ["--help"]:
            _write(HELP)
        elif words == ["--version"]:
            _write(f"pellucid {__version__}\n")
        else:
            from pellucid.cli.app import run

            gc.set_threshold(50_000, 20, 20)  # what imports make lives on: 10 % of a short command
            run(load_app(words[0] if words else ""))
    except BrokenPipeError:
        sys.exit(0)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def load_app(verb: str = "") -> Typer:
    """The application with what belongs to a verb, or with every command where there is none."""
    from importlib import import_module

    from pellucid.cli.app import app

    for name in dict.fromkeys([VERBS[verb]] if verb in VERBS else VERBS.values()):
        import_module(f"pellucid.cli.{name}")
    return app
