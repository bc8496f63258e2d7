"""Checks across the parts of a trial. Each takes what it needs, so that it runs even when other parts are wrong."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.expressions import ExpressionError, parse
from simtrials.trial.assays import Assay
from simtrials.trial.departures import BaselineInflation, Departure, RaterNoise, Sites, Unblinding
from simtrials.trial.departures.base import WithHazard
from simtrials.trial.designs import Design
from simtrials.trial.eligibility import EligibilityRule, Limits
from simtrials.trial.endpoints import AdverseEvent, Endpoint, SymptomScale
from simtrials.trial.populations import Population, Resampled
from simtrials.trial.trial import EndpointCorrelation


class Draft:
    """The parts of a declaration that could be read, and the names of those that could not, which no check may call missing."""

    def __init__(self, parts: Mapping[str, Any], broken: Mapping[str, Collection[str]] | None = None) -> None:
        self.parts, self.broken = parts, broken or {}

    def has(self, *names: str) -> bool:
        """Whether all these parts could be read."""
        return all(name in self.parts for name in names)

    def lost(self, part: str, name: str) -> bool:
        """Whether the item was declared but could not be read."""
        return name in self.broken.get(part, ()) or "*" in self.broken.get(part, ())


def trial_problems(draft: Draft) -> Iterator[Problem]:
    """Everything that does not fit together in a trial."""
    if draft.has("design", "endpoints"):
        yield from _effects_name_arms(draft.parts["design"], draft.parts["endpoints"])
        yield from _visits_within_the_trial(draft.parts["design"], draft.parts["endpoints"])
    if draft.has("endpoints", "assays"):
        yield from _biomarkers_exist(draft, draft.parts["endpoints"], draft.parts["assays"])
    if draft.has("endpoints"):
        yield from _sizes_fit(draft.parts["endpoints"])
    if draft.has("endpoints", "correlations"):
        yield from _correlated_endpoints_exist(draft, draft.parts["endpoints"], draft.parts["correlations"])
    if draft.has("departures", "endpoints", "design"):
        yield from _departures_fit(draft, draft.parts["departures"], draft.parts["endpoints"], draft.parts["design"])
    if draft.has("eligibility", "assays", "endpoints"):
        yield from _rules_are_plausible(draft.parts["eligibility"], draft.parts["assays"], draft.parts["endpoints"])
        yield from _screening_readings_exist(draft, draft.parts["eligibility"], draft.parts["endpoints"])
    if draft.has("population", "assays"):
        yield from _jitter_keeps_biomarkers_positive(draft.parts["population"], draft.parts["assays"])
    if draft.has("design"):
        yield from _strata_can_be_read(draft.parts["design"])
    if draft.has("assays", "population") and draft.parts["population"] is None and draft.parts["assays"]:
        yield Problem("assays", "need a population that has the biomarker; declare [population]")


def _effects_name_arms(design: Design, endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    active = design.arms[1:]
    for name, endpoint in endpoints.items():
        declared = [("effects", arm) for arm in endpoint.effects]
        declared += [("arm_risk", arm) for arm in endpoint.arm_risk] if isinstance(endpoint, AdverseEvent) else []
        for field, arm in declared:
            if arm not in active:
                why = "is the control arm, which has no effect" if arm == design.arms[0] else f"no arm called {arm!r}{did_you_mean(arm, active)}"
                yield Problem(f"endpoints.{name}.{field}.{arm}", why)


def _visits_within_the_trial(design: Design, endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    if design.weeks is None:
        return
    for name, endpoint in endpoints.items():
        late = [week for week in endpoint.visits if week > design.weeks]
        if late:
            yield Problem(
                f"endpoints.{name}.weeks", f"visit at week {late[0]:g} is after the end, week {design.weeks:g}; drop it or raise design.weeks"
            )


def _biomarkers_exist(draft: Draft, endpoints: Mapping[str, Endpoint], assays: Mapping[str, Assay]) -> Iterator[Problem]:
    for name, endpoint in endpoints.items():
        for marker in endpoint.biomarkers:
            if marker is None and len(assays) != 1 and not draft.broken.get("assays"):
                what = "no assay is declared; add [assays.crp]" if not assays else f"say which biomarker it means: {', '.join(assays)}"
                yield Problem(f"endpoints.{name}.effects", f"the effect or prognosis depends on a biomarker, but {what}")
            elif marker is not None and marker not in assays and not draft.lost("assays", marker):
                yield Problem(f"endpoints.{name}.effects", f"no assay called {marker!r}{did_you_mean(marker, assays)}")


def _jitter_keeps_biomarkers_positive(population: Population | None, assays: Mapping[str, Assay]) -> Iterator[Problem]:
    if not isinstance(population, Resampled) or population.smoothing is None:
        return
    for name, assay in assays.items():
        if {assay.column, population.covariates.get(assay.column)} & set(population.smoothing.columns):
            column = population.covariates.get(assay.column, assay.column)
            sentence = f"the biomarker {name!r} must stay positive, so jitter its logarithm: write 'ln({column})', not {column!r}"
            yield Problem("population.smoothing.columns", sentence)


def _sizes_fit(endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    for name, endpoint in endpoints.items():
        for arm, effect in endpoint.effects.items():
            place = f"endpoints.{name}.effects.{arm}"
            if effect.size_name not in endpoint.sizes:
                yield Problem(f"{place}.{effect.size_name}", f"does not fit an endpoint of kind {endpoint.kind!r}; use {', '.join(endpoint.sizes)}")
                continue
            try:
                endpoint.size(effect, 1.0)
            except ValueError as error:
                yield Problem(place, str(error))


def _correlated_endpoints_exist(draft: Draft, endpoints: Mapping[str, Endpoint], correlations: tuple[EndpointCorrelation, ...]) -> Iterator[Problem]:
    seen: set[frozenset[str]] = set()
    for i, pair in enumerate(correlations):
        for name in pair.between:
            if name not in endpoints and not draft.lost("endpoints", name):
                yield Problem(f"correlations[{i}].between", f"no endpoint called {name!r}{did_you_mean(name, endpoints)}")
        if frozenset(pair.between) in seen:
            yield Problem(f"correlations[{i}].between", f"{' and '.join(pair.between)} were correlated before")
        seen.add(frozenset(pair.between))
        later = endpoints.get(pair.between[1])
        names = list(endpoints)
        if all(name in endpoints for name in pair.between):
            later = endpoints[max(pair.between, key=names.index)]
            if isinstance(later, SymptomScale) and later.screening is not None:
                first, second = sorted(pair.between, key=names.index)
                yield Problem(
                    f"endpoints.{second}.screening",
                    f"of two correlated endpoints only the first declared may have one; declare {second!r} before {first!r}",
                )


def _departures_fit(draft: Draft, departures: Mapping[str, Departure], endpoints: Mapping[str, Endpoint], design: Design) -> Iterator[Problem]:
    for name, departure in departures.items():
        place = f"departures.{name}"
        for endpoint in departure.endpoints:
            if endpoint not in endpoints and not draft.lost("endpoints", endpoint):
                yield Problem(place, f"no endpoint called {endpoint!r}{did_you_mean(endpoint, endpoints)}")
        if isinstance(departure, WithHazard):
            event = endpoints.get(departure.adverse_event or "")
            if event is not None and not isinstance(event, AdverseEvent):
                yield Problem(f"{place}.adverse_event", f"{departure.adverse_event!r} is no adverse event but an endpoint of kind {event.kind!r}")
            try:
                departure.rates(design.arms)
            except ValueError as error:
                yield Problem(f"{place}.rate", str(error))
        if isinstance(departure, Unblinding):
            yield from (
                Problem(f"{place}.share", f"no arm called {arm!r}{did_you_mean(arm, design.arms)}")
                for arm in departure.share
                if arm not in design.arms
            )
        if isinstance(departure, BaselineInflation | RaterNoise):
            rated = endpoints.get(departure.endpoint)
            if rated is not None and not isinstance(rated, SymptomScale):
                yield Problem(f"{place}.endpoint", f"needs a symptom scale, {departure.endpoint!r} is of kind {rated.kind!r}")
    sites = [name for name, departure in departures.items() if isinstance(departure, Sites)]
    if len(sites) > 1:
        yield Problem(f"departures.{sites[1]}", f"a trial has one set of sites, declared as {sites[0]!r}")


def _rules_are_plausible(rules: tuple[EligibilityRule, ...], assays: Mapping[str, Assay], endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    for i, rule in enumerate(rules):
        if not isinstance(rule, Limits):
            continue
        low, high, unit = 0.0, None, ""
        if rule.variable in assays:
            high, unit = assays[rule.variable].largest, assays[rule.variable].unit
        name, _, what = rule.variable.rpartition(".")
        scale = endpoints[name].symptom_scale if what == "screening" and name in endpoints else None
        if scale is not None:
            low, high, unit = scale.minimum, scale.maximum, "points"
        implausible = False
        for field in ("at_least", "at_most"):
            value = getattr(rule, field)
            if high is not None and value is not None and not low <= value <= high:
                implausible = True
                slip = f"; if you meant {value / 1000:g} {unit}, write {value / 1000}" if unit == "mg/L" and low < value / 1000 <= high else ""
                yield Problem(f"eligibility[{i}].{field}", f"must be in [{low:g}, {high:g}] {unit}, got {value:g}{slip}")
        if not implausible and rule.at_least is not None and rule.at_most is not None and rule.at_least > rule.at_most:
            yield Problem(f"eligibility[{i}]", f"at_least must not exceed at_most, got {rule.at_least:g} and {rule.at_most:g}")


def _screening_readings_exist(draft: Draft, rules: tuple[EligibilityRule, ...], endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    for i, rule in enumerate(rules):
        if not isinstance(rule, Limits) or not rule.variable.endswith(".screening"):
            continue
        name = rule.variable.removesuffix(".screening")
        endpoint = endpoints.get(name)
        if endpoint is None:
            if not draft.lost("endpoints", name):
                yield Problem(f"eligibility[{i}].variable", f"no endpoint called {name!r}{did_you_mean(name, endpoints)}")
        elif not isinstance(endpoint, SymptomScale) or endpoint.screening is None:
            yield Problem(
                f"eligibility[{i}].variable", f"{name!r} has no screening reading; declare screening = {{ correlation = 0.9 }} under endpoints.{name}"
            )


def _strata_can_be_read(design: Design) -> Iterator[Problem]:
    for i, text in enumerate(design.allocation.strata_expressions):
        try:
            parse(text)
        except ExpressionError as error:
            yield Problem(f"design.allocation.strata[{i}]", str(error))
