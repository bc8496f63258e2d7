"""``simtrials run`` and ``simtrials check``."""

import json
import shlex
import sys
from typing import Annotated

import typer

from simtrials.cli.app import app
from simtrials.cli.options import File, Jobs, Json, Out, Quiet, Set, changes
from simtrials.cli.progress import Bar, say_if_compiling


@app.command(rich_help_panel="Run")
def run(
    file: File,
    replicates: Annotated[int | None, typer.Option(help="Simulated trials. Default: as the scenario says.", metavar="N")] = None,
    mcse: Annotated[
        float | None, typer.Option(help="Go on until every primary power is this precise (Monte Carlo standard error).", metavar="X")
    ] = None,
    jobs: Jobs = None,
    backend: Annotated[str, typer.Option(help="auto, serial, threads, loky or dask.", metavar="NAME")] = "auto",
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.", metavar="ADDRESS")] = None,
    out: Out = "results",
    null: Annotated[bool, typer.Option("--null/--no-null", help="Also run the scenario without any effect.")] = True,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report.")] = True,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a scenario: power with its Monte Carlo error, type I error, bias, coverage, and a report.

    Running again goes on where the last run stopped; more replicates extend it.

    Example:  simtrials run next_trial --replicates 2000

    See also: check, show, report
    """
    from simtrials.core.errors import Stopped
    from simtrials.engine.evidence.scenario import EvidenceScenario
    from simtrials.engine.files import read
    from simtrials.engine.run import run as run_scenario
    from simtrials.report.text import head

    scenario = read(file, changes(set_))
    told = not quiet and not as_json
    if told:
        typer.echo(head(scenario))
    say_if_compiling(quiet)
    command = shlex.join(["simtrials", *sys.argv[1:]])
    with Bar(quiet, "reviews" if isinstance(scenario, EvidenceScenario) else "trials") as bar:
        try:
            result = run_scenario(
                scenario,
                n_replicates=replicates,
                mcse=mcse,
                n_jobs=jobs,
                backend=backend,  # type: ignore[arg-type]
                scheduler=scheduler,
                out=out,
                null=null,
                progress=bar,
                warn=bar.warn,
                command=command,
            )
        except KeyboardInterrupt:
            raise Stopped(f"stopped at {bar.done:,} of {bar.total:,}; run the same command to continue") from None
    if report:
        result.report()
    typer.echo(json.dumps(result.to_dict(), indent=1) if as_json else result.summary(headed=not told))


@app.command(rich_help_panel="Plan")
def check(file: File, set_: Set = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """Read a scenario, find its faults, and show what it assumes: who passes, effect by CRP, response and remission by arm.

    Nothing is stored.

    Example:  simtrials check next_trial

    See also: run, new, kinds
    """
    from simtrials.engine.cells import cells_of
    from simtrials.engine.evidence.scenario import EvidenceScenario
    from simtrials.engine.files import read, tables_of
    from simtrials.engine.portrait import portrait
    from simtrials.engine.run import expected_seconds, ready
    from simtrials.report.checks import check_text
    from simtrials.report.evidence.checks import check_evidence

    scenario = read(file, changes(set_))
    say_if_compiling(quiet or as_json)
    tables = tables_of(scenario)
    if isinstance(scenario, EvidenceScenario):
        found = check_evidence(scenario, tables)
        typer.echo(json.dumps(found.plain(), indent=1) if as_json else found.text())
        return
    cells = cells_of(scenario, {name: table.checksum for name, table in tables.items()}, null=True)
    simulations = [ready(cell.scenario, tables) for cell in cells]
    picture, seconds = portrait(scenario, simulations[0].trial), expected_seconds(simulations[0], scenario.n_replicates, len(cells))
    typer.echo(
        json.dumps({"scenario": scenario.name, "seconds": seconds, **picture}, indent=1) if as_json else check_text(scenario, picture, seconds)
    )
