"""Whether an analysis can be made of an endpoint as it is measured."""

from collections.abc import Iterator
from typing import Protocol

from simtrials.core.data import Scale
from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.outcomes import OUTCOMES
from simtrials.inference.analyses import Analysis


class Offered(Protocol):
    """What is known of a measured endpoint, declared or found in a file."""

    @property
    def visits(self) -> tuple[float, ...]:
        """Weeks after baseline."""

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Outcomes that can be read off it, the usual one first."""

    @property
    def has_baseline(self) -> bool:
        """Whether there is a reading before the treatment."""

    @property
    def symptom_scale(self) -> Scale | None:
        """The scale of its scores."""


def analysis_problems(place: str, analysis: Analysis, endpoint: Offered) -> Iterator[Problem]:
    """Everything that stands in the way of the analysis."""
    yield from _outcome_fits(place, analysis, endpoint)
    yield from _missing_fits(place, analysis, endpoint)
    visits = ", ".join(f"{week:g}" for week in endpoint.visits)
    if len(endpoint.visits) < analysis.needs_visits:
        sentence = f"{analysis.kind} needs at least {analysis.needs_visits} visits after baseline; {analysis.endpoint!r} has {visits}"
        yield Problem(f"{place}.endpoint", sentence)
    if analysis.week is not None and analysis.week not in endpoint.visits:
        yield Problem(f"{place}.week", f"{analysis.endpoint!r} has no visit at week {analysis.week:g}; visits are at {visits}")
    if "baseline" in analysis.covariate_names and not endpoint.has_baseline:
        yield Problem(f"{place}.covariates", f"{analysis.endpoint!r} has no baseline reading")


def _outcome_fits(place: str, analysis: Analysis, endpoint: Offered) -> Iterator[Problem]:
    known = endpoint.outcomes
    outcome = analysis.outcome or known[0]
    if outcome not in known:
        scale = endpoint.symptom_scale
        if outcome == "remission" and scale is not None:
            yield Problem(
                f"{place}.outcome", f"{scale.name} has no cut-off of remission; describe the scale with a remission_cut or choose another outcome"
            )
        else:
            yield Problem(f"{place}.outcome", f"{analysis.endpoint!r} has no outcome {outcome!r}{did_you_mean(outcome, known)}")
        return
    binary = OUTCOMES[outcome].binary
    if analysis.wants_binary is True and not binary:
        yes_no = [name for name in known if OUTCOMES[name].binary]
        advice = f"use {' or '.join(yes_no)}" if yes_no else "use t_test, ancova or mann_whitney"
        yield Problem(f"{place}.outcome", f"{analysis.kind} needs a yes-or-no outcome, {outcome!r} is a number; {advice}")
    if analysis.wants_binary is False and binary:
        yield Problem(f"{place}.outcome", f"{analysis.kind} needs a number, {outcome!r} is yes or no; use risk_difference, risk_ratio or logistic")
    if outcome == "sustained_response" and (analysis.week or endpoint.visits[-1]) == endpoint.visits[0]:
        yield Problem(f"{place}.week", "sustained response needs a visit before this one")


def _missing_fits(place: str, analysis: Analysis, endpoint: Offered) -> Iterator[Problem]:
    outcome = OUTCOMES.get(analysis.outcome or endpoint.outcomes[0])
    if analysis.missing == "non_response" and outcome is not None and not outcome.binary:
        sentence = f"non_response counts the missing as failures, which a number such as {outcome.name!r} has not; use excluded, locf or bocf"
        yield Problem(f"{place}.missing", sentence)
    if analysis.missing in ("locf", "bocf") and not endpoint.has_baseline:
        yield Problem(f"{place}.missing", f"{analysis.missing} carries scores of earlier visits forward; {analysis.endpoint!r} has no baseline")
    if analysis.imputes and not (endpoint.has_baseline or endpoint.outcomes[0] == "value"):
        yield Problem(f"{place}.endpoint", f"{analysis.kind} imputes scores; {analysis.endpoint!r} is yes or no; use missing = 'non_response'")
    if analysis.imputes and outcome is not None and outcome.visits > 1:
        yield Problem(f"{place}.outcome", f"{analysis.kind} imputes one visit at a time, and {outcome.name!r} looks at {outcome.visits}")
