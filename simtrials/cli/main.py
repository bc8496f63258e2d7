"""``simtrials``: the commands, and how mistakes are told."""

import os
import sys

import typer

from simtrials.cli import decide, effect, enroll, learn, meta, patients, plan, quick, quick_designs, read, real, run, sensitivity, words
from simtrials.cli.app import app
from simtrials.core.errors import SimtrialsError, Stopped

COMMANDS = (decide, effect, enroll, learn, meta, patients, plan, quick, quick_designs, read, real, run, sensitivity, words)
"""Modules whose commands are known to the program."""


def main() -> None:
    """Entry point: exit code 0 when all went well, 1 when stopped or refused on the way, 2 for a mistake in files or options."""
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app(args=arguments, standalone_mode=True, prog_name="simtrials")
    except SimtrialsError as error:
        if debug:
            raise
        typer.echo(str(error), err=True)
        sys.exit(2)
    except Stopped as stopped:
        typer.echo(str(stopped), err=True)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(f"{place}{error.strerror or error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
