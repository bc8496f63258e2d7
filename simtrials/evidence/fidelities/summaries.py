"""Results from the sampling distributions of means, SDs and counts, without patients.

In one arm of n patients the means of normal outcomes are jointly normal and independent of their covariance matrix, which is Wishart; a count
is binomial. Counts and means go together as the arm means of patients would: each arm draws one normal vector with the correlation of the
outcomes in patients, means are read off it directly and counts by the quantile of their probability. Exact for one outcome and for normal
outcomes together; for counts together with means the correlation is exact as n grows.

Source: Anderson (2003), An Introduction to Multivariate Statistical Analysis, theorems 3.3.2 and 7.2.1 (Bartlett's decomposition).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import bdtr, bdtrik, ndtr

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import Problem
from simtrials.core.matrices import cholesky
from simtrials.core.outcomes import OUTCOMES
from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.evidence.fidelities.base import END_SCORES, FIDELITIES, REPORTED, Fidelity, Maker, Plan, Results
from simtrials.evidence.fidelities.curves import Curves
from simtrials.evidence.practices import Practice
from simtrials.evidence.table import ArmNumbers
from simtrials.trial import PreparedTrial, simulate

BLOCKS, PATIENTS = 4, 256
Row = tuple[str, str]
"""An outcome that is drawn: view and name."""


@FIDELITIES.register
class Summaries(Fidelity):
    """The results of a study are drawn from the sampling distributions of its means, SDs and counts; fast, and exact for normal outcomes."""

    kind: Literal["summaries"] = "summaries"

    def prepare(self, plan: Plan) -> Maker:
        trials = tuple(plan.template.prepared(variety, plan.tables, plan.seed, (), False) for variety in plan.varieties)
        return SummaryMaker(plan, Curves(plan, trials), tuple(_factor(plan, trial) for trial in trials))

    def problems(self, views: frozenset[str], practices: tuple[Practice, ...], departures: Collection[str]) -> Iterator[Problem]:
        remedy = "needs patients, whom fidelity 'summaries' does not have; use fidelity = { kind = 'patients' }"
        if practices:
            yield Problem("practices", remedy)
        for name in departures:
            yield Problem(f"departures.{name}", remedy)
        for view in sorted(views - {REPORTED, END_SCORES}):
            yield Problem("extraction", f"{view.replace('_', ' ')} {remedy}")


@dataclass(frozen=True, slots=True)
class SummaryMaker(Maker):
    """Curves of means and variances, and for each variety the factor of the correlation of outcomes in patients."""

    plan: Plan
    curves: Curves
    factors: tuple[FloatArray, ...]

    def true(self, variety: int, outcome: str, effect: FloatArray, view: str, share_active: FloatArray) -> FloatArray:
        return self.curves.at(variety, outcome, effect, view, share_active)

    def control(self, variety: int, outcome: str, view: str) -> float:
        return self.curves.of(variety, view)[outcome].control_mean

    def error(self, variety: int, outcome: str, view: str, effect: FloatArray) -> FloatArray:
        return self.curves.of(variety, view)[outcome].error(effect)

    def results(self, variety: int, effects: Mapping[str, FloatArray], n: FloatArray, measures: Mapping[str, BoolArray], streams: Streams) -> Results:
        arms = [self._arm(variety, arm, effects, n[:, arm], streams) for arm in (0, 1)]
        names = list(arms[0])
        made = {name: ArmNumbers(n, *(np.stack([arm[name][part] for arm in arms], axis=1) for part in (0, 1))) for name in names}
        return {view: {name[1]: numbers for name, numbers in made.items() if name[0] == view} for view in dict.fromkeys(name[0] for name in names)}

    def _arm(
        self, variety: int, arm: int, effects: Mapping[str, FloatArray], n: FloatArray, streams: Streams
    ) -> dict[Row, tuple[FloatArray, FloatArray]]:
        """Mean and SD of every outcome in one arm, (m,) each, by view and outcome."""
        factor, rows = self.factors[variety], rows_of(self.plan)
        z = streams[f"means.{arm}"].standard_normal((n.size, len(rows))) @ factor.T
        spread = _wishart_diagonal(factor, n - 1, streams, arm)
        found = {}
        for i, (view, name) in enumerate(rows):
            curve = self.curves.of(variety, view)[name]
            if arm == 0:
                mean, variance = np.full(n.shape, curve.control_mean), np.full(n.shape, curve.control_variance)
            else:
                mean, variance = curve.active(effects[self.plan.endpoint_of(name)])
            if self.plan.measured[name].binary:
                share = binomial_quantile(ndtr(z[:, i]), n, np.clip(mean, 0.0, 1.0)) / n
                found[view, name] = share, np.sqrt(share * (1 - share) * n / (n - 1))
            else:
                found[view, name] = mean + np.sqrt(variance / n) * z[:, i], np.sqrt(variance * spread[:, i])
        return found


def rows_of(plan: Plan) -> list[Row]:
    """The outcomes that are drawn together: view and name."""
    rows = [(REPORTED, name) for name in plan.outcomes]
    return rows + [(END_SCORES, name) for name in plan.names_in(END_SCORES) if END_SCORES in plan.views]


def _wishart_diagonal(factor: FloatArray, df: FloatArray, streams: Streams, arm: int) -> FloatArray:
    """(m, O) diagonal of a Wishart matrix over its degrees of freedom, with unit variances and the correlation of the factor."""
    size = len(factor)
    normal = streams[f"spread.{arm}"].standard_normal((df.size, size, size))
    shape = np.maximum(df[:, np.newaxis] - np.arange(size), 0.0) / 2
    root = np.sqrt(2 * streams[f"chi.{arm}"].standard_gamma(shape))
    lower = np.tril(normal, -1) + root[:, :, np.newaxis] * np.eye(size)
    lower = np.where(np.arange(size) < df[:, np.newaxis, np.newaxis], lower, 0.0)
    product = factor @ lower
    return np.asarray((product**2).sum(axis=2) / df[:, np.newaxis])


def binomial_quantile(probability: FloatArray, n: FloatArray, p: FloatArray) -> FloatArray:
    """Smallest count whose distribution function reaches the probability."""
    certain = (p <= 0) | (p >= 1)
    inner = np.where(certain, 0.5, p)
    count = np.ceil(np.clip(np.nan_to_num(bdtrik(probability, n, inner)), 0.0, n))
    lower = np.maximum(count - 1, 0.0)
    count = np.where((count > 0) & (bdtr(lower, n.astype(np.int64), inner) >= probability), lower, count)
    return np.where(certain, n * np.clip(p, 0.0, 1.0), count)


def _factor(plan: Plan, trial: PreparedTrial) -> FloatArray:
    """Lower factor of the correlation of outcomes in patients of the control arm."""
    rows = rows_of(plan)
    if len(rows) == 1:
        return np.ones((1, 1))
    products = np.zeros((len(rows), len(rows)))
    for block in range(BLOCKS):
        data = simulate(trial, Streams(plan.seed, Purpose.TRUTH, 100 + block), BLOCK_SIZE, PATIENTS, force_arm=0, complete=True).data
        values = []
        for view, name in rows:
            measured = data.endpoints[plan.endpoint_of(name)]
            read = "score" if view == END_SCORES else plan.name_of(name)
            values.append(OUTCOMES[read].read(measured, measured.weeks[-1]).ravel())
        stacked = np.array(values)
        stacked = stacked - stacked.mean(axis=1, keepdims=True)
        products += stacked @ stacked.T
    sd = np.sqrt(np.diag(products))
    correlation = products / np.outer(np.where(sd > 0, sd, 1.0), np.where(sd > 0, sd, 1.0))
    np.fill_diagonal(correlation, 1.0)
    return cholesky(correlation)
