"""The trials of a review: one declaration, from which the trial of every variety of study is made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import ArmArray, FloatArray
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem
from simtrials.evidence.studies import Variety
from simtrials.trial import PreparedTrial, prepare
from simtrials.trial.allocations import Complete, StratifiedBlocks
from simtrials.trial.assays import Assay
from simtrials.trial.departures import Departure
from simtrials.trial.designs import Fixed
from simtrials.trial.effects import Effect
from simtrials.trial.eligibility import EligibilityRule, Limits
from simtrials.trial.endpoints import Endpoint
from simtrials.trial.populations import Population
from simtrials.trial.trial import EndpointCorrelation, Trial

ARMS = ("control", "active")
SIZES = ("points", "mean_points", "smd", "mean_smd", "log_odds_ratio")
"""Sizes of an effect that can differ between studies; a ratio and a risk cannot be zero or negative."""
SELECTING = ("enriched", "extracted")
"""Rules under which all patients of the study lie at or above the cut."""


@dataclass(frozen=True, slots=True)
class Template:
    """What the trials of a review share. `biomarker` and `cut` are what rules of studies are about; without assays the rules are labels only."""

    population: Population | None
    assays: Mapping[str, Assay]
    eligibility: tuple[EligibilityRule, ...]
    endpoints: Mapping[str, Endpoint]
    departures: Mapping[str, Departure]
    correlations: tuple[EndpointCorrelation, ...]
    biomarker: str | None
    cut: float

    def effect(self, endpoint: str) -> Effect | None:
        """The effect on an endpoint as it is declared."""
        return self.endpoints[endpoint].effects.get(ARMS[1])

    def mean(self, endpoint: str) -> float:
        """The mean of true effects, in the unit in which the effect is stated."""
        effect = self.effect(endpoint)
        return 0.0 if effect is None else float(getattr(effect, effect.size_name))

    @property
    def marker(self) -> str | None:
        """The assay that rules of studies are about."""
        return self.biomarker or next(iter(self.assays), None)

    def trial(self, variety: Variety, every_visit: bool) -> Trial:
        """The trial of a variety of study; effects have size 1, so that the true effect of a study multiplies them.

        Raises
        ------
        DeclarationError
            When an endpoint says nothing about the week at which the study ends.
        """
        problems: list[Problem] = []
        endpoints: dict[str, Endpoint] = {}
        for name, declared in self.endpoints.items():
            try:
                endpoint = declared.ending_at(variety.weeks, every_visit or bool(self.departures))
            except ValueError as error:
                problems.append(Problem(f"endpoints.{name}.weeks", f"{error}, and a study ends at week {variety.weeks:g}"))
                continue
            effects = {arm: effect.model_copy(update={effect.size_name: 1.0}) for arm, effect in declared.effects.items()}
            endpoints[name] = endpoint.model_copy(update={"effects": effects})
        if problems:
            raise DeclarationError(problems)
        rules, allocation = self.eligibility, Complete()
        if self.marker is not None and variety.crp_rule in SELECTING:
            rules = (*rules, Limits(variable=self.marker, at_least=self.cut))
        elif self.marker is not None and variety.crp_rule == "stratified":
            return self._trial(endpoints, rules, StratifiedBlocks(strata=(f"{self.marker} >= {self.cut:g}",), block_size=4))
        return self._trial(endpoints, rules, allocation)

    def _trial(self, endpoints: dict[str, Endpoint], rules: tuple[EligibilityRule, ...], allocation: Complete | StratifiedBlocks) -> Trial:
        return Trial(
            population=self.population,
            assays=dict(self.assays),
            eligibility=rules,
            design=Fixed(arms=ARMS, n_patients=2, allocation=allocation),
            endpoints=endpoints,
            departures=dict(self.departures),
            correlations=self.correlations,
        )

    def prepared(self, variety: Variety, tables: Mapping[str, Table], seed: int, expressions: tuple[str, ...], every_visit: bool) -> PreparedTrial:
        """The trial of a variety, ready to be simulated."""
        return prepare(self.trial(variety, every_visit), tables, seed, expressions)


def effect_problems(endpoints: Mapping[str, Endpoint], n_rules: int) -> Iterator[Problem]:
    """Effects that cannot differ between studies."""
    for name, endpoint in endpoints.items():
        for arm, effect in endpoint.effects.items():
            place = f"endpoints.{name}.effects.{arm}"
            if arm != ARMS[1]:
                yield Problem(place, f"the arms of the studies are called {ARMS[0]} and {ARMS[1]}; write effects.{ARMS[1]}")
            if effect.size_name not in SIZES:
                yield Problem(f"{place}.{effect.size_name}", f"effects that differ between studies are stated as {', '.join(SIZES)}")
            if effect.at_week is not None:
                yield Problem(f"{place}.at_week", "leave it out: the effect of a study is stated at its own end")
            if effect.needs_biomarker and effect.size_name.startswith("mean_") and n_rules > 1:
                sentence = "is a mean over the enrolled, who differ between studies with different rules; state points or smd, where the shape is 1"
                yield Problem(f"{place}.{effect.size_name}", sentence)


def arms_in_order(n: FloatArray, most: int) -> ArmArray:
    """(m, P) arms of patients as they come, 0 control and 1 active, so that at any time both arms have about their share; -1 beyond the last."""
    share = np.full((len(n), 2, most), np.inf)
    for code in (0, 1):
        size = n[:, code : code + 1]
        place = np.arange(most) + 0.5 + code * 1e-9
        share[:, code] = np.where(np.arange(most) < size, place / np.maximum(size, 1), np.inf)
    both = share.reshape(len(n), 2 * most)
    order = np.argsort(both, axis=1, kind="stable")[:, :most]
    arm = (order >= most).astype(np.int8)
    return np.where(np.isfinite(np.take_along_axis(both, order, axis=1)), arm, np.int8(-1)).astype(np.int8)
