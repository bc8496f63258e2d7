"""Time and money of simulated trials, from the numbers that they screened."""

from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.engine.scenario import Scenario
from simtrials.trial.logistics import MONTH


@dataclass(frozen=True, slots=True)
class Logistics:
    """(R,) months to the last patient randomised and to the last visit, NaN without recruitment; (R,) cost, NaN without costs."""

    months_to_enroll: FloatArray
    months: FloatArray
    cost: FloatArray


def logistics(scenario: Scenario, screened: AnyArray, first_block: int = 0) -> Logistics:
    """Time and money of consecutive blocks of trials that screened so many candidates (R,), the first of them being `first_block`."""
    n_screened = np.asarray(screened, dtype=np.float64)
    unknown = np.full(n_screened.shape, np.nan)
    enroll, months = unknown, unknown
    if scenario.recruitment is not None:
        parts = [
            scenario.recruitment.months(
                n_screened[start : start + BLOCK_SIZE], Streams(scenario.seed, Purpose.RUN, first_block + i).below("recruitment")
            )
            for i, start in enumerate(range(0, n_screened.size, BLOCK_SIZE))
        ]
        enroll = np.concatenate(parts) if parts else unknown
        months = enroll + weeks_of(scenario) / MONTH
    if scenario.costs is None:
        return Logistics(enroll, months, unknown)
    n_sites = scenario.recruitment.sites if scenario.recruitment is not None else 0
    running = months if scenario.recruitment is not None else np.zeros(n_screened.shape)
    return Logistics(
        enroll, months, scenario.costs.total(n_screened, scenario.design.n_patients, n_visits(scenario), n_samples(scenario), n_sites, running)
    )


def weeks_of(scenario: Scenario) -> float:
    """Weeks from randomisation to the last visit."""
    return float(scenario.design.weeks or max(max(endpoint.visits, default=0.0) for endpoint in scenario.endpoints.values()))


def n_visits(scenario: Scenario) -> int:
    """Planned visits of a patient, baseline included: the weeks at which anything is measured."""
    return len({0.0}.union(*(endpoint.visits for endpoint in scenario.endpoints.values())))


def n_samples(scenario: Scenario) -> int:
    """Samples of biomarkers that a candidate gives at screening."""
    return sum(int(getattr(assay, "samples", 1)) for assay in scenario.assays.values())
