"""``simtrials sensitivity``: which assumption matters most?"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from simtrials.cli.app import app
from simtrials.cli.options import File, Jobs, Json, Out, Quiet, Set, changes, toml_value
from simtrials.cli.progress import Bar


@app.command(rich_help_panel="Plan")
def sensitivity(
    file: File,
    vary: Annotated[
        list[str] | None,
        typer.Option(help="Field and its lowest and highest value, or alternatives; repeat. Adds to [priors].", metavar="PATH=LOW,HIGH"),
    ] = None,
    analysis: Annotated[list[str] | None, typer.Option(help="Analysis by name; repeat. Default: the primary ones, or all.", metavar="NAME")] = None,
    global_: Annotated[
        int,
        typer.Option(
            "--global", show_default=False, help="Points of a global analysis (Sobol' indices), a power of 2 such as 128. Default: none.", metavar="N"
        ),
    ] = 0,
    replicates: Annotated[int | None, typer.Option(help="Simulated trials at each value. Default: as the scenario says.", metavar="N")] = None,
    jobs: Jobs = None,
    out: Out = "results",
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Which assumption matters most: power at low and high values of each, in the same trials, and with --global its share of the variance.

    What is left open is [priors] of the scenario, at 5% and 95% of each, and what --vary names. Points are stored; asking again costs nothing.

    Example:  simtrials sensitivity textbook_t --vary endpoints.outcome.effects.active.points=0.3,0.7 --vary endpoints.outcome.sd=0.8,1.2

    See also: power, assurance, size, kinds distributions
    """
    from simtrials.engine.evidence.scenario import EvidenceScenario
    from simtrials.engine.files import read
    from simtrials.planning.sensitivity import sensitivity as examined

    scenario = read(file, changes(set_))
    with Bar(quiet, "reviews" if isinstance(scenario, EvidenceScenario) else "trials") as bar:
        found = examined(
            scenario, read_values(vary), analyses=analysis or (), n_replicates=replicates, n_global=global_, n_jobs=jobs, out=out, progress=bar
        )
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    if not as_json and not quiet:
        for form in ("png", "svg"):
            found.plot(figure := Path(out) / "points" / f"{scenario.name}-sensitivity.{form}")
        typer.echo(f"  figure  {figure}")


def read_values(words: list[str] | None) -> dict[str, list[Any]]:
    """`path=0.2,0.5` words as values by path; a list in brackets is read as TOML."""
    from simtrials.core.errors import SimtrialsError

    found: dict[str, list[Any]] = {}
    for word in words or []:
        path, equals, values = word.partition("=")
        if not equals or not path.strip() or not values.strip():
            raise SimtrialsError(f"--vary needs PATH=LOW,HIGH, such as design.n_patients=150,250, got {word!r}")
        if path.strip() in found:
            raise SimtrialsError(f"--vary names {path.strip()} twice; give all its values at once: {path.strip()}=LOW,HIGH")
        read = toml_value(values.strip() if values.strip().startswith("[") else f"[{values}]")
        found[path.strip()] = read if isinstance(read, list) else [toml_value(value.strip()) for value in values.split(",")]
    return found
