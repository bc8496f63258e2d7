"""Simulation against exact answers: how many replicates show a wrong version, and the simulation itself through the package's own parts.

A check compares a simulated number with its exact value, within 4 standard errors taken under the exact value. It names wrong versions, and has
enough replicates that each lies at least 8 standard errors away, so a simulation that passes cannot be one of them. Seeds come from the name of
a check, replicates from its exact and wrong values; neither depends on what was simulated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from simtrials.core.arrays import AnyArray
from simtrials.core.measures import Judged, Measure, Tally, Truth
from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.blocks import Simulation, estimates_of, n_blocks, run_blocks
from simtrials.engine.cells import ready
from simtrials.engine.files import read, scenario_from, tables_of
from simtrials.engine.result import Run
from simtrials.engine.run import run
from simtrials.engine.scenario import Scenario
from simtrials.inference.judge import judge

TOLERANCE, APART = 4.0, 8.0
"""Standard errors within which a simulated number must lie, and beyond which a wrong version must lie."""

FEWEST, MOST = 80 * BLOCK_SIZE, 1600 * BLOCK_SIZE
"""20,480 and 409,600 replicates."""

N_JOBS = 2


def standard_error_under(exact: float, n_replicates: int) -> float:
    """Monte Carlo standard error of a share, if its exact value is `exact`."""
    return float(np.sqrt(exact * (1 - exact) / n_replicates))


def enough_to_see(exact: float, wrong: float, sd: float | None = None) -> int:
    """Replicates, in whole blocks and at least `FEWEST`, at which `wrong` lies 8 standard errors from `exact`.

    `sd` is that of one replicate; without it the number is a share.

    Raises
    ------
    ValueError
        When that would take more than `MOST`: then the wrong version cannot be told apart here, and another must be named.
    """
    spread = np.sqrt(exact * (1 - exact)) if sd is None else sd
    needed = np.inf if wrong == exact else (APART * spread / (wrong - exact)) ** 2
    if needed > MOST:
        raise ValueError(f"{needed:,.0f} replicates are needed to tell {wrong:.5f} from {exact:.5f}; at most {MOST:,} are run")
    return max(FEWEST, n_blocks(int(np.ceil(needed))) * BLOCK_SIZE)


def seed_of(name: str) -> int:
    """A seed for each check, fixed by its name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little")


def trial(
    name: str, endpoint: Mapping[str, Any], analyses: Mapping[str, Any], n_patients: int, ratio: tuple[int, ...] = (1, 1), **more: Any
) -> Scenario:
    """A scenario with one endpoint, called outcome; without an allocation one permuted block holds all patients, so numbers per arm are fixed.

    `ratio` is control first; `more` are further parts of the scenario, or `arms` and `allocation` of the design.
    """
    design = {"kind": "fixed", "arms": more.pop("arms", ["control", "active"]), "n_patients": n_patients, "allocation_ratio": list(ratio)}
    design["allocation"] = more.pop("allocation", {"kind": "blocks", "block_size": n_patients})
    named = {key: {"endpoint": "outcome", **analysis} for key, analysis in analyses.items()}
    raw = {"name": "check", "seed": seed_of(name), "design": design, "endpoints": {"outcome": endpoint}, "analyses": named}
    return scenario_from({**raw, **more})


def marker_population(**assay: Any) -> dict[str, Any]:
    """People whose ln marker is standard normal (unless `of` is given), and an assay called marker; it measures without error unless told."""
    of = assay.pop("of", {"kind": "lognormal", "mean_log": 0.0, "sd_log": 1.0})
    laboratory = {"kind": "serial", "usual": "value", "within_person_sd": 0.0, **assay}
    return {"population": {"kind": "gaussian_copula", "covariates": {"value": of}}, "assays": {"marker": laboratory}}


def madrs_endpoint(fall: float, shift: float, correlation: float = 0.4) -> dict[str, Any]:
    """The flagship's severity scale with its last visit only, and a constant effect of `shift` points."""
    return {
        "kind": "scale",
        "scale": "MADRS",
        "weeks": [8],
        "baseline": {"mean": 29.0, "sd": 5.0},
        "control_course": {"change": -fall, "at_week": 8, "time_constant": 3.7, "score_sd": 9.0},
        "correlation": {"kind": "compound_symmetry", "rho": correlation},
        "effects": {"active": {"kind": "constant", "points": shift}},
    }


@dataclass(frozen=True)
class Found:
    """What a simulation gave: each analysis judged, and the columns of screening."""

    judged: Mapping[str, Judged]
    screening: Mapping[str, AnyArray]

    def __getitem__(self, name: str) -> Judged:
        return self.judged[name]

    def measures(self, name: str, truth: float) -> dict[str, Measure]:
        """The package's measures of an analysis about a truth."""
        tally = Tally(Truth(truth, 0.0, "exact"))
        tally.add(self.judged[name])
        return {measure.name: measure for measure in tally.measures()}


