"""The command line: `commands` holds one subcommand a verb, `data_options` what describes DATA."""

from __future__ import annotations

from pellucid.cli.commands import app, main

__all__ = ["app", "main"]
