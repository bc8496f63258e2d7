"""Checks across the parts of a declaration of evidence. Each takes what it needs, so that it runs even when other parts are wrong."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.expressions import ExpressionError, parse
from simtrials.core.outcomes import OUTCOMES
from simtrials.core.rng import Purpose, Streams
from simtrials.evidence.extraction import ExtractionStep
from simtrials.evidence.fidelities.base import EARLIER, REPORTED, SUBGROUP
from simtrials.evidence.outcomes import OF_COUNTS, OF_MEANS, ReviewedOutcome, TrueEffects
from simtrials.evidence.prepare import STUDY_COLUMNS, fitting
from simtrials.evidence.reporting import OutcomeSelection
from simtrials.evidence.studies import Listed, Studies
from simtrials.evidence.studies.base import CRP_RULES
from simtrials.evidence.syntheses import Synthesis
from simtrials.evidence.table import Measured
from simtrials.evidence.template import ARMS, SELECTING, effect_problems
from simtrials.trial.allocations import Complete
from simtrials.trial.checks import Draft, trial_problems
from simtrials.trial.designs import Fixed
from simtrials.trial.endpoints import Endpoint


def evidence_problems(draft: Draft) -> Iterator[Problem]:
    """Everything that does not fit together."""
    parts = draft.parts
    design = Fixed(arms=ARMS, n_patients=2, allocation=Complete())
    yield from trial_problems(Draft({**parts, "design": design}, draft.broken))
    if draft.has("endpoints", "studies"):
        yield from effect_problems(parts["endpoints"], len({variety.crp_rule for variety in parts["studies"].varieties}))
    if draft.has("endpoints", "outcomes"):
        yield from _outcomes_can_be_read(draft, parts["outcomes"], parts["endpoints"])
    if draft.has("outcomes"):
        yield from _names_are_outcomes(draft, tuple(parts["outcomes"]))
    if draft.has("endpoints", "outcomes"):
        measured = _measured(parts["outcomes"], parts["endpoints"])
        for name, synthesis in parts.get("syntheses", {}).items():
            yield from synthesis.problems(f"syntheses.{name}", measured)
        if draft.has("reporting"):
            yield from _chosen_outcomes_are_alike(parts["reporting"].outcomes, measured)
    if draft.has("endpoints", "true_effects"):
        yield from _law_fits(draft, parts["true_effects"], parts["endpoints"])
    if draft.has("studies", "endpoints"):
        yield from _endpoints_reach_every_end(parts["studies"], parts["endpoints"])
    if draft.has("studies", "outcomes", "syntheses"):
        yield from _syntheses_find_studies(parts["studies"], tuple(parts["outcomes"]), parts["syntheses"])
    if draft.has("assays", "studies", "extraction"):
        yield from _rules_have_a_biomarker(draft)
    if draft.has("assays", "studies") and parts["assays"]:
        for place in parts["studies"].unbalanced_strata():
            yield Problem(place, "a stratified study allocates 1:1 in every stratum; give both arms the same number of patients")
    if draft.has("extraction"):
        yield from _steps_are_in_order(parts["extraction"])
    if draft.has("fidelity", "practices", "extraction", "departures"):
        views = frozenset({REPORTED}.union(*(step.views for step in parts["extraction"])))
        yield from parts["fidelity"].problems(views, parts["practices"], parts["departures"])
        if EARLIER in views and draft.has("outcomes", "endpoints", "studies"):
            yield from _a_visit_comes_before(draft, parts["outcomes"], parts["endpoints"])


def _measured(outcomes: Mapping[str, ReviewedOutcome], endpoints: Mapping[str, Endpoint]) -> dict[str, Measured]:
    """How those outcomes are compared that can be read."""
    found = {}
    for name, one in outcomes.items():
        endpoint = endpoints.get(one.endpoint)
        if endpoint is not None and (one.outcome is None or one.outcome in endpoint.outcomes):
            found[name] = one.measured(endpoint)
    return found


def _outcomes_can_be_read(draft: Draft, outcomes: Mapping[str, ReviewedOutcome], endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    for name, outcome in outcomes.items():
        place = f"outcomes.{name}"
        if outcome.endpoint not in endpoints:
            if not draft.lost("endpoints", outcome.endpoint):
                yield Problem(f"{place}.endpoint", f"no endpoint called {outcome.endpoint!r}{did_you_mean(outcome.endpoint, endpoints)}")
            continue
        endpoint = endpoints[outcome.endpoint]
        if outcome.outcome is not None and outcome.outcome not in endpoint.outcomes:
            yield Problem(f"{place}.outcome", f"{outcome.endpoint!r} has no {outcome.outcome!r}{did_you_mean(outcome.outcome, endpoint.outcomes)}")
            continue
        binary = OUTCOMES[outcome.outcome_name(endpoint)].binary
        if outcome.measure is not None and binary != (outcome.measure in OF_COUNTS):
            known = ", ".join(OF_COUNTS if binary else OF_MEANS)
            yield Problem(f"{place}.measure", f"{outcome.outcome_name(endpoint)} is {'yes or no' if binary else 'a number'}: use one of {known}")
        if outcome.missing == "non_response" and not binary:
            yield Problem(f"{place}.missing", "non_response is for outcomes that are yes or no; leave it out")
        yield from _variance_fits(place, outcome, binary)
        yield from _options_are_of_use(place, outcome, binary)


def _options_are_of_use(place: str, outcome: ReviewedOutcome, binary: bool) -> Iterator[Problem]:
    """No option is accepted that changes nothing."""
    idle = ["correction"] if binary or outcome.measure == "MD" else []
    idle += [] if binary else ["add", "zero_cells", "drop_double_zero"]
    for name in idle:
        if getattr(outcome, name) != type(outcome).model_fields[name].default:
            what = "of standardized mean differences" if name == "correction" else "of outcomes that are yes or no"
            yield Problem(f"{place}.{name}", f"is a matter {what}; leave it out")


def _variance_fits(place: str, outcome: ReviewedOutcome, binary: bool) -> Iterator[Problem]:
    from simtrials.stats.effect_sizes import VARIANCES

    measure = outcome.measure or ("RR" if binary else "SMD")
    allowed = VARIANCES.get(measure, ("LS",))
    if outcome.variance not in allowed:
        yield Problem(f"{place}.variance", f"{measure} has no variance called {outcome.variance!r}; known: {', '.join(allowed)}")


def _names_are_outcomes(draft: Draft, readable: tuple[str, ...]) -> Iterator[Problem]:
    """Studies, syntheses, publication and the rest name outcomes of the review."""
    parts, lost = draft.parts, tuple(draft.broken.get("outcomes", ()))
    if "*" in lost:
        return
    outcomes = readable + lost

    def unknown(place: str, name: str | None) -> Iterator[Problem]:
        if name is not None and name not in outcomes:
            yield Problem(place, f"no outcome called {name!r}{did_you_mean(name, readable)}")

    if draft.has("studies"):
        yield from parts["studies"].problems(outcomes)
    for name, synthesis in parts.get("syntheses", {}).items():
        yield from unknown(f"syntheses.{name}.outcome", synthesis.outcome)
        if synthesis.where is not None:
            yield from _condition(f"syntheses.{name}.where", synthesis.where)
    if draft.has("reporting"):
        for i, publication in enumerate(parts["reporting"].publication):
            yield from publication.problems(f"reporting.publication[{i}]", outcomes)
        for i, selection in enumerate(parts["reporting"].outcomes):
            for name in (selection.reported, *selection.among):
                yield from unknown(f"reporting.outcomes[{i}]", name)
    for i, practice in enumerate(parts.get("practices", ())):
        yield from unknown(f"practices[{i}].outcome", practice.outcome)
    for i, step in enumerate(parts.get("extraction", ())):
        yield from step.problems(f"extraction[{i}]", outcomes)


def _condition(place: str, text: str) -> Iterator[Problem]:
    try:
        names = parse(text).names
    except ExpressionError as error:
        yield Problem(place, str(error))
        return
    for name in sorted(names - set(STUDY_COLUMNS)):
        yield Problem(place, f"nothing called {name!r} is known of a study{did_you_mean(name, STUDY_COLUMNS)}")


def _law_fits(draft: Draft, law: TrueEffects, endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    tables = [("tau", law.tau)]
    tables += [(f"by_class.{name}", table) for name, table in law.by_class.items()]
    tables += [(f"inflation.{name}", table) for name, table in law.inflation.items()]
    for field, table in tables:
        for name in table:
            if name not in endpoints:
                if not draft.lost("endpoints", name):
                    yield Problem(f"true_effects.{field}", f"no endpoint called {name!r}{did_you_mean(name, endpoints)}")
            elif ARMS[1] not in endpoints[name].effects and table[name] != 0:
                yield Problem(f"true_effects.{field}.{name}", f"has nothing to act on: declare endpoints.{name}.effects.active")
    if draft.has("studies"):
        classes = draft.parts["studies"].drug_classes
        for drug in law.by_class:
            if drug not in classes:
                yield Problem("true_effects.by_class", f"no study has the class {drug!r}{did_you_mean(drug, classes)}")
    try:
        law.factor(len(endpoints))
    except ValueError as error:
        yield Problem("true_effects.correlation", str(error))


def _chosen_outcomes_are_alike(selections: tuple[OutcomeSelection, ...], measured: Mapping[str, Measured]) -> Iterator[Problem]:
    """What is reported under one name must mean the same."""
    for i, selection in enumerate(selections):
        for name in selection.among:
            if name in measured and selection.reported in measured:
                one, other = measured[name], measured[selection.reported]
                if (one.measure, one.binary, one.sign) != (other.measure, other.binary, other.sign):
                    sentence = (
                        f"{name!r} is compared by {one.measure} and {selection.reported!r} by {other.measure}, or their benefits differ in direction"
                    )
                    yield Problem(f"reporting.outcomes[{i}].among", f"{sentence}; list outcomes of one kind")


def _endpoints_reach_every_end(studies: Studies, endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    for place, week in studies.ends():
        for name, endpoint in endpoints.items():
            try:
                endpoint.ending_at(week, every_visit=True)
            except ValueError as error:
                yield Problem(place, f"a study ends at week {week:g}, and endpoints.{name} {error}")


def _syntheses_find_studies(studies: Studies, outcomes: tuple[str, ...], syntheses: Mapping[str, Synthesis]) -> Iterator[Problem]:
    """Each is about some of the studies, where these are listed; studies that are drawn may be of a rare kind."""
    plans = [studies.plans(place, Streams(0, Purpose.TRUTH, place), 1, outcomes) for place in range(studies.n_places)]
    for name, synthesis in syntheses.items():
        if synthesis.outcome not in outcomes:
            continue
        try:
            about = [fitting(studies, synthesis.outcome, synthesis.where, one, np.array([place])) for place, one in enumerate(plans)]
        except ExpressionError as error:
            if synthesis.where is not None and parse(synthesis.where).names <= set(STUDY_COLUMNS):
                yield Problem(f"syntheses.{name}.where", str(error))
            continue
        if isinstance(studies, Listed) and not np.any(about):
            field, what = ("outcome", "measures it") if synthesis.where is None else ("where", f"measures {synthesis.outcome} and meets it")
            yield Problem(f"syntheses.{name}.{field}", f"no study {what}; look at the studies, or leave the synthesis out")


def _steps_are_in_order(steps: tuple[ExtractionStep, ...]) -> Iterator[Problem]:
    """A step that comes later must not undo what an earlier one did."""
    for i, (before, step) in enumerate(pairwise(steps), start=1):
        if step.stage < before.stage:
            yield Problem(f"extraction[{i}]", f"{step.kind!r} comes before {before.kind!r}; declare it first")


def _a_visit_comes_before(draft: Draft, outcomes: Mapping[str, ReviewedOutcome], endpoints: Mapping[str, Endpoint]) -> Iterator[Problem]:
    ends = [week for _, week in draft.parts["studies"].ends()]
    weeks = [getattr(endpoints[one.endpoint], "weeks", ()) for one in outcomes.values() if one.endpoint in endpoints]
    visits = [sum(week <= end for week in visits) for visits in weeks for end in ends]
    if visits and max(visits) < 2 and not draft.broken.get("endpoints"):
        yield Problem("extraction", "wrong_time_point reads the visit before the last, and no study has one; leave it out, or declare visits")


def _rules_have_a_biomarker(draft: Draft) -> Iterator[Problem]:
    """Without an assay a rule of a study is a label; that is right unless something depends on the biomarker."""
    assays, studies = draft.parts["assays"], draft.parts["studies"]
    needs = any(SUBGROUP in step.views for step in draft.parts["extraction"])
    if needs and not assays and not draft.broken.get("assays"):
        yield Problem("extraction", "a subgroup is told by a biomarker, and no assay is declared; add [assays.crp]")
    biomarker = draft.parts.get("biomarker")
    if biomarker is not None and biomarker not in assays and not draft.lost("assays", biomarker):
        yield Problem("biomarker", f"no assay called {biomarker!r}{did_you_mean(biomarker, assays)}")
    rules = {variety.crp_rule for variety in studies.varieties}
    if needs and assays and not rules - set(SELECTING):
        yield Problem("extraction", f"no study is unselected or stratified, so there is no subgroup to extract; known rules: {', '.join(CRP_RULES)}")
