"""The program: its first words, and options that hold for every command."""

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from simtrials import __version__

app = typer.Typer(
    name="simtrials",
    help="A flight simulator for clinical trials in which a biomarker decides whom to treat.",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

FIRST_WORDS = f"""simtrials {__version__}: a flight simulator for clinical trials in which a biomarker decides whom to treat

  Plan    simtrials check FILE           what a scenario assumes, before it is run
          simtrials quick DESIGN         power and sample size by formula, at once
          simtrials size FILE            how many? power, effect, assurance, pilot
          simtrials enroll FILE          whom? cut-offs, cost, time; sensitivity
  Run     simtrials run FILE             simulate it; ends with a report
  Read    simtrials show RESULTS         the table of a finished run again; words: for a protocol
  Review  simtrials meta DATA.csv        pool real studies; population: fit your own patients
  Learn   simtrials kinds                what a scenario can be made of

Start with  simtrials new my_trial  and  simtrials run my_trial.toml
All commands:  simtrials --help
"""


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    plugin: Annotated[
        list[str] | None, typer.Option(help="Python module with your own kinds, imported before anything is read.", metavar="MODULE")
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """A flight simulator for clinical trials in which a biomarker decides whom to treat."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
    sys.path.insert(0, os.getcwd())
    for module in plugin or []:
        _import_plugin(module)
    if context.invoked_subcommand is None:
        typer.echo(FIRST_WORDS, nl=False)


def _import_plugin(module: str) -> None:
    from simtrials.core.errors import SimtrialsError

    try:
        importlib.import_module(module)
    except (ImportError, TypeError, ValueError) as error:
        remedy = (
            f"write {Path(module).stem}, without folder and .py"
            if module.endswith(".py")
            else "name a module that Python can import from this folder"
        )
        raise SimtrialsError(f"--plugin {module}: {error}; {remedy}") from None
    except Exception as error:
        raise SimtrialsError(f"--plugin {module}: its code failed with {type(error).__name__}: {error}; see it with --debug") from error
