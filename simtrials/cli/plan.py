"""``simtrials power`` and ``simtrials size``: how many?"""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from simtrials.cli.app import app
from simtrials.cli.options import File, Jobs, Json, Out, Quiet, Set, changes, the_analysis, toml_value
from simtrials.cli.progress import Bar


@app.command(rich_help_panel="Plan")
def power(
    file: File,
    over: Annotated[
        list[str], typer.Option(help="Field and its values, such as design.n_patients=100,150,200; twice for all pairs.", metavar="PATH=VALUES")
    ],
    analysis: Annotated[list[str] | None, typer.Option(help="Analysis by name; repeat. Default: the primary ones, or all.", metavar="NAME")] = None,
    replicates: Annotated[int | None, typer.Option(help="Simulated trials at each point. Default: as the scenario says.", metavar="N")] = None,
    mcse: Annotated[float | None, typer.Option(help="Go on at each point until every power is this precise.", metavar="X")] = None,
    jobs: Jobs = None,
    out: Out = "results",
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Power over a field of a scenario, or over two: a table and a figure, every point with the same luck.

    Over two fields of numbers with three values each at least the figure has contours of power.

    Points are stored; asking again, or for more points, simulates only what is new.

    Example:  simtrials power next_trial --over design.n_patients=100,200,300 --replicates 1024

    See also: size, run, quick
    """
    from simtrials.engine.evidence.scenario import EvidenceScenario
    from simtrials.engine.files import read
    from simtrials.planning.power_curve import power_curve

    scenario = read(file, changes(set_))
    with Bar(quiet, "reviews" if isinstance(scenario, EvidenceScenario) else "trials") as bar:
        found = power_curve(
            scenario, fields_of(over), analyses=analysis or (), n_replicates=replicates, mcse=mcse, n_jobs=jobs, out=out, progress=bar
        )
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    if not as_json and not quiet:
        saved(found, Path(out) / "points" / f"{scenario.name}-power")


@app.command(rich_help_panel="Plan")
def size(
    file: File,
    analysis: Annotated[str | None, typer.Option(help="The analysis that must reach the target. Default: the only one.", metavar="NAME")] = None,
    power: Annotated[float, typer.Option(help="Target: share of trials that show a benefit.", metavar="X")] = 0.8,
    all_: Annotated[
        str | None, typer.Option("--all", help="Analyses that must all show a benefit in the same trial, with commas.", metavar="NAMES")
    ] = None,
    precision: Annotated[float, typer.Option(help="Half-width of the 95% interval of the number, relative to it.", metavar="X")] = 0.03,
    budget: Annotated[int, typer.Option(help="Most simulated trials.", metavar="N")] = 20_000,
    most: Annotated[int | None, typer.Option(help="Largest number looked at. Default: 10,000 patients, or 500 trials.", metavar="N")] = None,
    words: Annotated[bool, typer.Option("--words", help="Print the sample-size paragraph of a protocol instead, as Markdown.")] = False,
    jobs: Jobs = None,
    out: Out = "results",
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The smallest number of patients that reaches a power, with its 95% interval; of a review: how many further trials.

    Says so where no number reaches the target. What was simulated is stored; asking again costs nothing.

    Example:  simtrials size textbook_t --analysis t_test --power 0.9

    See also: effect, power, run, quick, words
    """
    from simtrials.core.errors import SimtrialsError
    from simtrials.engine.evidence.scenario import EvidenceScenario
    from simtrials.engine.files import read
    from simtrials.planning.sample_size import sample_size

    scenario = read(file, changes(set_))
    names = [name.strip() for name in (all_ or "").split(",") if name.strip()] + ([analysis] if analysis else [])
    names = names or [the_analysis(scenario, None)]
    if words and isinstance(scenario, EvidenceScenario):
        raise SimtrialsError(f"--words writes about the patients of one trial, and {scenario.name} is about bodies of evidence; leave it out")
    with Bar(quiet, "reviews" if isinstance(scenario, EvidenceScenario) else "trials") as bar:
        found = sample_size(
            scenario, list(dict.fromkeys(names)), power=power, precision=precision, budget=budget, most=most, n_jobs=jobs, out=out, progress=bar
        )
    if words:
        written = found.words()
        typer.echo(json.dumps(written.to_dict(), indent=1, ensure_ascii=False) if as_json else written.markdown, nl=as_json)
        return
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    if not as_json and not quiet:
        saved(found, Path(out) / "points" / f"{scenario.name}-size")


@app.command(rich_help_panel="Plan")
def assurance(
    file: File,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            help="Field and its distribution, as a TOML table or meta:DIR of a meta-analysis; repeat. Default: [priors] of the scenario.",
            metavar="PATH={kind=...}",
        ),
    ] = None,
    analysis: Annotated[list[str] | None, typer.Option(help="Analysis by name; repeat. Default: the primary ones, or all.", metavar="NAME")] = None,
    draws: Annotated[int, typer.Option(help="Draws from the priors.", metavar="N")] = 200,
    replicates: Annotated[int, typer.Option(help="Simulated trials at each draw.", metavar="N")] = 256,
    jobs: Jobs = None,
    out: Out = "results",
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Power averaged over what is not known: the probability of success, beside what the declared values suggest.

    Example:  simtrials assurance textbook_t --prior 'endpoints.outcome.effects.active.points={kind="normal",mean=0.5,sd=0.2}'

    See also: decide, pilot, meta, kinds distributions
    """
    from simtrials.engine.evidence.scenario import EvidenceScenario
    from simtrials.engine.files import read
    from simtrials.planning.assurance import assurance as averaged

    scenario = read(file, changes(set_) | ({"priors": changes(prior)} if prior else {}))
    with Bar(quiet, "reviews" if isinstance(scenario, EvidenceScenario) else "trials") as bar:
        found = averaged(scenario, analyses=analysis or (), n_draws=draws, n_replicates=replicates, n_jobs=jobs, out=out, progress=bar)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    if not as_json and not quiet:
        saved(found, Path(out) / "points" / f"{scenario.name}-assurance")


def fields_of(words: list[str]) -> dict[str, list[Any]]:
    """`path=1,2,3` words as values by path; a list in brackets is read as TOML."""
    from simtrials.core.errors import SimtrialsError

    found: dict[str, list[Any]] = {}
    for word in words:
        path, equals, values = word.partition("=")
        if not equals or not path.strip() or not values.strip():
            raise SimtrialsError(f"--over needs PATH=VALUES, such as design.n_patients=100,150,200, got {word!r}")
        if path.strip() in found:
            raise SimtrialsError(f"--over names {path.strip()} twice; give all its values at once, with commas")
        if re.fullmatch(r"\s*-?[\d.]*\d\s*(\.\.+|:|-)\s*-?[\d.]*\d(\s*:\s*[\d.]+)?\s*", values):
            raise SimtrialsError(f"--over needs each value, with commas, such as {path.strip()}=100,150,200, got {values.strip()!r}")
        read = toml_value(values.strip() if values.strip().startswith("[") else f"[{values}]")
        found[path.strip()] = read if isinstance(read, list) else [toml_value(value.strip()) for value in values.split(",")]
    return found


def saved(found: Any, place: Path) -> None:
    """The figure as SVG and PNG, and where it is; nothing where there is none to draw."""
    from simtrials.core.errors import SimtrialsError

    try:
        paths = [place.with_suffix(f".{form}") for form in ("svg", "png")]
        for path in paths:
            found.plot(path)
    except SimtrialsError:
        return
    typer.echo(f"  figure  {paths[0]}")
