"""The program: its first words, and options that hold for every command."""

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from simtrials import __version__

FIRST_WORDS = f"""simtrials {__version__}: a flight simulator for clinical trials in which a biomarker
decides whom to treat

  Plan    simtrials check FILE        what a scenario assumes, before it is run
          simtrials quick DESIGN      power and sample size by formula, at once
          simtrials size FILE         how many patients?
          simtrials power FILE        power over one field, or two (contours)
          simtrials effect FILE       smallest effect that would be shown
          simtrials assurance FILE    power averaged over what is not known;
                                      decide: go or stop; pilot: a smaller first
          simtrials sensitivity FILE  which assumption matters most?
          simtrials enroll FILE       whom? the cut-off of a biomarker
  Run     simtrials run FILE          simulate it; ends with a report
  Read    simtrials show RESULTS      the table of a finished run again;
                                      words: for a protocol
  Review  simtrials meta DATA.csv     pool real studies; a prior for assurance
  Data    simtrials population CSV    fit your own patients; course: a scale;
                                      analyze: one real trial
  Learn   simtrials kinds             what a scenario can be made of

Start with  simtrials new my_trial  and  simtrials run my_trial.toml
All commands:  simtrials --help
"""


class Commands(TyperGroup):
    """Commands with their whole first sentence, not its first words."""

    def format_commands(self, context: Any, formatter: Any) -> None:
        """A line for each, or several."""
        found = [(name, self.get_command(context, name)) for name in self.list_commands(context)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit=200)) for name, command in found if command and not command.hidden])


class InOrder(Commands):
    """Commands in the order of the questions."""

    def list_commands(self, context: Any) -> list[str]:
        """Plan first, then what follows; commands that are not in the list come last."""
        places = {name: i for i, name in enumerate(ORDER)}
        return sorted(super().list_commands(context), key=lambda name: places.get(name, len(ORDER)))


ORDER = (
    *("new", "check", "quick", "size", "power", "effect", "assurance", "decide", "pilot", "sensitivity", "enroll"),
    *("run", "show", "report", "words", "patients", "meta", "analyze", "population", "course", "kinds", "schema"),
)
"""As a reader meets them; others come after."""


app = typer.Typer(
    name="simtrials",
    help="A flight simulator for clinical trials in which a biomarker decides whom to treat.",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode=None,
    cls=InOrder,
    pretty_exceptions_enable=False,
)


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
