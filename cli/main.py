"""`vitrine`: the command line. Each `cli/<topic>_commands.py` adds its commands; heavy imports happen inside them."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import typer

from contracts.errors import ConfigurationError, VitrineError

_HELP = """Vitrine keeps a shop's whole page fresh while a visitor looks at it: events go into Kafka, a Faust worker folds
them into the visitor's state, Triton ranks, and the new page comes out of Kafka again, milliseconds later.

Start with `vitrine run` (a live demo in the terminal) or `vitrine up` (the same stack in the background), then try
`vitrine watch`, `vitrine publish --help` and `vitrine shop`.

Every setting has a variable: VITRINE_<GROUP>__<NAME>, for example VITRINE_KAFKA__BOOTSTRAP_SERVERS=broker:9092; a file
named by VITRINE_CONFIG (default config/default.toml) lists them all with comments."""


def build() -> typer.Typer:
    """The application with the commands of every `cli/*_commands.py`."""
    app = typer.Typer(name="vitrine", help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    files = Path(__file__).parent.glob("*_commands.py")
    for file in sorted(files, key=lambda file: (file.stem != "stack_commands", file.stem)):  # the stack first in --help
        import_module(f"cli.{file.stem}").register(app)
    return app


def main() -> None:
    """Run a command; 2 for a wrong setting, 1 for another error of ours, both in one sentence instead of a trace."""
    try:
        build()()
    except ConfigurationError as error:
        typer.echo(f"vitrine: {error}", err=True)
        sys.exit(2)
    except VitrineError as error:
        typer.echo(f"vitrine: {error}", err=True)
        sys.exit(1)
