"""``simtrials effect``: which effect would be shown?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from simtrials.cli.app import app
from simtrials.cli.options import File, Jobs, Json, Out, Quiet, Set, changes, the_analysis
from simtrials.cli.plan import saved
from simtrials.cli.progress import Bar


@app.command(rich_help_panel="Plan")
def effect(
    file: File,
    analysis: Annotated[
        str | None, typer.Option(help="The analysis, or synthesis, that must show the benefit. Default: the only one.", metavar="NAME")
    ] = None,
    power: Annotated[float, typer.Option(help="Target: share of trials that show a benefit.", metavar="X")] = 0.8,
    over: Annotated[
        str | None,
        typer.Option(help="Size of an effect, such as endpoints.madrs.effects.active.points. Default: that of the analysis.", metavar="PATH"),
    ] = None,
    precision: Annotated[float, typer.Option(help="Half-width of the 95% interval of the effect, relative to it.", metavar="X")] = 0.03,
    budget: Annotated[int, typer.Option(help="Most simulated trials.", metavar="N")] = 20_000,
    jobs: Jobs = None,
    out: Out = "results",
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The smallest effect that a trial of the declared size shows with a power, with its 95% interval; of a review: what it could have seen.

    Says so where no effect reaches the target. What was simulated is stored; asking again costs nothing.

    Example:  simtrials effect textbook_t --analysis t_test

    See also: size, power, assurance
    """
    from simtrials.engine.evidence.scenario import EvidenceScenario
    from simtrials.engine.files import read
    from simtrials.planning.detectable_effect import detectable_effect

    scenario = read(file, changes(set_))
    with Bar(quiet, "reviews" if isinstance(scenario, EvidenceScenario) else "trials") as bar:
        found = detectable_effect(
            scenario,
            the_analysis(scenario, analysis),
            power=power,
            over=over,
            precision=precision,
            budget=budget,
            n_jobs=jobs,
            out=out,
            progress=bar,
        )
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    if not as_json and not quiet:
        saved(found, Path(out) / "points" / f"{scenario.name}-effect")
