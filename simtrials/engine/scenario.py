"""A scenario: a trial, the analyses of it, and how often to simulate it."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from simtrials.core.check import Many, fault
from simtrials.core.data import EffectScale
from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.expressions import ExpressionError, parse
from simtrials.core.outcomes import OUTCOMES
from simtrials.engine.decision import Decision, Pilot, decision_problems
from simtrials.engine.declared import Declared, patterns_name, sources_name_fields
from simtrials.engine.enrollment import Enrollment, enrollment_problems
from simtrials.inference.analyses import ANALYSES, Analysis
from simtrials.inference.checks import analysis_problems
from simtrials.inference.estimands import SCALE_OF, TREATMENT_POLICY, Estimand, Target
from simtrials.trial.checks import Draft, called_by_the_assay, names_in, trial_problems
from simtrials.trial.departures import IntercurrentEvent
from simtrials.trial.endpoints import Endpoint
from simtrials.trial.logistics import Costs, Recruitment
from simtrials.trial.trial import Trial


class Scenario(Trial, Declared):
    """Everything that a simulation needs, as one frozen value."""

    estimands: dict[str, Estimand] = Field(default_factory=dict, description="questions that analyses answer, by name")
    analyses: dict[str, Annotated[Analysis, ANALYSES]] = Field(min_length=1, description="what is estimated and tested, by name")
    recruitment: Recruitment | None = Field(default=None, description="sites and how fast they screen; gives the months that a trial takes")
    costs: Costs | None = Field(default=None, description="prices; give what a trial costs")
    enrollment: Enrollment | None = Field(default=None, description="the question whom to enroll: values, shapes of the effect, designs")
    decision: Decision | None = Field(default=None, description="what follows the trial: go, consider or stop, by its estimate")
    pilot: Pilot | None = Field(default=None, description="a smaller trial before this one, which decides whether this one is run")
    null_grid: dict[str, Many[Any]] = Field(
        default_factory=dict, description="values at which the type I error is checked too, as 'path.of.field' = [values]; all combinations are run"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(scenario_problems(Draft({name: getattr(self, name) for name in type(self).model_fields})))
        if problems:
            raise fault("; ".join(str(problem) for problem in problems))
        return self

    @property
    def expressions(self) -> tuple[str, ...]:
        """Expressions over measured columns that the analyses need."""
        texts = [text for analysis in self.analyses.values() for text in analysis.expressions]
        texts += [estimand.population for estimand in self.estimands.values() if estimand.population]
        return tuple(text for text in dict.fromkeys(texts) if not _of_endpoints(text, self.endpoints))

    @property
    def intercurrent(self) -> tuple[str, ...]:
        """Names of the intercurrent events, in the order in which they happen."""
        return tuple(name for name, departure in self.departures.items() if isinstance(departure, IntercurrentEvent))

    def estimand_of(self, analysis: str) -> Estimand:
        """The estimand that an analysis serves."""
        name = self.analyses[analysis].estimand
        return TREATMENT_POLICY if name is None else self.estimands[name]

    def target_of(self, analysis: str) -> Target:
        """What the truth of an analysis is read off: the attributes of its estimand, and those of the analysis where the estimand is silent."""
        declared = self.analyses[analysis]
        endpoint = self.endpoints[declared.endpoint]
        outcome = declared.outcome or endpoint.outcomes[0]
        week = declared.week if declared.week is not None else endpoint.visits[-1]
        arm = declared.arm or self.design.arms[1]
        return Target.of(self.estimand_of(analysis), declared.endpoint, outcome, week, arm, declared.where, declared.scale_of_effect)

    def targets(self) -> dict[str, Target]:
        """Declared estimands that name their variable."""
        return {name: self._target(estimand, estimand.endpoint) for name, estimand in self.estimands.items() if estimand.endpoint is not None}

    def _target(self, estimand: Estimand, name: str) -> Target:
        endpoint = self.endpoints[name]
        outcome = estimand.outcome or endpoint.outcomes[0]
        scale: EffectScale = "risk_difference" if OUTCOMES[outcome].binary else "difference"
        return Target.of(estimand, name, outcome, endpoint.visits[-1], self.design.arms[1], None, scale)

    def null(self) -> "Scenario":
        """The same scenario when no arm differs from control in what happens to patients; how they are lost and measured stays as declared."""
        endpoints = {name: endpoint.without_effects() for name, endpoint in self.endpoints.items()}
        departures = {name: departure.without_effects(self.design.arms[0]) for name, departure in self.departures.items()}
        return self.model_copy(update={"endpoints": endpoints, "departures": departures})


def _of_endpoints(text: str, endpoints: Mapping[str, Endpoint]) -> bool:
    """Whether an expression names readings of endpoints only, such as 'shaps.baseline'."""
    names = parse(text).names
    return bool(names) and all(name.rpartition(".")[0] in endpoints for name in names)


def scenario_problems(draft: Draft) -> Iterator[Problem]:
    """Everything that does not fit together in a scenario."""
    yield from _names_can_be_used(draft)
    yield from trial_problems(draft)
    if draft.has("estimands", "departures"):
        yield from _estimands_name_events(draft)
    if draft.has("estimands", "endpoints", "design"):
        yield from _estimands_name_variables(draft)
    if draft.has("analyses", "endpoints"):
        for name, analysis in draft.parts["analyses"].items():
            yield from _analysis_fits(draft, name, analysis)
    if draft.has("analyses"):
        yield from patterns_name(draft, "analyses", "analysis")
        yield from decision_problems(draft)
    yield from enrollment_problems(draft)
    yield from sources_name_fields(draft, Trial.model_fields)
    costs = draft.parts.get("costs")
    if costs is not None and draft.has("recruitment") and draft.parts["recruitment"] is None:
        for field in ("per_site", "per_month"):
            if getattr(costs, field) > 0:
                yield Problem(f"costs.{field}", "needs sites and months: declare [recruitment] with sites and screened_per_site_month")
    for path, values in draft.parts.get("null_grid", {}).items():
        if not values:
            yield Problem(f"null_grid.{path!r}", "needs at least one value")


def _names_can_be_used(draft: Draft) -> Iterator[Problem]:
    """Names stand in formulas, in columns of results and in files."""
    for part in ("assays", "endpoints", "departures", "estimands", "analyses", "patterns"):
        in_formulas = part in ("assays", "endpoints")
        pattern = r"[A-Za-z_]\w*" if in_formulas else r"[^\s/\\\x00-\x1f]([^/\\\x00-\x1f]*[^\s/\\\x00-\x1f])?"
        must = "must have letters, digits and '_' only, for it stands in formulas" if in_formulas else "must not be empty or have slashes"
        for name in draft.parts.get(part, {}):
            if not re.fullmatch(pattern, name, re.ASCII):
                yield Problem(f"{part}.{name!r}", f"a name {must}")


def _analysis_fits(draft: Draft, name: str, analysis: Analysis) -> Iterator[Problem]:
    place, endpoints = f"analyses.{name}", draft.parts["endpoints"]
    endpoint = endpoints.get(analysis.endpoint)
    yield from _expressions_can_be_read(place, analysis)
    assays = {assay.column: key for key, assay in draft.parts.get("assays", {}).items() if assay.column != key}
    for column in sorted(assays.keys() & {used for text in analysis.expressions for used in names_in(text)}):
        yield Problem(place, called_by_the_assay(column, assays))
    if draft.has("design") and analysis.arm is not None and analysis.arm not in draft.parts["design"].arms[1:]:
        yield Problem(f"{place}.arm", f"no active arm called {analysis.arm!r}{did_you_mean(analysis.arm, draft.parts['design'].arms[1:])}")
    yield from _estimand_fits(draft, place, analysis)
    if endpoint is None:
        if not draft.lost("endpoints", analysis.endpoint):
            yield Problem(f"{place}.endpoint", f"no endpoint called {analysis.endpoint!r}{did_you_mean(analysis.endpoint, endpoints)}")
        return
    yield from analysis_problems(place, analysis, endpoint)


def _estimand_fits(draft: Draft, place: str, analysis: Analysis) -> Iterator[Problem]:
    if not draft.has("estimands", "departures", "endpoints") or analysis.estimand is None:
        return
    estimands, departures = draft.parts["estimands"], draft.parts["departures"]
    if analysis.estimand not in estimands:
        if not draft.lost("estimands", analysis.estimand):
            yield Problem(f"{place}.estimand", f"no estimand called {analysis.estimand!r}{did_you_mean(analysis.estimand, estimands)}")
        return
    events = tuple(name for name, departure in departures.items() if isinstance(departure, IntercurrentEvent))
    estimand = estimands[analysis.estimand]
    composite = estimand.events_with("composite", events)
    endpoint = draft.parts["endpoints"].get(analysis.endpoint)
    if composite and endpoint is not None:
        outcome = analysis.outcome or endpoint.outcomes[0]
        if outcome in OUTCOMES and not OUTCOMES[outcome].binary:
            sentence = f"makes {composite[0]!r} a failure, which a number such as {outcome!r} cannot be; analyse response or remission"
            yield Problem(f"{place}.estimand", sentence)
    if estimand.summary is not None and SCALE_OF[estimand.summary] != analysis.scale_of_effect:
        asked, given = estimand.summary.replace("_", " "), analysis.scale_of_effect.replace("_", " ")
        yield Problem(f"{place}.estimand", f"asks for a {asked}, which {analysis.kind} does not estimate: it gives a {given}")


def _estimands_name_variables(draft: Draft) -> Iterator[Problem]:
    endpoints, arms = draft.parts["endpoints"], draft.parts["design"].arms
    for name, estimand in draft.parts["estimands"].items():
        place = f"estimands.{name}"
        if estimand.arm is not None and estimand.arm not in arms[1:]:
            yield Problem(f"{place}.arm", f"no active arm called {estimand.arm!r}{did_you_mean(estimand.arm, arms[1:])}")
        if estimand.population is not None:
            try:
                parse(estimand.population)
            except ExpressionError as error:
                yield Problem(f"{place}.population", str(error))
        endpoint = endpoints.get(estimand.endpoint)
        if estimand.endpoint is None:
            lost = [field for field in ("outcome", "week") if getattr(estimand, field) is not None]
            if lost:
                yield Problem(f"{place}.endpoint", f"is needed with {lost[0]}; endpoints are {', '.join(endpoints)}")
        elif endpoint is None:
            if not draft.lost("endpoints", estimand.endpoint):
                yield Problem(f"{place}.endpoint", f"no endpoint called {estimand.endpoint!r}{did_you_mean(estimand.endpoint, endpoints)}")
        else:
            yield from _variable_fits(place, estimand, endpoint)


def _variable_fits(place: str, estimand: Estimand, endpoint: Endpoint) -> Iterator[Problem]:
    outcome = estimand.outcome or endpoint.outcomes[0]
    if outcome not in endpoint.outcomes:
        yield Problem(f"{place}.outcome", f"{estimand.endpoint!r} has no outcome {outcome!r}{did_you_mean(outcome, endpoint.outcomes)}")
    elif estimand.summary is not None and OUTCOMES[outcome].binary == (estimand.summary == "difference_in_means"):
        fitting = "risk_difference, risk_ratio or odds_ratio" if OUTCOMES[outcome].binary else "difference_in_means"
        yield Problem(f"{place}.summary", f"does not fit {outcome!r}; use {fitting}")
    if estimand.week is not None and estimand.week not in endpoint.visits:
        visits = ", ".join(f"{week:g}" for week in endpoint.visits)
        yield Problem(f"{place}.week", f"{estimand.endpoint!r} has no visit at week {estimand.week:g}; visits are at {visits}")


def _estimands_name_events(draft: Draft) -> Iterator[Problem]:
    departures = draft.parts["departures"]
    events = [name for name, departure in departures.items() if isinstance(departure, IntercurrentEvent)]
    for name, estimand in draft.parts["estimands"].items():
        for event in estimand.events:
            if event not in events and not draft.lost("departures", event):
                yield Problem(f"estimands.{name}.events", f"no intercurrent event called {event!r}{did_you_mean(event, events)}")


def _expressions_can_be_read(place: str, analysis: Analysis) -> Iterator[Problem]:
    for text in dict.fromkeys((*analysis.expressions, *analysis.covariate_names)):
        try:
            if not parse(text).names:
                yield Problem(place, f"{text!r} names nothing that is measured; write for instance 'ln(crp)' or 'crp >= 3'")
        except ExpressionError as error:
            yield Problem(place, str(error))