def prepared(scenario: Scenario) -> Simulation:
    """The scenario ready to be simulated."""
    return ready(scenario, tables_of(scenario))


_REMEMBERED: dict[tuple[str, int], Found] = {}


def simulate(scenario: Scenario, n_replicates: int) -> Found:
    """The estimates of all replicates, judged; the last few simulations are remembered, since several checks read one."""
    key = (repr(scenario), n_replicates)
    if key not in _REMEMBERED:
        while len(_REMEMBERED) >= 3:
            _REMEMBERED.pop(next(iter(_REMEMBERED)))
        _REMEMBERED[key] = _simulated(scenario, n_replicates)
    return _REMEMBERED[key]


def _simulated(scenario: Scenario, n_replicates: int) -> Found:
    simulation = prepared(scenario)
    blocks = [columns for _, columns in run_blocks(simulation, range(n_blocks(n_replicates)), N_JOBS)]
    columns = {name: np.concatenate([block[name] for block in blocks])[:n_replicates] for name in blocks[0]}
    meanings = simulation.meanings()
    judged = {name: judge(analysis, estimates_of(name, columns, meanings[name])) for name, analysis in scenario.analyses.items()}
    return Found(judged, {name: values for name, values in columns.items() if name == "screened" or name.startswith("not enrolled: ")})


def flagship_run(folder: Path) -> Run:
    """next_trial and its null, 20,000 replicates each, without the null grid."""
    scenario = read("next_trial").model_copy(update={"null_grid": {}})
    return run(scenario, n_replicates=20_000, out=folder, n_jobs=N_JOBS)


def simulate_power(scenario: Scenario, analysis: str, n_replicates: int) -> Measure:
    """Share of all replicates that reject in the direction of benefit."""
    return simulate(scenario, n_replicates).measures(analysis, np.nan)["power"]


Statistic = Callable[[Found], float]


def power(analysis: str = "test") -> Statistic:
    """Rejections in the direction of benefit."""
    return lambda found: float(found[analysis].benefit.mean())


def rejection(analysis: str = "test") -> Statistic:
    """Rejections in either direction."""
    return lambda found: float(found[analysis].rejected.mean())


def mean_estimate(analysis: str = "test") -> Statistic:
    """Mean over the replicates that could be estimated."""
    return lambda found: float(np.nanmean(found[analysis].estimate))


def sd_of_estimates(analysis: str = "test") -> Statistic:
    """Empirical standard error."""
    return lambda found: float(found[analysis].estimate.std(ddof=1))


def share_above(limit: float, analysis: str = "test") -> Statistic:
    """Share of intervals that lie above a limit."""
    return lambda found: float((found[analysis].lower > limit).mean())


@dataclass(frozen=True)
class Check:
    """One simulated number against its exact value, with the wrong versions that it must tell apart.

    `sd` is that of one replicate (None: the number is a share); `published` is the value of a formula or a table, where there is one.
    """

    name: str
    design: str
    scenario: Scenario
    statistic: Statistic
    exact: float
    method: str
    wrong: Mapping[str, float] = field(default_factory=dict)
    published: float | None = None
    sd: float | None = None
    n_least: int = FEWEST

    @cached_property
    def n_replicates(self) -> int:
        """Enough to see every wrong version."""
        return max([self.n_least, *(enough_to_see(self.exact, value, self.sd) for value in self.wrong.values())])

    @property
    def std_error(self) -> float:
        """Standard error of the simulated number under the exact value."""
        return standard_error_under(self.exact, self.n_replicates) if self.sd is None else float(self.sd / np.sqrt(self.n_replicates))

    def simulated(self) -> float:
        """The number, simulated."""
        return self.statistic(simulate(self.scenario, self.n_replicates))

    def ten_times(self) -> "Check":
        """The same check with ten times the replicates, for the one repetition of a check that fails."""
        return replace(self, n_least=10 * self.n_replicates)


def assert_agrees(check: Check) -> None:
    """The simulated number lies within 4 standard errors of the exact one, and every wrong version at least 8 away."""
    simulated, std_error = check.simulated(), check.std_error
    assert abs(simulated - check.exact) < TOLERANCE * std_error, (
        f"{check.name}: simulated {simulated:.5f}, exact {check.exact:.5f}, {(simulated - check.exact) / std_error:+.1f} standard errors"
    )
    for version, value in check.wrong.items():
        assert abs(value - check.exact) >= APART * std_error, f"{check.name}: {version} ({value:.5f}) cannot be told from {check.exact:.5f}"
