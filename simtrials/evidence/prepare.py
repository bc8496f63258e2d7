"""Work that is done once per scenario: trials of every variety prepared, true effects turned into the unit of every outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.data import Table
from simtrials.core.expressions import Category, Column, parse
from simtrials.core.rng import Purpose, Streams
from simtrials.evidence.evidence import Evidence
from simtrials.evidence.fidelities.base import REPORTED, SUBGROUP, Maker, Plan
from simtrials.evidence.studies import Plans, Studies
from simtrials.evidence.studies.base import CRP_RULES, FUNDERS, RISKS
from simtrials.evidence.table import Measured, Question

STUDY_COLUMNS = ("weeks", "n", "n_active", "n_control", "drug_class", "role", "crp_rule", "risk_of_bias", "funder", "further")
"""What is known of a study, for conditions and moderators."""
LAW_SIZE, LEAST_SIZE = 65_536, 256
"""Studies over all places, and per place, from which the mean of true effects is worked out, antithetic: a symmetric law has its exact mean."""
KEPT = 16_384
"""Of these so many are kept, from which one more study is drawn."""


class Law(NamedTuple):
    """Mean and variance of true effects in the unit of a measure, the standard error of the mean, and plans of studies of this kind; None where
    there are none."""

    mean: float
    variance: float
    error: float
    plans: Plans | None


@dataclass(frozen=True, slots=True)
class PreparedEvidence:
    """Evidence ready to be simulated."""

    evidence: Evidence
    plan: Plan
    maker: Maker
    endpoints: tuple[str, ...]
    factor: FloatArray
    means: FloatArray
    taus: FloatArray
    added: FloatArray
    seed: int
    _laws: dict[Question, Law] = field(default_factory=dict)

    @property
    def measured(self) -> Mapping[str, Measured]:
        """How each outcome is compared."""
        return self.plan.measured

    @property
    def view(self) -> str:
        """The view of unselected trials that the review is about."""
        return SUBGROUP if SUBGROUP in self.plan.views else REPORTED

    def true_effects(self, plans: Plans, normals: FloatArray) -> FloatArray:
        """(m, E) true effects on the endpoints, each in its own unit, from standard normals (m, E)."""
        return np.asarray(self.means[plans.drug_class] + self.taus * (normals @ self.factor.T))

    def shown_effects(self, plans: Plans, true: FloatArray) -> FloatArray:
        """(m, E) what studies show on average: the true effect and what their risk of bias adds."""
        return np.asarray(true + self.added[plans.risk])

    def in_measure(self, outcome: str, plans: Plans, true: FloatArray) -> FloatArray:
        """(m,) true effects in the unit of an outcome's measure."""
        effect = true[:, self.endpoints.index(self.plan.endpoint_of(outcome))]
        found = np.empty(len(effect))
        for variety, places in plans.of_variety():
            found[places] = self.maker.true(variety, outcome, effect[places], self.view, plans.n[places, 1] / plans.n[places].sum(axis=1))
        return found

    def law(self, outcome: str, where: str | None = None) -> Law:
        """Mean and variance of the true effects of an outcome over the declared places that measure it, and over the law.

        `where` limits it to studies that meet a condition.
        """
        if (outcome, where) not in self._laws:
            self._laws[outcome, where] = self._law(outcome, where)
        return self._laws[outcome, where]

    @property
    def asked(self) -> tuple[Question, ...]:
        """Outcome and condition of every synthesis, each once."""
        return tuple(dict.fromkeys((one.outcome, one.where) for one in self.evidence.syntheses.values()))

    def controls(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest mean, or risk, without treatment over the varieties of study that measure each outcome, by outcome."""
        found = {}
        for outcome in self.plan.outcomes:
            varieties: set[int] = set()
            for place in np.flatnonzero(~self.evidence.studies.is_further()):
                plans = self.evidence.studies.plans(
                    int(place), Streams(self.seed, Purpose.TRUTH, int(place)).below("law"), 64, tuple(self.plan.outcomes)
                )
                varieties |= {int(one) for one in np.unique(plans.variety[plans.measures[outcome]])}
            values = [self.maker.control(variety, outcome, self.view) for variety in sorted(varieties)]
            found[outcome] = (min(values), max(values)) if values else (np.nan, np.nan)
        return found

    def fits(self, outcome: str, where: str | None, plans: Plans, place: AnyArray) -> BoolArray:
        """(m,) which studies a synthesis is about."""
        return fitting(self.evidence.studies, outcome, where, plans, place)

    def _law(self, outcome: str, where: str | None) -> Law:
        n_places = self.evidence.studies.n_places
        size, names = max(LEAST_SIZE, LAW_SIZE // n_places), tuple(self.plan.outcomes)
        values, errors, kept = [], [], []
        for place in range(n_places):
            streams = Streams(self.seed, Purpose.TRUTH, place).below("law")
            plans = self.evidence.studies.plans(place, streams, 2 * size, names)
            fits = np.flatnonzero(self.fits(outcome, where, plans, np.full(len(plans.n), place)))
            if not fits.size:
                continue
            normals = streams["true_effects"].standard_normal((size, len(self.endpoints)))
            true, chosen = self.true_effects(plans, np.vstack([normals, -normals]))[fits], plans.some(fits)
            values.append(self.in_measure(outcome, chosen, true))
            errors.append(self._errors(outcome, chosen, true))
            kept.append(chosen)
        if not values:
            return Law(np.nan, np.nan, np.nan, None)
        every, plans = np.concatenate(values), Plans.joined(kept)
        few = plans.some(Streams(self.seed, Purpose.TRUTH, 0)[f"kept.{outcome}"].permutation(len(plans.n))[:KEPT])
        return Law(float(every.mean()), float(every.var()), float(np.concatenate(errors).mean()), few)

    def _errors(self, outcome: str, plans: Plans, true: FloatArray) -> FloatArray:
        """(m,) standard errors of the true effects in the unit of the measure; all come from the same patients, so that they add up."""
        effect, found = true[:, self.endpoints.index(self.plan.endpoint_of(outcome))], np.empty(len(true))
        for variety, places in plans.of_variety():
            found[places] = self.maker.error(variety, outcome, self.view, effect[places])
        return found


def prepare_evidence(evidence: Evidence, tables: Mapping[str, Table], seed: int) -> PreparedEvidence:
    """Make bodies of evidence ready.

    Raises
    ------
    DeclarationError
        With every fault that shows only once data are read.
    """
    template = evidence.template
    measured = {name: outcome.measured(evidence.endpoints[outcome.endpoint]) for name, outcome in evidence.outcomes.items()}
    views = frozenset({REPORTED}.union(*(step.views for step in evidence.extraction)))
    subgroup = f"{template.marker} >= {evidence.cut:g}" if SUBGROUP in views and template.marker else None
    law, varieties = evidence.true_effects, evidence.studies.varieties
    plan = Plan(template, evidence.outcomes, measured, law, varieties, evidence.practices, views, subgroup, tables, seed)
    endpoints = tuple(evidence.endpoints)
    classes = evidence.studies.drug_classes
    means = np.array([[law.by_class.get(drug, {}).get(name, template.mean(name)) for name in endpoints] for drug in classes])
    taus = np.array([law.tau.get(name, 0.0) for name in endpoints])
    added = np.array([[law.inflation.get(level, {}).get(name, 0.0) for name in endpoints] for level in ("low", "some", "high")])
    return PreparedEvidence(evidence, plan, evidence.fidelity.prepare(plan), endpoints, law.factor(len(endpoints)), means, taus, added, seed)


def fitting(studies: Studies, outcome: str, where: str | None, plans: Plans, place: AnyArray) -> BoolArray:
    """(m,) whether studies of these places measure an outcome and meet a condition; unless it speaks of further studies, those do not."""
    further = studies.is_further()[place]
    fits = plans.measures[outcome]
    if where is None:
        return fits & ~further
    condition = parse(where)
    fits = fits & condition.truth(study_columns(studies, plans, further.astype(np.int16)))
    return fits if "further" in condition.names else fits & ~further


def study_columns(studies: Studies, plans: Plans, further: AnyArray) -> dict[str, Column]:
    """What is known of studies, for conditions and moderators, in the shape of the codes of their plans."""
    weeks = np.array([variety.weeks for variety in studies.varieties])
    rules = np.array([CRP_RULES.index(variety.crp_rule) for variety in studies.varieties], dtype=np.int16)
    return {
        "weeks": weeks[plans.variety],
        "n": plans.n.sum(axis=-1),
        "n_active": plans.n[..., 1],
        "n_control": plans.n[..., 0],
        "drug_class": Category(plans.drug_class, studies.drug_classes),
        "role": Category(plans.role, studies.roles),
        "crp_rule": Category(rules[plans.variety], CRP_RULES),
        "risk_of_bias": Category(plans.risk, RISKS),
        "funder": Category(plans.funder, FUNDERS),
        "further": Category(further, ("no", "yes")),
    }
