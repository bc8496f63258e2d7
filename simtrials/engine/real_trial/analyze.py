"""The analyses of a protocol on one real trial: the very code that analyses simulated ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from simtrials.core.check import problems_of
from simtrials.core.data import Estimates, Improves
from simtrials.core.errors import DeclarationError, Problem, SimtrialsError, did_you_mean
from simtrials.core.expressions import ExpressionError, parse
from simtrials.core.rng import Purpose, Streams
from simtrials.core.status import SENTENCES, Status
from simtrials.engine.real_trial.naming import Naming
from simtrials.engine.real_trial.outcome import Finding, TrialAnalysis
from simtrials.engine.real_trial.read import RealTrial, read_trial
from simtrials.inference.analyses import ANALYSES, Analysis
from simtrials.inference.checks import analysis_problems
from simtrials.inference.judge import judge


def analyze(
    data: str | Path,
    analyses: str | Mapping[str, Any] | Analysis | Sequence[str | Mapping[str, Any] | Analysis],
    *,
    patient: str | None = None,
    arm: str | None = None,
    control: str | None = None,
    week: str | None = None,
    weeks: Sequence[float] = (),
    score: str | None = None,
    baseline: str | None = None,
    scale: str | None = None,
    improves: Improves | None = None,
    binary: bool = False,
    where: str | None = None,
    strata: Sequence[str] = (),
    subjects: str | Path | None = None,
    seed: int = 1,
) -> TrialAnalysis:
    """Analyse one real trial, in long format, with the code that analyses simulated ones.

    Parameters
    ----------
    data : CSV or Parquet file with one row per patient and visit, or the name of a shipped data set
    analyses : kinds such as 'mmrm', tables such as {"kind": "ancova", "covariates": ["baseline", "sex"]}, or components; one or several
    patient, arm, week, score, baseline : columns; the last three may be formulas, such as 'day / 7'. Looked up among usual names (patient, arm,
        week, score, baseline; USUBJID, TRTP, AVISITN, AVAL, BASE). Without a baseline column, scores at week 0 are the baseline
    control : the arm that others are compared with; default: placebo or control
    weeks : scheduled weeks of the values of `week` in their order, where that column numbers or names visits
    scale : a known symptom scale, for response and remission
    improves : 'down' or 'up', the better direction where no scale is given; default down, for yes-or-no outcomes up
    binary : scores are 1 and 0
    where : rows to keep, such as "PARAMCD == 'MADRS'"
    strata : columns or conditions within which patients were randomised
    subjects : a file with one row per patient, for arms and covariates
    seed : of analyses that draw, such as multiple imputation

    Raises
    ------
    DeclarationError
        With everything that is wrong with the file or the analyses, and the nearest remedy.
    """
    scheduled = tuple(float(w) for w in weeks)
    naming = Naming(patient, arm, control, week, scheduled, score, baseline, scale, improves, binary, where, tuple(strata), subjects)
    trial = read_trial(data, naming)
    asked = [analyses] if isinstance(analyses, str | Mapping | Analysis) else list(analyses)
    if not asked:
        raise SimtrialsError("name at least one analysis, such as 'mmrm'")
    made = _made(asked, trial)
    findings = tuple(_finding(name, analysis, trial, Streams(seed, Purpose.RUN, 0)) for name, analysis in made.items())
    return TrialAnalysis(trial, findings)


def _made(asked: Sequence[str | Mapping[str, Any] | Analysis], trial: RealTrial) -> dict[str, Analysis]:
    """The analyses by name, checked against what was measured."""
    found: dict[str, Analysis] = {}
    problems: list[Problem] = []
    for one in asked:
        declared = {"kind": one} if isinstance(one, str) else one
        kind = declared.kind if isinstance(declared, Analysis) else str(declared.get("kind", ""))
        name = kind if kind not in found else f"{kind}_{1 + sum(key.startswith(kind) for key in found)}"
        if kind not in ANALYSES:
            problems.append(Problem("analysis", f"no analysis called {kind!r}{did_you_mean(kind, ANALYSES)}"))
            continue
        try:
            given = declared if isinstance(declared, Analysis) else ANALYSES[kind].model_validate(_with_defaults(declared, kind, trial))
        except ValidationError as error:
            problems += [Problem(f"{name}.{problem.place}" if problem.place else name, problem.sentence) for problem in problems_of(error)]
            continue
        analysis = given.model_copy(update={"endpoint": trial.name})
        own = [*analysis_problems(name, analysis, trial.endpoint), *_not_known(name, analysis, trial)]
        problems += own
        if not own:
            found[name] = analysis
    if problems:
        raise DeclarationError(problems, trial.source)
    return found


def _with_defaults(declared: Mapping[str, Any], kind: str, trial: RealTrial) -> dict[str, Any]:
    """What is declared, for the one endpoint of the file; without a baseline it is no covariate unless asked for."""
    known = ANALYSES[kind].model_fields
    plain: dict[str, Any] = {"endpoint": trial.name}
    if "covariates" in known and not trial.endpoint.has_baseline and "baseline" in (known["covariates"].default or ()):
        plain["covariates"] = ()
    return plain | dict(declared)


def _not_known(name: str, analysis: Analysis, trial: RealTrial) -> list[Problem]:
    """Names that are not measured once per patient, an arm that is not there, and an estimand, for which intercurrent events would be needed."""
    problems = []
    known = set(trial.data.columns) | {f"{trial.name}.baseline", "baseline"}
    for text in analysis.expressions:
        try:
            unknown = sorted(parse(text).names - known)
        except ExpressionError as error:
            problems.append(Problem(name, str(error)))
            continue
        if unknown:
            varies = unknown[0] in trial.varying
            why = "varies within patients, so it is no covariate" if varies else f"is no column of the file{did_you_mean(unknown[0], known)}"
            problems.append(Problem(name, f"{unknown[0]!r} in {text!r} {why}"))
    arms = trial.data.arms
    if analysis.arm is not None and analysis.arm not in arms[1:]:
        problems.append(Problem(f"{name}.arm", f"no active arm called {analysis.arm!r}{did_you_mean(analysis.arm, arms[1:])}"))
    if analysis.estimand is not None:
        problems.append(Problem(f"{name}.estimand", "a file does not say which events happened; leave it out, and keep the rows that it is about"))
    return problems


def _finding(name: str, analysis: Analysis, trial: RealTrial, streams: Streams) -> Finding:
    try:
        found = analysis.estimate_by_luck(trial.data, streams[f"analyses.{name}"])
    except ExpressionError as error:
        raise DeclarationError([Problem(name, str(error))], trial.source) from None
    judged = judge(analysis, found)
    view = analysis.view(trial.data)
    used = ~np.isnan(view.value[0]) if not analysis.fills_gaps else view.measured.observed[0].any(axis=1)
    ok = int(found.status[0]) == Status.OK
    benefit, rejected = bool(judged.benefit[0]), bool(judged.rejected[0])
    return Finding(
        analysis=name,
        method=analysis.label or analysis.method,
        where=analysis.where or "",
        analysis_set=analysis.analysis_set,
        missing=analysis.missing,
        outcome=view.outcome.name,
        week=view.week,
        effect=found.scale,
        n_active=int((used & (view.arm[0] == view.active)).sum()),
        n_control=int((used & (view.arm[0] == 0)).sum()),
        estimate=_number(judged.estimate),
        std_error=_number(judged.std_error),
        lower=_number(judged.lower),
        upper=_number(judged.upper),
        level=1.0 - analysis.two_sided_alpha,
        df=_number(found.df),
        p_value=_p_value(analysis, found),
        shows="benefit" if benefit else "harm" if rejected else "neither",
        status="" if ok else SENTENCES[Status(int(found.status[0]))],
        flags=tuple(flag for flag, counted in found.flags.items() if counted[0]),
    )


def _number(values: np.ndarray) -> float | None:
    value = float(values[0])
    return value if np.isfinite(value) else None


def _p_value(analysis: Analysis, found: Estimates) -> float | None:
    """Of the test, one-sided where that was declared; None for an analysis that decides otherwise, or could not be made."""
    from scipy.stats import t

    if found.decision is not None:
        return None
    if found.p_value is not None:
        value = float(found.p_value[0])
        if analysis.one_sided_alpha is not None:
            value = value / 2 if found.benefit * found.estimate[0] > 0 else 1 - value / 2
    else:
        statistic, df = float(found.statistic[0]), float(found.df[0])
        value = float(t.sf(found.benefit * statistic, df)) if analysis.one_sided_alpha is not None else float(2 * t.sf(abs(statistic), df))
    return value if np.isfinite(value) else None
