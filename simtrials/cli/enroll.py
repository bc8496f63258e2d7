"""``simtrials enroll``: whom?"""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from simtrials.cli.app import app
from simtrials.cli.options import File, Jobs, Json, Out, Quiet, Set, changes
from simtrials.cli.plan import fields_of
from simtrials.cli.progress import Bar


@app.command(rich_help_panel="Plan")
def enroll(
    file: File,
    over: Annotated[
        str | None,
        typer.Option(help="Field and its values, such as eligibility.0.at_least=0,1,2,3. Default: as the scenario says.", metavar="PATH=VALUES"),
    ] = None,
    analysis: Annotated[str | None, typer.Option(help="The analysis that must reach the power.", metavar="NAME")] = None,
    power: Annotated[float | None, typer.Option(help="Target. Default: as the scenario says, or 0.9.", metavar="X")] = None,
    budget: Annotated[float | None, typer.Option(help="Money, for the most power that it buys.", metavar="MONEY")] = None,
    precision: Annotated[float, typer.Option(help="Half-width of the 95% interval of each number, relative to it.", metavar="X")] = 0.02,
    most: Annotated[int, typer.Option(help="Largest number of patients looked at.", metavar="N")] = 5_000,
    jobs: Jobs = None,
    out: Out = "results",
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What a trial takes at each cut-off of a biomarker, under each shape of the effect: patients, candidates, months, money; and on one page.

    The scenario's [enrollment] says what is compared. What was simulated is stored; asking again costs nothing.

    Example:  simtrials enroll whom_to_enrol

    See also: size, power, check
    """
    from simtrials.engine.files import read_trial
    from simtrials.planning.enrollment import whom_to_enroll

    scenario = read_trial(file, changes(set_))
    with Bar(quiet, "choices") as bar:
        found = whom_to_enroll(
            scenario,
            fields_of([over]) if over else None,
            analysis=analysis,
            power=power,
            budget=budget,
            precision=precision,
            most=most,
            n_jobs=jobs,
            out=out,
            progress=bar,
        )
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    if not as_json and not quiet:
        page = found.report(Path(out) / "points" / f"{scenario.name}-enroll", shlex.join(["simtrials", *sys.argv[1:]]))
        typer.echo(f"  report  {page}")
