"""``simtrials decide`` and ``simtrials pilot``: what follows a trial, and whether a smaller one should come first."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtrials.cli.app import app
from simtrials.cli.options import File, Jobs, Json, Out, Quiet, Set, changes
from simtrials.cli.plan import saved
from simtrials.cli.progress import Bar

if TYPE_CHECKING:
    from simtrials.engine.scenario import Scenario

Prior = Annotated[
    list[str] | None,
    typer.Option(
        help="Field and its distribution, as a TOML table or meta:DIR of a meta-analysis; repeat. Default: [priors] of the scenario.",
        metavar="PATH={kind=...}",
    ),
]
Analysis = Annotated[str | None, typer.Option(help="Analysis whose estimate decides. Default: decision.analysis of the scenario.", metavar="NAME")]
Lower = Annotated[float | None, typer.Option(help="Lower reference value, on the scale of the estimate, benefit positive.", metavar="X")]
Target = Annotated[float | None, typer.Option(help="Target value, on the same scale.", metavar="X")]
FalseGo = Annotated[float | None, typer.Option(help="Tolerated probability of a go at the lower reference value. Default: 0.2.", metavar="X")]
FalseStop = Annotated[float | None, typer.Option(help="Tolerated probability of a stop at the target. Default: 0.1.", metavar="X")]
Draws = Annotated[int, typer.Option(help="Draws from the priors.", metavar="N")]
Replicates = Annotated[int, typer.Option(help="Simulated trials at each draw.", metavar="N")]


@app.command(rich_help_panel="Plan")
def decide(
    file: File,
    lower_reference: Lower = None,
    target: Target = None,
    false_go: FalseGo = None,
    false_stop: FalseStop = None,
    analysis: Analysis = None,
    prior: Prior = None,
    draws: Draws = 200,
    replicates: Replicates = 256,
    jobs: Jobs = None,
    out: Out = "results",
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go, consider or stop after the trial: how often each is decided, and how often rightly, averaged over what is not known.

    Example:  simtrials decide textbook_priors

    See also: assurance, pilot, kinds distributions
    """
    from simtrials.planning.decisions import decisions

    rule = _rule(lower_reference, target, false_go, false_stop, analysis)
    scenario = _scenario(file, changes(set_) | rule, prior)
    with Bar(quiet, "trials") as bar:
        found = decisions(scenario, n_draws=draws, n_replicates=replicates, n_jobs=jobs, out=out, progress=bar)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    if not as_json and not quiet:
        saved(found, Path(out) / "points" / f"{scenario.name}-decisions")


@app.command(rich_help_panel="Plan")
def pilot(
    file: File,
    patients: Annotated[int | None, typer.Option(help="Patients of the pilot. Default: pilot.n_patients of the scenario.", metavar="N")] = None,
    proceed: Annotated[
        str | None, typer.Option(help="Run the trial after: go, or not_stop (go or consider). Default: not_stop.", metavar="WORD")
    ] = None,
    lower_reference: Lower = None,
    target: Target = None,
    false_go: FalseGo = None,
    false_stop: FalseStop = None,
    analysis: Analysis = None,
    prior: Prior = None,
    draws: Draws = 200,
    replicates: Replicates = 256,
    jobs: Jobs = None,
    out: Out = "results",
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Is a pilot worth it? A smaller trial first, against the trial at once: benefits shown, patients, months, cost, drugs stopped rightly or not.

    Example:  simtrials pilot textbook_priors --patients 60

    See also: decide, assurance, size
    """
    from simtrials.planning.pilot import pilot_value

    rule = _rule(lower_reference, target, false_go, false_stop, analysis)
    asked = {name: value for name, value in (("pilot.n_patients", patients), ("pilot.proceed", proceed)) if value is not None}
    scenario = _scenario(file, changes(set_) | rule | asked, prior)
    with Bar(quiet, "trials") as bar:
        found = pilot_value(scenario, n_draws=draws, n_replicates=replicates, n_jobs=jobs, out=out, progress=bar)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    if not as_json and not quiet:
        saved(found, Path(out) / "points" / f"{scenario.name}-pilot")


def _rule(
    lower_reference: float | None, target: float | None, false_go: float | None, false_stop: float | None, analysis: str | None
) -> dict[str, Any]:
    """Options as fields of [decision]."""
    given = {"lower_reference": lower_reference, "target": target, "false_go": false_go, "false_stop": false_stop, "analysis": analysis}
    return {f"decision.{name}": value for name, value in given.items() if value is not None}


def _scenario(file: str, settings: dict[str, Any], prior: list[str] | None) -> "Scenario":
    from simtrials.engine.files import read_trial

    read_trial(file)  # what declares no trial is refused as such, before settings that only a trial has
    return read_trial(file, settings | ({"priors": changes(prior)} if prior else {}))
