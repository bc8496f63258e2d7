"""Checks across the parts of a trial. Each takes what it needs, so that it runs even when other parts are wrong."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.expressions import ExpressionError, parse
from simtrials.trial.assays import Assay
from simtrials.trial.departures import BaselineInflation, Departure, RaterNoise, Sites, Unblinding
from simtrials.trial.departures.base import WithHazard
from simtrials.trial.designs import Design
from simtrials.trial.eligibility import EligibilityRule, Limits, OtherReasons
from simtrials.trial.endpoints import AdverseEvent, Continuous, Endpoint, SymptomScale
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
    if draft.has("eligibility"):
        yield from _rules_have_names_of_their_own(draft.parts["eligibility"])
    if draft.has("eligibility", "assays"):
        yield from _limits_can_be_told(draft.parts["eligibility"], draft.parts["assays"])
    if draft.has("endpoints", "assays"):
        yield from _biomarker_values_are_plausible(draft.parts["endpoints"], draft.parts["assays"])
    if draft.has("assays"):
        yield from _measured_values_are_called_by_the_assay(draft)
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
        declared += [("arm_sd", arm) for arm in endpoint.arm_sd] if isinstance(endpoint, Continuous) else []
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
            fields = type(endpoint).model_fields
            field = next(field for field in ("weeks", "week", "exposure_weeks") if field in fields)
            yield Problem(
                f"endpoints.{name}.{field}", f"visit at week {late[0]:g} is after the end, week {design.weeks:g}; drop it or raise design.weeks"
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


def _rules_have_names_of_their_own(rules: tuple[EligibilityRule, ...]) -> Iterator[Problem]:
    labels = [rule.label for rule in rules]
    for i, label in enumerate(labels):
        first = labels.index(label)
        if first < i:
            remedy = "give it a name of its own" if isinstance(rules[i], OtherReasons) else "drop one of them"
            yield Problem(f"eligibility[{i}]", f"is called {label!r} as eligibility[{first}] is; {remedy}")


def _limits_can_be_told(rules: tuple[EligibilityRule, ...], assays: Mapping[str, Assay]) -> Iterator[Problem]:
    """A sample below the limit of detection is only known to be below it."""
    for i, rule in enumerate(rules):
        assay = assays.get(rule.variable) if isinstance(rule, Limits) else None
        limit = getattr(assay, "limit_of_detection", 0.0)
        for field in ("at_least", "at_most"):
            value = getattr(rule, field, None)
            if assay is not None and value is not None and 0 < value < limit:
                sentence = f"the assay cannot tell values below its limit of detection, {limit:g} {assay.unit}, got {value:g}; raise it to {limit:g}"
                yield Problem(f"eligibility[{i}].{field}", sentence)


def _biomarker_values_are_plausible(endpoints: Mapping[str, Endpoint], assays: Mapping[str, Assay]) -> Iterator[Problem]:
    for name, endpoint in endpoints.items():
        for arm, effect in endpoint.effects.items():
            assay = assays.get(effect.biomarker or next(iter(assays), ""))
            for field in ("cut", "zero_at", "half_at", "full_at"):
                value = getattr(effect, field, None)
                if assay is not None and value is not None and value > assay.largest:
                    yield Problem(f"endpoints.{name}.effects.{arm}.{field}", _beyond(value, 0.0, assay.largest, assay.unit))


def _beyond(value: float, low: float, high: float, unit: str) -> str:
    """What must hold, what was found, and the slip of unit that may be behind it."""
    slip = f"; if you meant {value / 1000:g} {unit}, write {value / 1000}" if unit == "mg/L" and low < value / 1000 <= high else ""
    return f"must be in [{low:g}, {high:g}] {unit}, got {value:g}{slip}"


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
                yield Problem(f"eligibility[{i}].{field}", _beyond(value, low, high, unit))
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


def _measured_values_are_called_by_the_assay(draft: Draft) -> Iterator[Problem]:
    """The column that an assay starts from belongs to the patient; rules and strata see what was measured."""
    columns = {assay.column: name for name, assay in draft.parts["assays"].items() if assay.column != name}
    for i, rule in enumerate(draft.parts.get("eligibility", ())):
        if isinstance(rule, Limits) and rule.variable in columns:
            yield Problem(f"eligibility[{i}].variable", called_by_the_assay(rule.variable, columns))
    design = draft.parts.get("design")
    for i, text in enumerate(design.allocation.strata_expressions if design is not None else ()):
        for name in sorted(names_in(text) & columns.keys()):
            yield Problem(f"design.allocation.strata[{i}]", called_by_the_assay(name, columns))


def called_by_the_assay(column: str, assays: Mapping[str, str]) -> str:
    """Why a column cannot be named, and the assay that can."""
    return (
        f"{column!r} is what the assay {assays[column]!r} is made from, which nobody sees in a trial; write {assays[column]!r} for what is measured"
    )


def names_in(text: str) -> frozenset[str]:
    """Names in a formula; none where it cannot be read."""
    try:
        return parse(text).names
    except ExpressionError:
        return frozenset()


def _strata_can_be_read(design: Design) -> Iterator[Problem]:
    for i, text in enumerate(design.allocation.strata_expressions):
        try:
            if not parse(text).names:
                yield Problem(f"design.allocation.strata[{i}]", f"{text!r} names nothing that is measured; write for instance 'crp >= 3'")
        except ExpressionError as error:
            yield Problem(f"design.allocation.strata[{i}]", str(error))
