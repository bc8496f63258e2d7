"""What the terminal shows of a review of real studies: the mean first, then studies, groups, moderators, methods, notes. Plain text, 80 columns."""

import math
from collections.abc import Sequence

import numpy as np

from simtrials.engine.real_studies.analyze import named_condition, regression_rule
from simtrials.engine.real_studies.outcome import Review
from simtrials.engine.real_studies.rows import Arm, StudyRow
from simtrials.report.effects import Effect, places_for
from simtrials.report.numbers import DASH, Z95, fixed, plain, whole
from simtrials.report.real_trial import p_value
from simtrials.report.text import aligned, paragraph
from simtrials.stats.meta_analysis import MetaAnalysis
from simtrials.stats.meta_status import SENTENCES, MetaStatus

TAU2_NAMES = {
    "REML": "REML",
    "ML": "ML",
    "DL": "DerSimonian-Laird",
    "PM": "Paule-Mandel",
    "HE": "Hedges",
    "HS": "Hunter-Schmidt",
    "SJ": "Sidik-Jonkman",
    "EB": "empirical Bayes",
    "common": "common effect",
}
CI_NAMES = {
    "wald": "Wald",
    "t": "t",
    "hartung_knapp": "Hartung-Knapp",
    "hartung_knapp_adhoc": "ad hoc Hartung-Knapp",
    "hartung_knapp_ci": "Hartung-Knapp or Wald, the wider",
    "hartung_knapp_iqwig6": "Hartung-Knapp (IQWiG)",
    "kenward_roger": "Kenward-Roger",
    "profile_likelihood": "profile likelihood",
    "henmi_copas": "Henmi-Copas",
}
MOST_NAMED = 4
"""Rows that are left out for one reason are named up to here; all of them stand in studies.csv."""


def effect_of(review: Review) -> Effect:
    """How the effects of a review are shown."""
    measure, outcome = review.question.measure, review.question.outcome
    places = places_for(np.sqrt(review.vi)) if measure.name in ("MD", "GEN") else 2
    better = ("favors the drug", f"favors {review.control_word}")
    counts = measure.of == "counts" and outcome is not None and outcome.name not in ("response", "remission")
    if counts and outcome is not None:
        fewer, more = f"fewer {_plural(outcome.spoken)} with the drug", "more with the drug"
        return Effect(measure.label, measure.ratio, fewer, more, places)
    right, left = better if review.question.benefit == "higher" else better[::-1]
    return Effect(measure.label, measure.ratio, left, right, places)


def _plural(spoken: str) -> str:
    return spoken if spoken.endswith("s") else f"{spoken}s"


def summary(review: Review) -> str:
    """The terminal block."""
    effect = effect_of(review)
    blocks = [paragraph(_head(review)), _answer(review, effect), *(paragraph(line, "  ") for line in _heterogeneity(review, effect))]
    blocks += [
        paragraph(f"{finding(review, effect)} {_narrow(review)}".strip(), "  "),
        _studies(review, effect),
        _groups(review, effect),
        _moderators(review, effect),
    ]
    blocks += [_methods(review, effect), _without_one(review, effect), *(paragraph(note, "  ") for note in _notes(review))]
    return "\n".join(block for block in blocks if block)


def _head(review: Review) -> str:
    outcome = review.question.outcome
    asked = f"{outcome.spoken}, {review.question.measure.label}" if outcome is not None else review.question.measure.label
    arms = (
        f" (drug / {review.control_word})"
        if review.question.measure.ratio
        else f" (drug less {review.control_word})" * (review.question.measure.of == "counts")
    )
    return f"{review.source}: {asked}{arms}{f', where {review.where}' if review.where else ''}"


def trials_in_words(review: Review) -> str:
    """`11 trials, 321 patients`; comparisons where a trial has several."""
    k = len(review.studies)
    trials = _count(k, "trial") if review.n_trials == k else f"{_count(k, 'comparison')} of {_count(review.n_trials, 'trial')}"
    return trials if review.n_patients is None else f"{trials}, {whole(review.n_patients)} patients"


