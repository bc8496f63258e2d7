"""``simtrials patients`` and ``simtrials population``."""

from typing import Annotated

import typer

from simtrials.cli.main import app
from simtrials.cli.options import File, Quiet, Set, changes


@app.command(rich_help_panel="Review")
def patients(
    file: File,
    trial: Annotated[int, typer.Option(help="Which simulated trial, counted from 1.", metavar="K")] = 1,
    out: Annotated[str, typer.Option(help="File to write: .csv or .parquet.", metavar="FILE")] = "patients.csv",
    hidden: Annotated[bool, typer.Option("--hidden", help="Also write what only the simulator knows: usual biomarker values.")] = False,
    set_: Set = None,
    quiet: Quiet = False,
) -> None:
    """Write the patients of one simulated trial as a data set: one row per patient, the very patients that `run` analysed.

    Example:  simtrials patients next_trial --trial 7 --out trial_7.csv

    See also: run, check
    """
    from simtrials.engine.files import read
    from simtrials.engine.patients import write_patients

    path, rows = write_patients(read(file, changes(set_)), trial, out, hidden)
    if not quiet:
        typer.echo(f"  {path}: {rows:,} patients of simulated trial {trial:,}")
