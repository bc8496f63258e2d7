"""``simtrials show`` and ``simtrials report``."""

import json

import typer

from simtrials.cli.app import app
from simtrials.cli.options import Json, Quiet, Results


@app.command(rich_help_panel="Read")
def show(results: Results, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show the table of a finished run again, with digest, seed, versions and date.

    Example:  simtrials show results/next_trial-3f9c21

    See also: run, report
    """
    from simtrials.engine.run import load

    run = load(results)
    if as_json:
        typer.echo(json.dumps(run.to_dict(), indent=1))
        return
    record = run.record
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items() if name in ("simtrials", "python", "numpy", "numba"))
    typer.echo(run.summary())
    if quiet:
        return
    typer.echo(f"  digest {run.digest}  seed {run.seed}  {record['started']}\n  {versions}")


@app.command(rich_help_panel="Read")
def report(results: Results, as_json: Json = False, quiet: Quiet = False) -> None:
    """Write the report of a finished run again: one HTML file, its figures as SVG and PNG, all measures as CSV.

    Example:  simtrials report results/next_trial-3f9c21

    See also: run, show
    """
    from simtrials.engine.run import load

    path = load(results).report()
    if as_json:
        figures = sorted(str(figure) for figure in (path.parent / "figures").iterdir())
        typer.echo(json.dumps({"report": str(path), "measures": str(path.parent / "measures.csv"), "figures": figures}, indent=1))
        return
    typer.echo(str(path) if quiet else f"  report  {path}")