def rule_in_words(review: Review) -> str:
    """`REML, Hartung-Knapp`."""
    if len(review.studies) == 1:
        return "a single trial, normal interval"
    return f"{TAU2_NAMES.get(review.method, review.method)}, {CI_NAMES[review.ci]}"


def _answer(review: Review, effect: Effect) -> str:
    found = review.pooled
    lines = [(f"{trials_in_words(review)}; {rule_in_words(review)}", f"{effect.label} (95% CI)")]
    lines.append(("mean effect" if len(review.studies) > 1 else "effect", effect.interval(*_limits(found))))
    if has_prediction(review):
        estimate, low, high = float(found.estimate), float(found.prediction_lower), float(found.prediction_upper)
        lines.append(("effect in a new trial (95% PI)", effect.interval(estimate, low, high)))
    return aligned(lines, flexible=(0,))


def _limits(found: MetaAnalysis) -> tuple[float, float, float]:
    return float(found.estimate), float(found.lower), float(found.upper)


def has_prediction(review: Review) -> bool:
    """Whether there is an interval for a new trial: not for one trial, nor with a common effect."""
    return review.method != "common" and math.isfinite(float(review.pooled.prediction_lower))


def heterogeneity_in_words(review: Review, square: str = "2") -> str:
    """`tau 0.26 (0.00 to 0.61), I2 38%`; empty for one trial."""
    found = review.pooled
    if len(review.studies) == 1 or not math.isfinite(float(found.i2)):
        return ""
    share = f"I{square} {fixed(100 * float(found.i2), 0)}%"
    if review.method == "common":
        return f"{share}, Q {fixed(float(found.q), 1)} (df {len(review.studies) - 1}, P = {p_value(float(found.q_p_value))})"
    places = effect_of(review).places
    tau, low, high = (fixed(math.sqrt(max(float(value), 0.0)), places) for value in (found.tau2, found.tau2_lower, found.tau2_upper))
    log = ", log scale" if review.question.measure.ratio else ""
    limits = f"{low} to {high}{log}" if DASH not in (low, high) else log.removeprefix(", ")
    return f"tau {tau}{f' ({limits})' if limits else ''}, {share}"


def _heterogeneity(review: Review, effect: Effect) -> list[str]:
    varied = heterogeneity_in_words(review)
    side = "Above 1" if effect.ratio else "Positive"
    return [f"{f'{varied}. ' if varied else ''}{side}{':' if 'favors' not in effect.right else ''} {effect.right}." if effect.right else varied]


def finding(review: Review, effect: Effect) -> str:
    """Where the mean and a new trial's true effect lie against no effect: `Mean above zero; a new trial's true effect may be below zero.`"""
    found, null = review.pooled, effect.null_in_words
    if math.isnan(float(found.estimate)):
        return f"No mean: {review.status}."
    low, high = float(found.lower), float(found.upper)
    what = "Mean" if len(review.studies) > 1 else "One trial, its own estimate; effect"
    if math.isnan(low):
        return ""
    if float(found.std_error) == 0:
        return f"All trials agree exactly, so that the {CI_NAMES[review.ci]} interval has no width; see --ci hartung_knapp_adhoc."
    if low <= 0 <= high:
        return f"{what} may lie on either side of {null}: neither benefit nor harm is shown."
    side, other = ("above", "below") if low > 0 else ("below", "above")
    if not has_prediction(review):
        return f"{what} {side} {null}."
    beyond = float(found.prediction_lower if low > 0 else found.prediction_upper)
    crosses = beyond <= 0 if low > 0 else beyond >= 0
    if crosses:
        return f"{what} {side} {null}; a new trial's true effect may be {other} {null}."
    if float(found.tau2) == 0:
        most = fixed(math.sqrt(float(found.tau2_upper)), effect.places)
        return f"{what} {side} {null}; tau is estimated as 0 and may be {most}, so the interval of a new trial may be too short."
    return f"{what} {side} {null}; a new trial's true effect is expected there too."


def cell_of(arm: Arm, outcome_counts: bool) -> str:
    """`15/30` for counts, else the number of patients; parts of a split arm with one decimal."""
    n = DASH if math.isnan(arm.n) else _size(arm.n)
    return f"{_size(arm.events)}/{n}" if outcome_counts and not math.isnan(arm.events) else n


