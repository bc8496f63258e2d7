"""``simtrials patients`` and ``simtrials population``."""

from typing import Annotated

import typer

from simtrials.cli.app import app
from simtrials.cli.options import File, Json, Quiet, Set, changes


@app.command(rich_help_panel="Review")
def patients(
    file: File,
    trial: Annotated[int, typer.Option(help="Which simulated trial, counted from 1.", metavar="K")] = 1,
    out: Annotated[str, typer.Option(help="File to write: .csv, .parquet or .xpt (SAS transport).", metavar="FILE")] = "patients.csv",
    hidden: Annotated[bool, typer.Option("--hidden", help="Also write what only the simulator knows: usual biomarker values.")] = False,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one simulated trial as analysis-ready data, the very patients that `run` analyzed.

    FILE has one row per patient, endpoint and visit seen; beside it, FILE_adsl has one row per patient. Columns are called as in CDISC ADaM.

    Example:  simtrials patients next_trial --trial 7 --out trial_7.csv

    See also: run, analyze, check
    """
    import json

    from simtrials.engine.files import read_trial
    from simtrials.engine.patients import patients as of_trial

    found = of_trial(read_trial(file, changes(set_)), trial, hidden)
    visits, subjects = found.write(out)
    if as_json:
        typer.echo(json.dumps({"trial": trial, "visits": str(visits), "subjects": str(subjects), "n_patients": len(found.subjects)}, indent=1))
    elif quiet:
        typer.echo(f"{visits}\n{subjects}")
    else:
        typer.echo(f"  {visits}: {len(found.visits):,} readings of {len(found.subjects):,} patients of simulated trial {trial:,}")
        typer.echo(f"  {subjects}: one row per patient")


@app.command(rich_help_panel="Review")
def population(
    data: Annotated[str, typer.Argument(metavar="DATA", help="CSV or Parquet file with one row per person, or the name of a shipped data set.")],
    where: Annotated[str | None, typer.Option(help="Rows to keep, e.g. 'phq9_total >= 10'.", metavar="CONDITION")] = None,
    weights: Annotated[str | None, typer.Option(help="Column of sampling weights.", metavar="COLUMN")] = None,
    crp: Annotated[str, typer.Option(help="Column of measured CRP, mg/L.", metavar="COLUMN")] = "crp_mg_l",
    limit_of_detection: Annotated[float | None, typer.Option(help="Limit of detection, mg/L; values below it are censored.", metavar="X")] = None,
    below_limit: Annotated[str | None, typer.Option(help="Column with 1 where CRP is below the limit of detection.", metavar="COLUMN")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(help="Covariate beside CRP; repeat. Default: BMI, age and sex, those that the file has.", metavar="COLUMN")
    ] = None,
    strata: Annotated[str | None, typer.Option(help="Column of the survey's strata, for standard errors.", metavar="COLUMN")] = None,
    clusters: Annotated[str | None, typer.Option(help="Column of the survey's clusters within strata.", metavar="COLUMN")] = None,
    bmi: Annotated[str, typer.Option(help="Column of body mass index, kg/m2.", metavar="COLUMN")] = "bmi_kg_m2",
    age: Annotated[str, typer.Option(help="Column of age, years.", metavar="COLUMN")] = "age_years",
    sex: Annotated[str, typer.Option(help="Column of sex, with a level 'female'.", metavar="COLUMN")] = "sex",
    kind: Annotated[str, typer.Option(help="gaussian_copula, crp_regression or resampled.")] = "gaussian_copula",
    marginals: Annotated[str, typer.Option(help="quantiles or parametric.")] = "quantiles",
    out: Annotated[str | None, typer.Option(help="Folder for population.toml, fit.csv and the QQ plot.", metavar="DIR")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit a population to your own patients: a block for a scenario file, and how well it fits.

    Prints the fit against the data, then the TOML block ready to paste.

    Example:  simtrials population nhanes_2017_2018 --where "phq9_total >= 10" --weights survey_weight

    See also: new, check, kinds
    """
    import json

    from simtrials.engine.population_fit import fit_population

    fit = fit_population(
        data,
        crp=crp,
        below_limit=below_limit,
        limit_of_detection=limit_of_detection,
        where=where,
        weights=weights,
        columns=columns,
        strata=strata,
        clusters=clusters,
        kind=kind,  # type: ignore[arg-type]
        marginals=marginals,  # type: ignore[arg-type]
        bmi=bmi,
        age=age,
        sex=sex,
    )
    folder = fit.write(out) if out else None
    if as_json:
        typer.echo(json.dumps(fit.to_dict(), indent=1))
        return
    if quiet:
        typer.echo(fit.toml() if folder is None else str(out))
        return
    typer.echo(fit.summary())
    typer.echo(f"\n{fit.toml()}" if folder is None else f"  written to {out}")
