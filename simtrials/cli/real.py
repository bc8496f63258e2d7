"""``simtrials analyze`` and ``simtrials course``: real trials."""

from typing import Annotated

import typer

from simtrials.cli.app import app
from simtrials.cli.options import Json, Quiet, toml_value

Data = Annotated[str, typer.Argument(metavar="DATA", help="CSV or Parquet file, one row per patient and visit, or a shipped data set.")]
Patient = Annotated[str | None, typer.Option(help="Column of patients. Default: patient, USUBJID.", metavar="COLUMN")]
Arm = Annotated[str | None, typer.Option(help="Column of arms. Default: arm, TRTP, TRT01P.", metavar="COLUMN")]
Control = Annotated[str | None, typer.Option(help="The control arm. Default: placebo or control.", metavar="ARM")]
Week = Annotated[str | None, typer.Option(help="Column or formula of weeks, e.g. 'day / 7'. Default: week, AVISITN.", metavar="COLUMN")]
Weeks = Annotated[
    str | None, typer.Option(help="Scheduled weeks of the values of --week in their order, where it numbers visits, e.g. 1,2,4,6.", metavar="W,...")
]
Score = Annotated[str | None, typer.Option(help="Column of scores. Default: score, AVAL.", metavar="COLUMN")]
Baseline = Annotated[str | None, typer.Option(help="Column of baseline scores. Default: baseline, BASE, else scores at week 0.", metavar="COLUMN")]
Scale = Annotated[str | None, typer.Option(help="A known symptom scale, e.g. HAM-D17, for response and remission.", metavar="NAME")]
Where = Annotated[str | None, typer.Option(help="Rows to keep, e.g. \"PARAMCD == 'MADRS'\".", metavar="CONDITION")]
Subjects = Annotated[str | None, typer.Option(help="File with one row per patient, for arms and covariates.", metavar="FILE")]


def numbers(text: str | None, option: str) -> tuple[float, ...]:
    """Numbers written with commas between."""
    from simtrials.core.errors import SimtrialsError

    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise SimtrialsError(f"{option} needs numbers with commas between, such as 1,2,4,6, got {text!r}") from None


@app.command(rich_help_panel="Review")
def analyze(
    data: Data,
    analysis: Annotated[list[str] | None, typer.Option(help="Kind of analysis, see `simtrials kinds analyses`; repeat.", metavar="KIND")] = None,
    patient: Patient = None,
    arm: Arm = None,
    control: Control = None,
    week: Week = None,
    weeks: Weeks = None,
    score: Score = None,
    baseline: Baseline = None,
    scale: Scale = None,
    improves: Annotated[str | None, typer.Option(help="down or up: the better direction where no scale is given. Default: down.")] = None,
    binary: Annotated[bool, typer.Option("--binary", help="Scores are 1 and 0.")] = False,
    where: Where = None,
    strata: Annotated[list[str] | None, typer.Option(help="Column within which patients were randomised; repeat.", metavar="COLUMN")] = None,
    subjects: Subjects = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of the analyses, e.g. --set week=6, or of one: --set mmrm.df=kenward_roger."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of analyses that draw, such as multiple imputation.")] = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Analyze one real trial with the code that analyzes simulated ones.

    Example:  simtrials analyze antidepressant_trial --analysis mmrm --score hamd17 --baseline hamd17_baseline --week visit --weeks 1,2,4,6

    See also: course, kinds, patients
    """
    import json

    from simtrials.engine.real_trial.analyze import analyze as analyzed

    found = analyzed(
        data,
        _declared(analysis or ["mmrm"], set_ or []),
        patient=patient,
        arm=arm,
        control=control,
        week=week,
        weeks=numbers(weeks, "--weeks"),
        score=score,
        baseline=baseline,
        scale=scale,
        improves=improves,  # type: ignore[arg-type]
        binary=binary,
        where=where,
        strata=tuple(strata or ()),
        subjects=subjects,
        seed=seed,
    )
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    elif quiet:
        typer.echo(found.to_frame().to_csv(index=False), nl=False)
    else:
        typer.echo(found.summary())


def _declared(kinds: list[str], settings: list[str]) -> list[dict[str, object]]:
    """The analyses as tables; a field without the name of an analysis goes to all that have it."""
    from simtrials.core.errors import SimtrialsError, did_you_mean

    tables: list[dict[str, object]] = [{"kind": kind} for kind in kinds]
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path.strip():
            raise SimtrialsError(f"--set needs FIELD=VALUE, such as week=6, got {setting!r}")
        kind, dot, field = path.strip().rpartition(".")
        if dot and kind not in kinds:
            raise SimtrialsError(f"--set {path}: no --analysis {kind}{did_you_mean(kind, kinds)}")
        takers = [table for table in tables if (table["kind"] == kind if dot else field in _fields(str(table["kind"])))]
        if not takers:
            every = sorted({name for table in tables for name in _fields(str(table["kind"]))})
            raise SimtrialsError(f"--set {path}: no analysis has a field {field!r}{did_you_mean(field, every)}")
        for table in takers:
            table[field] = toml_value(value.strip())
    return tables


def _fields(kind: str) -> list[str]:
    from simtrials.inference.analyses import ANALYSES

    return list(ANALYSES[kind].model_fields) if kind in ANALYSES else []


@app.command(rich_help_panel="Review")
def course(
    data: Data,
    patient: Patient = None,
    arm: Arm = None,
    control: Control = None,
    week: Week = None,
    weeks: Weeks = None,
    score: Score = None,
    baseline: Baseline = None,
    scale: Scale = None,
    score_range: Annotated[str | None, typer.Option(help="Lowest and highest score, e.g. 0,52, of a scale that is not known.", metavar="X,Y")] = None,
    improves: Annotated[str | None, typer.Option(help="down or up: the better direction where no scale is given. Default: down.")] = None,
    where: Where = None,
    subjects: Subjects = None,
    name: Annotated[str | None, typer.Option(help="Name of the endpoint in the scenario. Default: the column of the scores.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder for course.toml, fit.csv and the figure.", metavar="DIR")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit the course of a symptom scale to a real trial: an endpoint and the loss of patients for a scenario file, and how well they fit.

    Example:  simtrials course antidepressant_trial --score hamd17 --baseline hamd17_baseline --scale HAM-D17 --week visit --weeks 1,2,4,6

    See also: analyze, population, new
    """
    import json

    from simtrials.core.errors import SimtrialsError
    from simtrials.engine.real_trial.course import fit_course

    limits = numbers(score_range, "--score-range")
    if limits and len(limits) != 2:
        raise SimtrialsError(f"--score-range needs two numbers, such as 0,52, got {score_range!r}")
    fit = fit_course(
        data,
        patient=patient,
        arm=arm,
        control=control,
        week=week,
        weeks=numbers(weeks, "--weeks"),
        score=score,
        baseline=baseline,
        scale=scale,
        score_range=(limits[0], limits[1]) if limits else None,
        improves=improves,  # type: ignore[arg-type]
        where=where,
        subjects=subjects,
        name=name,
    )
    folder = fit.write(out) if out else None
    if as_json:
        typer.echo(json.dumps(fit.to_dict(), indent=1))
    elif quiet:
        typer.echo(fit.toml() if folder is None else str(out))
    else:
        typer.echo(fit.summary())
        typer.echo(f"\n{fit.toml()}" if folder is None else f"  written to {out}")
