"""``simtrials meta``: results of real studies, pooled."""

from pathlib import Path
from typing import Annotated, Any

import typer

from simtrials.cli.app import app
from simtrials.cli.options import Json, Quiet, numbers_of

Data = Annotated[str, typer.Argument(metavar="DATA", help="CSV or Parquet file, one row per comparison, or a shipped data set such as trials.")]
Outcome = Annotated[
    str | None,
    typer.Option(
        help="severity, anhedonia, response, remission, dropout, serious_adverse_event or event. Default: yi of the file, else the most reported.",
        metavar="NAME",
    ),
]
Measure = Annotated[
    str | None,
    typer.Option(help="RR, OR, RD, PETO or AS of counts (default RR); SMD, SMDH, SMD1 or MD of scores (default SMD).", metavar="NAME"),
]
Scores = Annotated[
    str | None, typer.Option(help="change, endpoint or both: the kind of scores. Default: the kind that the file has; a mixture is refused.")
]
Where = Annotated[str | None, typer.Option(help="Rows to keep, e.g. \"crp_rule != 'none' and weeks >= 4\".", metavar="CONDITION")]
Subgroups = Annotated[
    str, typer.Option(help="prefer_whole, prefer_subgroup or refuse: which rows count where a whole trial and its subgroup are both there.")
]
SharedControl = Annotated[
    str,
    typer.Option(help="combine, split or refuse: rows that share a control arm become one comparison (as Cochrane recommends), or divide it."),
]
Method = Annotated[str, typer.Option(help="Estimator of the variance between trials: REML, PM, DL, ML, EB, HE, HS, SJ; or common.", metavar="NAME")]
Ci = Annotated[
    str,
    typer.Option(
        help="Rule of the interval: hartung_knapp, hartung_knapp_adhoc, wald, t, kenward_roger, profile_likelihood, henmi_copas.", metavar="NAME"
    ),
]
Prediction = Annotated[
    str,
    typer.Option(help="Rule of the prediction interval: as_interval, normal, t_k_minus_1, t_k_minus_2.", metavar="NAME"),
]


@app.command(rich_help_panel="Review")
def meta(
    data: Data,
    outcome: Outcome = None,
    measure: Measure = None,
    scores: Scores = None,
    where: Where = None,
    subgroups: Subgroups = "prefer_whole",
    shared_control: SharedControl = "combine",
    method: Method = "REML",
    ci: Ci = "hartung_knapp",
    prediction: Prediction = "as_interval",
    by: Annotated[
        str | None,
        typer.Option(
            help="Column of groups, or a condition such as \"enriched: crp_rule != 'none'\": each by itself, and compared.", metavar="COLUMN"
        ),
    ] = None,
    moderator: Annotated[list[str] | None, typer.Option(help="Column or formula of a meta-regression, e.g. weeks; repeat.", metavar="COLUMN")] = None,
    also: Annotated[list[str] | None, typer.Option(help="A further method, e.g. step_selection; repeat.", metavar="NAME")] = None,
    all_methods: Annotated[bool, typer.Option("--all-methods", help="Every further method.")] = False,
    leave_one_out: Annotated[bool, typer.Option("--leave-one-out", help="The mean without each trial in turn.")] = False,
    study: Annotated[str | None, typer.Option(help="Column of names. Default: study, trial, author, name.", metavar="COLUMN")] = None,
    benefit: Annotated[str | None, typer.Option(help="higher or lower: the better side of the effect. Default: as the outcome has it.")] = None,
    improves: Annotated[str | None, typer.Option(help="down or up: the better direction of scales that are not known. Default: down.")] = None,
    detects: Annotated[
        str | None,
        typer.Option(help="True mean effects, with commas, such as 0.2,0.35: how often would such a set of studies show them?", metavar="VALUES"),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder for studies.csv, meta.json (for priors), and forest and funnel plot as SVG and PNG.", metavar="DIR")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Meta-analyze results of real studies: the mean, what a new trial may show, and who was left out and why.

    Example:  simtrials meta trials --outcome response --by drug_class --out response

    See also: analyze, assurance (--prior PATH=meta:DIR), population, kinds
    """
    import json

    from simtrials.engine.real_studies.analyze import review
    from simtrials.planning.evidence_power import evidence_power
    from simtrials.report.text import INDENT, paragraph

    effects = numbers_of(detects, "--detects") if detects is not None else []
    asked: dict[str, Any] = {
        "measure": measure,
        "method": method,
        "ci": ci,
        "prediction": prediction,
        "where": where,
        "by": by,
        "moderators": tuple(moderator or ()),
        "scores": scores,
        "shared_control": shared_control,
        "subgroups": subgroups,
        "also": "all" if all_methods else tuple(also or ()),
        "leave_one_out": leave_one_out,
        "study": study,
        "benefit": benefit,
        "improves": improves,
    }
    found = review(data, outcome, **asked)  # type: ignore[arg-type]
    able = evidence_power(found, effects) if effects else None
    paths = found.write(out) if out else {}
    if able is not None and out:
        paths |= {name: Path(out) / name for name in ("power.svg", "power.png")}
        for name in ("power.svg", "power.png"):
            able.plot(paths[name])
    if as_json:
        typer.echo(json.dumps(found.to_dict() | ({"detects": able.to_dict()} if able is not None else {}), indent=1))
    elif quiet:
        typer.echo(found.to_frame().to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        typer.echo(found.summary())
        if able is not None:
            typer.echo(able.summary())
        made = f"written to {out}: {', '.join(paths)}" if paths else "forest and funnel plot, studies.csv, meta.json (for priors): --out DIR"
        typer.echo(paragraph(made, INDENT))