def _size(n: float) -> str:
    return whole(n) if n == round(n) else fixed(n, 1)


def counts_events(review: Review) -> bool:
    """Whether arms are shown as events of patients."""
    return not review.question.given and review.question.outcome is not None and review.question.outcome.events is not None


def _studies(review: Review, effect: Effect) -> str:
    counts = counts_events(review)
    sized = not all(math.isnan(study.active.n) for study in review.studies)
    head = ["study", *(["drug", review.control_word] if sized else []), f"{effect.label} (95% CI)", "weight, %", "from"]
    rows: list[list[str]] = [head]
    for study, weight in zip(review.studies, review.weights, strict=True):
        arms = [cell_of(study.active, counts), cell_of(study.control, counts)] if sized else []
        rows.append([study.name, *arms, _own(study, effect), fixed(100 * float(weight), 1), study.used])
    n = len(head)
    if len({study.used for study in review.studies}) == 1:
        rows, n = [row[:-1] for row in rows], n - 1
    return aligned(rows, right=tuple(i for i, name in enumerate(head[:n]) if name in ("drug", review.control_word, "weight, %")), flexible=(0,))


def _own(study: StudyRow, effect: Effect) -> str:
    margin = Z95 * math.sqrt(study.vi)
    return effect.interval(study.yi, study.yi - margin, study.yi + margin)


def _groups(review: Review, effect: Effect) -> str:
    if review.groups is None:
        return ""
    rows = [(named_condition(review.groups.by)[0], "trials", f"{effect.label} (95% CI)", "tau")]
    for group in review.groups.groups:
        tau2 = float(group.pooled.tau2)
        tau = DASH if math.isnan(tau2) else fixed(math.sqrt(tau2), effect.places)
        rows.append((group.name, whole(int(group.members.sum())), effect.interval(*_limits(group.pooled)), tau))
    return "\n".join([aligned(rows, right=(1, 3), flexible=(0,)), paragraph(between_in_words(review), "  ")])


def between_in_words(review: Review) -> str:
    """The test that groups have one mean."""
    if review.groups is None or review.groups.test is None:
        return "One group only: nothing to compare."
    test, n_groups = review.groups.test, len(review.groups.groups)
    if math.isnan(float(test.qm_p_value)):
        status = MetaStatus(int(test.status))
        return f"Between groups: cannot be tested, {SENTENCES[status] if status != MetaStatus.OK else 'too few trials'}."
    moved = _moved(float(test.qm), n_groups - 1, float(test.df), float(test.qm_p_value))
    return f"Between groups: {moved}, with one tau within groups; {CI_NAMES[regression_rule(review.ci)]}."


def _moved(statistic: float, n: int, df: float, p: float) -> str:
    """A test of several coefficients, with its degrees of freedom."""
    name = f"F({n}, {plain(df)})" if math.isfinite(df) else f"chi-squared({n})"
    shown = p_value(p)
    return f"{name} = {fixed(statistic, 2)}, P {shown[0]} {shown[1:]}" if shown[0] in "<>" else f"{name} = {fixed(statistic, 2)}, P = {shown}"


def _moderators(review: Review, effect: Effect) -> str:
    if review.moderation is None:
        return ""
    fit, slopes = review.moderation.fit, review.moderation.slopes
    if math.isnan(slopes[0].estimate) or math.isnan(slopes[0].std_error):
        return paragraph(f"Meta-regression: cannot be fitted, {SENTENCES[MetaStatus(int(fit.status))]}.", "  ")
    word = f"ratio of {_plural(effect.label)}" if effect.ratio else f"change in {effect.label}"
    rows = [("meta-regression", f"{word} per unit (95% CI)", "P")]
    rows += [(slope.name, _slope(effect, slope.estimate, slope.lower, slope.upper), p_value(slope.p_value)) for slope in slopes[1:]]
    tau = fixed(math.sqrt(max(float(fit.tau2), 0.0)), effect.places)
    r2 = "" if math.isnan(float(fit.r2)) else f", R2 {fixed(100 * float(fit.r2), 0)}%"
    rule = CI_NAMES[regression_rule(review.ci)]
    some = "" if int(fit.n_studies) == len(review.studies) else f" over {int(fit.n_studies)} of {len(review.studies)} trials"
    told = f"{TAU2_NAMES.get(review.method, review.method)}, {rule}{some}; residual tau {tau}{r2}."
    return "\n".join([aligned(rows, right=(2,), flexible=(0,)), paragraph(told, "  ")])


