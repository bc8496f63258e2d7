"""A review of real studies: from a file to effect sizes, their mean, its interval and what a new trial may show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category, ExpressionError, parse
from simtrials.engine.real_studies.effects import with_effects
from simtrials.engine.real_studies.methods import METHODS, methods_named
from simtrials.engine.real_studies.naming import WORDS, Benefit, OutcomeName, Scores, SharedControl, Subgroups, control_word
from simtrials.engine.real_studies.outcome import ByGroup, Group, LeftOut, MethodAnswer, Moderation, Review, Slope
from simtrials.engine.real_studies.question import question_of, rows_where, table_of
from simtrials.engine.real_studies.read import read_rows
from simtrials.engine.real_studies.resolve import without_repeats
from simtrials.engine.real_studies.rows import StudyRow
from simtrials.engine.real_trial.naming import source_of
from simtrials.engine.real_trial.read import cell_texts
from simtrials.stats.intervals import PredictionRule
from simtrials.stats.meta_analysis import CI_RULES, TAU2_METHODS, CiRule, MetaAnalysis, Tau2Choice, meta_analysis, meta_regression
from simtrials.stats.meta_status import called_here

if TYPE_CHECKING:
    import pandas as pd

NOT_STATED = "not stated"
PREDICTIONS = ("as_interval", "normal", "t_k_minus_1", "t_k_minus_2")


def review(
    data: "str | Path | pd.DataFrame",
    outcome: OutcomeName | None = None,
    *,
    measure: str | None = None,
    method: Tau2Choice = "REML",
    ci: CiRule = "hartung_knapp",
    prediction: PredictionRule = "as_interval",
    where: str | None = None,
    by: str | None = None,
    moderators: str | Sequence[str] = (),
    scores: Scores | None = None,
    shared_control: SharedControl = "combine",
    subgroups: Subgroups = "prefer_whole",
    also: str | Sequence[str] = (),
    leave_one_out: bool = False,
    study: str | None = None,
    benefit: Benefit | None = None,
    improves: str | None = None,
) -> Review:
    """Meta-analyse study results of a file, each randomised patient once.

    Parameters
    ----------
    data : CSV or Parquet file or data frame with one row per comparison, or a shipped data set such as 'trials'. Columns: counts
        (responders_active, responders_placebo, n_active, n_placebo, ...), means and SDs of changes (change_mean_active, ...) or endpoint scores,
        or effects yi with variances vi (or standard errors sei); study or trial for names, sample_id, subgroup and shared_control
    outcome : severity, anhedonia, response, remission, dropout, serious_adverse_event or event; default: effects that are given, else the outcome
        that most rows report
    measure : RR (default), OR, RD, PETO, AS for counts; SMD (default), SMDH, SMD1, MD for scores; with yi and vi it says what they are, ratios
        being logarithms
    method : estimator of the variance between trials as in `meta_analysis`; or "common"
    ci, prediction : rules of confidence and prediction interval as in `meta_analysis`
    where : rows to keep, such as "crp_rule != 'none' and weeks >= 4"
    by : a column of groups, or a condition, with a name as in "enriched: crp_rule != 'none'"; groups are pooled by themselves and compared
    moderators : columns or formulas of a meta-regression, such as 'weeks'
    scores : "change", "endpoint" or "both", where rows have different kinds; without it a mixture is refused
    shared_control : rows with one control arm are combined into one comparison, or it is split between them, or they are refused
    subgroups : where a whole trial and a subgroup of it have the outcome, which of them counts
    also : further methods by name, or "all"
    leave_one_out : pool again without each trial in turn
    study : the column of names; default study, trial, author or name
    benefit : "higher" or "lower", the better side of the effect, for yi and vi, or where it is not that of the outcome
    improves : "down" or "up", the better direction of scores on scales that are not known

    Returns
    -------
    Review; benefit is positive for scores, ratios are active / placebo. Numbers of ratios are logarithms.

    Raises
    ------
    DeclarationError
        With everything that is wrong with the file or the choices, and the nearest remedy.
    """
    table = table_of(data)
    source = source_of(table)
    moderating = (moderators,) if isinstance(moderators, str) else tuple(moderators)
    names = tuple(METHODS) if also == "all" else (also,) if isinstance(also, str) else tuple(also)
    words = {"outcome": outcome, "shared_control": shared_control, "subgroups": subgroups, "scores": scores, "benefit": benefit}
    _stop([*_unknown_words(words | {"improves": improves}), *_unknown_rules(method, ci, prediction, moderating)], source)
    further = methods_named(names)
    rows = rows_where(table, where)
    question = question_of(table, outcome, measure, scores, benefit, improves)
    values, problems = _columns(table, by, moderating)
    _stop(problems, source)
    read, said = read_rows(table, rows, question, study)
    complete = [row for row in read if not row.missing]
    left_out = [LeftOut(row.name, row.line, f"without {', '.join(row.missing)}") for row in read if row.missing]
    keys = {row.row: tuple(column[row.row] for column in values.values()) for row in complete}
    resolved = without_repeats(complete, read, source, shared_control, subgroups, keys)
    used, without = with_effects(resolved.rows, question)
    left_out += [LeftOut(row.name, row.line, reason) for row, reason in (*resolved.left_out, *without)]
    if not used:
        raise DeclarationError([Problem(outcome or "yi", _nothing_left(left_out))], source)
    yi, vi = (np.array([getattr(row, name) for row in used]) for name in ("yi", "vi"))

    def pool(mask: BoolArray, rule: CiRule = ci) -> MetaAnalysis:
        if mask.sum() == 1:
            return meta_analysis(np.where(mask, yi, np.nan), vi, tau2="common")
        return meta_analysis(np.where(mask, yi, np.nan), vi, tau2=method, ci=rule, prediction=prediction)

    everyone = np.ones(len(used), dtype=bool)
    groups = None if by is None else _by_group(by, [values[by][row.row] or NOT_STATED for row in used], yi, vi, method, ci, pool)
    answers = tuple(MethodAnswer(one.name, one.label, *one.run(yi, vi, question.alternative)) for one in further)
    return Review(
        source=source,
        checksum=table.checksum,
        where=where or "",
        question=question,
        method=method,
        ci=ci,
        prediction=prediction,
        control_word=control_word(table),
        studies=used,
        pooled=pool(everyone),
        left_out=tuple(sorted(left_out, key=lambda one: one.line)),
        notes=(*question.chosen, *said, *resolved.notes),
        groups=groups,
        moderation=_moderation(moderating, values, used, yi, vi, method, ci) if moderating else None,
        also=answers,
        without_one=tuple(pool(everyone & (np.arange(len(used)) != i)) for i in range(len(used))) if leave_one_out and len(used) > 1 else (),
    )


def _stop(problems: list[Problem], source: str) -> None:
    if problems:
        raise DeclarationError(problems, source)


def _unknown_words(given: Mapping[str, str | None]) -> list[Problem]:
    return [
        Problem(name, f"{word!r} is not known{did_you_mean(word, WORDS[name])}")
        for name, word in given.items()
        if word is not None and word not in WORDS[name]
    ]


def _unknown_rules(method: str, ci: str, prediction: str, moderating: tuple[str, ...]) -> list[Problem]:
    """Names that are not known, and rules that do not go with each other."""
    estimators = [name for name in TAU2_METHODS if name != "GENQ"]
    problems = []
    if method not in estimators:
        problems.append(Problem("method", f"no estimator called {method!r}{called_here(method, estimators)}"))
    if ci not in CI_RULES:
        problems.append(Problem("ci", f"no rule called {ci!r}{called_here(ci, CI_RULES)}"))
    if prediction not in PREDICTIONS:
        problems.append(Problem("prediction", f"no rule called {prediction!r}{did_you_mean(prediction, PREDICTIONS)}"))
    needs = {"profile_likelihood": "ML", "henmi_copas": "DL", "kenward_roger": "REML"}
    if ci in needs and method in estimators and method != needs[ci]:
        problems.append(Problem("ci", f"{ci} goes with the method {needs[ci]}, got {method}"))
    return problems


def _columns(table: Table, by: str | None, moderating: tuple[str, ...]) -> tuple[dict[str, list[Any]], list[Problem]]:
    """By name the groups and moderators of every row of the file, None where empty."""
    found: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    for role, text in (*([("by", by)] if by is not None else []), *(("moderator", one) for one in moderating)):
        label, formula = named_condition(text) if role == "by" and text not in table.columns else (text, text)
        try:
            value = table.columns[text] if text in table.columns else parse(formula).evaluate(table.columns)
        except ExpressionError as error:
            problems.append(Problem(role, str(error)))
            continue
        if role == "by":
            found[text] = _groups(label, value)
        elif isinstance(value, Category):
            problems.append(Problem("moderator", f"{text!r} holds categories ({', '.join(value.levels[:4])}); compare groups with --by"))
        else:
            numbers = np.broadcast_to(np.asarray(value, dtype=np.float64), (table.n_rows,))
            found[text] = [float(number) if np.isfinite(number) else None for number in numbers]
    return found, problems


def named_condition(text: str) -> tuple[str, str]:
    """Name and condition of `enriched: crp_rule != 'none'`; the condition is its own name where it has none."""
    name, colon, condition = text.partition(":")
    return (name.strip(), condition.strip()) if colon and not set("'\"") & set(name) else (text, text)


def _groups(label: str, value: Any) -> list[Any]:
    if isinstance(value, np.ndarray) and value.dtype == np.bool_:
        return [label if true else f"not {label}" for true in np.atleast_1d(value)]
    return list(cell_texts(value))


def _nothing_left(left_out: Sequence[LeftOut]) -> str:
    reasons = [one.reason for one in left_out]
    counted = [f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons)]
    ratio = any(reason.startswith(("no events", "events in")) for reason in reasons)
    remedy = "; --measure RD can use trials without events" if ratio else ""
    return f"no row can be used; of {len(reasons)}: {'; '.join(counted[:4])}{remedy}"


def _by_group(by: str, labels: list[str], yi: FloatArray, vi: FloatArray, method: Tau2Choice, ci: CiRule, pool: Any) -> ByGroup:
    """Each group pooled by itself with its own tau; the test between groups has one tau within all of them."""
    rule: CiRule = "hartung_knapp_adhoc" if ci == "hartung_knapp" else ci
    names = tuple(dict.fromkeys(sorted(labels)))
    members = [np.array([label == name for label in labels]) for name in names]
    groups = tuple(Group(name, mask, pool(mask, rule)) for name, mask in zip(names, members, strict=True))
    test = None
    if len(names) > 1:
        design = np.column_stack([np.ones(len(yi)), *(group.members.astype(float) for group in groups[1:])])
        test = meta_regression(yi, vi, design, tau2=method, ci=cast(Any, regression_rule(ci)))
    return ByGroup(by, groups, test)


def regression_rule(ci: str) -> str:
    """The rule of intervals and tests in groups and meta-regressions: Wald or t where the mean has it, else Hartung and Knapp's, not below 1.

    With few trials the residual mean square is often near 0 by chance, and standard errors with it; below 1 it is taken as 1.

    Source: Knapp and Hartung (2003), Statistics in Medicine 22, 2693-2710.
    """
    return {"wald": "wald", "t": "t", "henmi_copas": "wald"}.get(ci, "hartung_knapp_adhoc")


def _moderation(
    names: tuple[str, ...], values: Mapping[str, list[Any]], used: Sequence[StudyRow], yi: FloatArray, vi: FloatArray, method: Tau2Choice, ci: CiRule
) -> Moderation:
    columns = [np.array([values[name][row.row] for row in used], dtype=np.float64) for name in names]
    design = np.column_stack([np.ones(len(yi)), *columns])
    found = meta_regression(yi, vi, design, tau2=method, ci=cast(Any, regression_rule(ci)))
    numbers = (found.estimate, found.std_error, found.lower, found.upper, found.p_value)
    slopes = tuple(Slope(name, *(float(np.asarray(number)[i]) for number in numbers)) for i, name in enumerate(("intercept", *names)))
    return Moderation(slopes, found)
