"""What the terminal shows of the analyses of a real trial. Plain text, 80 columns."""

import math

from simtrials.core.data import EffectScale
from simtrials.engine.real_trial.outcome import Finding, TrialAnalysis
from simtrials.report.names import patients_in_words, spoken
from simtrials.report.numbers import DASH, fixed, plain, whole
from simtrials.report.text import aligned, paragraph

RATIOS: dict[EffectScale, str] = {
    "log_risk_ratio": "risk ratio",
    "log_odds_ratio": "odds ratio",
    "log_hazard_ratio": "hazard ratio",
    "log_win_ratio": "win ratio",
    "log_win_odds": "win odds",
}
"""Effects that are estimated as logarithms and shown as ratios."""
NAMES: dict[EffectScale, str] = {
    "difference": "difference",
    "risk_difference": "risk difference",
    "net_benefit": "net benefit",
    "weeks": "weeks",
    "difference_per_week": "per week",
    "slope": "slope",
    "probability_index": "probability of a better outcome, less 0.5",
}


def summary(found: TrialAnalysis) -> str:
    """Who was analysed, and a row for every analysis."""
    trial, measured = found.trial, found.trial.measured
    enrolled = trial.data.arm >= 0
    sizes = ", ".join(f"{arm} {int((trial.data.arm == code).sum())}" for code, arm in enumerate(trial.data.arms))
    seen, due = int(measured.observed[enrolled].sum()), int(enrolled.sum()) * len(measured.weeks)
    weeks = ", ".join(plain(week) for week in measured.weeks)
    head = f"{trial.source}: {whole(int(enrolled.sum()))} patients ({sizes}); {trial.name} at weeks {weeks}, {whole(seen)} of {whole(due)} readings"
    lines: list[tuple[str, ...]] = [("analysis", "n", "estimate (95% CI)", "SE", "df", "P")]
    for outcome, week in dict.fromkeys((finding.outcome, finding.week) for finding in found.findings):
        lines.append((f"{spoken(outcome)}, week {plain(week)}", *[""] * 5))
        lines += [_row(finding) for finding in found.findings if (finding.outcome, finding.week) == (outcome, week)]
    notes = [_levels(found), _direction(found), *_reasons(found)]
    notes += [f"Left out: {', '.join(f'{whole(n)} {what}' for what, n in trial.counts.items())}." if trial.counts else ""]
    return "\n".join([paragraph(head), aligned(lines, right=(3, 4, 5), flexible=(0,)), *(paragraph(note, "  ") for note in notes if note)])


def _row(finding: Finding) -> tuple[str, ...]:
    parts = [finding.method, *([finding.where] if finding.where else []), *patients_in_words(finding.analysis_set, finding.missing)]
    effect = effect_name(finding.effect)
    told = finding.effect == "difference" or effect in finding.method
    start = (f"  {', '.join(parts)}{'' if told else f' ({effect})'}", f"{finding.n_active}+{finding.n_control}")
    if finding.estimate is None:
        return (*start, DASH, DASH, DASH, DASH)
    return (
        *start,
        _interval(finding),
        _figure(finding.std_error, finding, log=finding.effect in RATIOS),
        DASH if finding.df is None else fixed(finding.df, 1),
        p_value(finding.p_value) if finding.p_value is not None else finding.shows,
    )


def effect_name(scale: EffectScale) -> str:
    """What an effect is called: `risk ratio`."""
    return RATIOS.get(scale) or NAMES[scale]


def _interval(finding: Finding) -> str:
    shown = _figure(finding.estimate, finding)
    if finding.lower is None and finding.upper is None:
        return shown
    return f"{shown} ({_figure(finding.lower, finding)} to {_figure(finding.upper, finding)})"


def _figure(value: float | None, finding: Finding, log: bool = False) -> str:
    """A ratio with two decimals; a difference with the digits that its standard error allows, and one more."""
    if value is None:
        return DASH
    if finding.effect in RATIOS:
        return fixed(value if log else math.exp(value), 2)
    error = finding.std_error or 1.0
    return fixed(value, min(max(1 - math.floor(math.log10(error)), 0), 6))


def p_value(value: float) -> str:
    """`.03`, `.004`, `<.001`, without the P."""
    if value < 0.001:
        return "<.001"
    places = 3 if value < 0.01 or 0.045 <= value < 0.055 else 2
    text = fixed(value, places)
    return ">.99" if float(text) >= 1.0 else text.removeprefix("0")


def _levels(found: TrialAnalysis) -> str:
    levels = sorted({finding.level for finding in found.findings})
    other = [plain(round(100 * level, 6)) for level in levels if abs(level - 0.95) > 1e-12]
    return f"Intervals of {', '.join(other)}% where another level than 5% was asked for." if other else ""


def _direction(found: TrialAnalysis) -> str:
    arms = found.trial.data.arms
    active = arms[1] if len(arms) == 2 else "the active arm"
    better = "lower" if found.trial.measured.improves == "down" else "higher"
    ratios = any(finding.effect in RATIOS for finding in found.findings)
    more = "; a ratio above 1 means more events or wins under it. SE of ratios: of their logarithms" if ratios else ""
    return f"A positive difference favors {active}; {better} scores are better{more}. n: {active} and {arms[0]}, with the outcome."


def _reasons(found: TrialAnalysis) -> list[str]:
    failed = [f"{finding.analysis}: not estimable, {finding.status}." for finding in found.findings if finding.status]
    return failed + [f"{finding.analysis}: {flag}." for finding in found.findings for flag in finding.flags]