def _slope(effect: Effect, estimate: float, lower: float, upper: float) -> str:
    """Slopes have a digit more than effects: they are per unit."""
    return Effect(effect.label, effect.ratio, "", "", effect.places + 1).interval(estimate, lower, upper)


def _methods(review: Review, effect: Effect) -> str:
    if not review.also:
        return ""
    rows: list[tuple[str, ...]] = [("other methods", f"{effect.label} (95% CI)", "P", "")]
    for one in review.also:
        if math.isnan(one.estimate):
            rows.append((one.label, f"{DASH} {one.note}", "", ""))
            continue
        rows.append((one.label, effect.interval(one.estimate, one.lower, one.upper), p_value(one.p_value), one.note))
    told = "Relative chance: of publication, against the most significant results; P: of no selection."
    return "\n".join(
        [aligned(rows, right=(2,), flexible=(3, 1, 0)), *([paragraph(told, "  ")] if any("chance" in one.note for one in review.also) else [])]
    )


def _without_one(review: Review, effect: Effect) -> str:
    if not review.without_one:
        return ""
    rows = [("mean without", f"{effect.label} (95% CI)", "tau")]
    for study, one in zip(review.studies, review.without_one, strict=True):
        tau2 = float(one.tau2)
        rows.append((study.name, effect.interval(*_limits(one)), DASH if math.isnan(tau2) else fixed(math.sqrt(tau2), effect.places)))
    return aligned(rows, right=(2,), flexible=(0,))


def _notes(review: Review) -> list[str]:
    notes = [prediction_rule(review), *review.notes, _corrected(review.studies), _left_out(review)]
    return [note for note in notes if note]


def prediction_rule(review: Review) -> str:
    """How the interval for a new trial is made."""
    if not has_prediction(review):
        return ""
    k = len(review.studies)
    df = {"t_k_minus_1": k - 1, "t_k_minus_2": k - 2}.get(review.prediction, float(review.pooled.df))
    law = (
        "normal"
        if review.prediction == "normal" or not math.isfinite(df)
        else f"t with {plain(round(df, 1))} degree{'s' if df != 1 else ''} of freedom"
    )
    own = " and the standard error of the mean's interval" if review.prediction == "as_interval" and math.isfinite(df) else ""
    return f"PI: {law}{own}."


def _narrow(review: Review) -> str:
    """Hartung and Knapp's interval can be shorter than Wald's where trials agree by chance."""
    if review.ci != "hartung_knapp":
        return ""
    found = review.pooled
    if len(review.studies) < 2 or not float(found.std_error) > 0:
        return ""
    wald = 1 / math.sqrt(float((1 / (review.vi + float(found.tau2))).sum()))
    if float(found.upper - found.lower) >= 2 * Z95 * wald:
        return ""
    estimate = float(found.estimate)
    other = effect_of(review).limits(estimate - Z95 * wald, estimate + Z95 * wald)
    return f"The interval is shorter than Wald's ({other}), as trials agree more than chance lets expect; see --ci hartung_knapp_adhoc."


def _corrected(studies: Sequence[StudyRow]) -> str:
    added = [study.name for study in studies if any("added" in note for note in study.notes)]
    return f"Half an event was added to each cell, as one was 0: {', '.join(added)}." if added else ""


def _left_out(review: Review) -> str:
    """Rows that are not used, by reason."""
    if not review.left_out:
        return ""
    by_reason: dict[str, list[str]] = {}
    for one in review.left_out:
        by_reason.setdefault(one.reason, []).append(one.study)
    parts = [f"{len(names)} {reason} ({_some(names)})" for reason, names in by_reason.items()]
    return f"Left out: {'; '.join(parts)}."


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _count(n: int, what: str) -> str:
    return f"{whole(n)} {what}{'s' if n != 1 else ''}"
