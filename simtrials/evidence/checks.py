"""Checks across the parts of a declaration of evidence. Each takes what it needs, so that it runs even when other parts are wrong."""

from collections.abc import Iterator, Mapping

from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.expressions import ExpressionError, parse
from simtrials.core.outcomes import OUTCOMES
from simtrials.evidence.fidelities.base import REPORTED, SUBGROUP
from simtrials.evidence.outcomes import ReviewedOutcome, TrueEffects
from simtrials.evidence.prepare import STUDY_COLUMNS
from simtrials.evidence.studies import Studies
from simtrials.evidence.studies.base import CRP_RULES
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
    if draft.has("endpoints", "outcomes", "syntheses"):
        fitting = {name: one for name, one in parts["outcomes"].items() if one.endpoint in parts["endpoints"]}
        measured = {name: one.measured(parts["endpoints"][one.endpoint]) for name, one in fitting.items()}
        for name, synthesis in parts["syntheses"].items():
            yield from synthesis.problems(f"syntheses.{name}", measured)
    if draft.has("endpoints", "true_effects"):
        yield from _law_fits(parts["true_effects"], parts["endpoints"], parts.get("studies"))
    if draft.has("assays", "studies", "extraction"):
        yield from _rules_have_a_biomarker(draft)
    if draft.has("fidelity", "practices", "extraction"):
        views = frozenset({REPORTED}.union(*(step.views for step in parts["extraction"])))
        yield from parts["fidelity"].problems(views, parts["practices"])


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
        if outcome.measure is not None and binary != (outcome.measure in ("RR", "OR", "RD", "AS")):
            fitting = "RR, OR, RD or AS" if binary else "SMD, MD, SMDH or SMD1"
            yield Problem(f"{place}.measure", f"{outcome.outcome_name(endpoint)} is {'yes or no' if binary else 'a number'}: use {fitting}")
        if outcome.missing == "non_response" and not binary:
            yield Problem(f"{place}.missing", "non_response is for outcomes that are yes or no; leave it out")
        yield from _variance_fits(place, outcome, binary)


def _variance_fits(place: str, outcome: ReviewedOutcome, binary: bool) -> Iterator[Problem]:
    from simtrials.stats.effect_sizes import VARIANCES

    measure = outcome.measure or ("RR" if binary else "SMD")
    allowed = VARIANCES.get(measure, ("LS",))
    if outcome.variance not in allowed:
        yield Problem(f"{place}.variance", f"{measure} has no variance called {outcome.variance!r}; known: {', '.join(allowed)}")


def _names_are_outcomes(draft: Draft, outcomes: tuple[str, ...]) -> Iterator[Problem]:
    """Studies, syntheses, publication and the rest name outcomes of the review."""
    parts = draft.parts

    def unknown(place: str, name: str | None) -> Iterator[Problem]:
        if name is not None and name not in outcomes and not draft.lost("outcomes", name):
            yield Problem(place, f"no outcome called {name!r}{did_you_mean(name, outcomes)}")

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


def _law_fits(law: TrueEffects, endpoints: Mapping[str, Endpoint], studies: Studies | None) -> Iterator[Problem]:
    tables = [("tau", law.tau)]
    tables += [(f"by_class.{name}", table) for name, table in law.by_class.items()]
    tables += [(f"inflation.{name}", table) for name, table in law.inflation.items()]
    for field, table in tables:
        for name in table:
            if name not in endpoints:
                yield Problem(f"true_effects.{field}", f"no endpoint called {name!r}{did_you_mean(name, endpoints)}")
            elif ARMS[1] not in endpoints[name].effects and table[name] != 0:
                yield Problem(f"true_effects.{field}.{name}", f"has nothing to act on: declare endpoints.{name}.effects.active")
    if studies is not None:
        for drug in law.by_class:
            if drug not in studies.drug_classes:
                yield Problem("true_effects.by_class", f"no study has the class {drug!r}{did_you_mean(drug, studies.drug_classes)}")
    try:
        law.factor(len(endpoints))
    except ValueError as error:
        yield Problem("true_effects.correlation", str(error))


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
