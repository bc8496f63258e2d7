"""What one block of simulated trials looks like: the data an analysis may see, and what an analysis returns.

R replicates, P patients at most, V visits. Replicates come first in every array.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, BoolArray, FloatArray
from simtrials.core.expressions import Column

Improves = Literal["down", "up"]
EffectScale = Literal[
    "difference",
    "standardized_mean_difference",
    "risk_difference",
    "arcsine_difference",
    "log_risk_ratio",
    "log_odds_ratio",
    "log_hazard_ratio",
    "log_win_ratio",
    "log_win_odds",
    "net_benefit",
    "weeks",
    "difference_per_week",
    "slope",
    "probability_index",
]
Redraw = Callable[[np.random.Generator, int, AnyArray], ArmArray]
"""Draws the arms of all patients anew, by the trial's own scheme: (draw, R, P) from a number of draws and the strata (R, P)."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A symptom scale: range in points, cut-off of remission (score at or below it), and the direction of improvement."""

    name: str
    minimum: float
    maximum: float
    remission_cut: float | None
    improves: Improves = "down"
    domain: str = "severity"
    source: str = ""


@dataclass(frozen=True, slots=True)
class Measurements:
    """One endpoint of all patients.

    weeks : (V,) visits after baseline; screening, baseline : (R, P) or None; value, observed : (R, P, V); NaN where not observed.
    `improves` is the direction that is better for the patient; a `binary` value is 1 for the event, 0 without.
    """

    weeks: tuple[float, ...]
    value: FloatArray
    observed: BoolArray
    baseline: FloatArray | None = None
    screening: FloatArray | None = None
    scale: Scale | None = None
    improves: Improves = "up"
    binary: bool = False

    def visit(self, week: float) -> int:
        """Position of the visit at `week`."""
        return self.weeks.index(week)

    def at(self, week: float) -> FloatArray:
        """(R, P) values at the visit of `week`, NaN where not observed."""
        return self.value[:, :, self.visit(week)]


@dataclass(frozen=True, slots=True)
class TrialData:
    """All that an analysis may see.

    columns : measured covariates by name, (R, P) each; arm : (R, P) int8, 0 is control, -1 is nobody; stratum : (R, P) whole numbers.
    events : name -> (R, P) week in which an event was seen, infinite where it was not; `redraw` allocates anew as the trial did.
    """

    arms: tuple[str, ...]
    arm: ArmArray
    stratum: AnyArray
    columns: Mapping[str, Column]
    endpoints: Mapping[str, Measurements]
    events: Mapping[str, FloatArray] = field(default_factory=dict)
    redraw: Redraw | None = None

    def subset(self, mask: BoolArray) -> "TrialData":
        """The same trials without the patients outside `mask` (R, P); they become nobody."""
        return replace(self, arm=np.where(mask, self.arm, np.int8(-1)))

    def first(self, n_patients: int) -> "TrialData":
        """The first `n_patients` enrolled in each trial."""
        cut = (slice(None), slice(n_patients))
        return replace(
            self,
            arm=self.arm[cut],
            stratum=self.stratum[cut],
            columns={name: column[cut] for name, column in self.columns.items()},
            endpoints={name: _first(measured, cut) for name, measured in self.endpoints.items()},
            events={name: week[cut] for name, week in self.events.items()},
        )


def _first(measured: Measurements, cut: tuple[slice, slice]) -> Measurements:
    return replace(
        measured,
        value=measured.value[cut],
        observed=measured.observed[cut],
        baseline=None if measured.baseline is None else measured.baseline[cut],
        screening=None if measured.screening is None else measured.screening[cut],
    )


@dataclass(frozen=True, slots=True)
class Screening:
    """The funnel of each replicate: n_screened (R,), and the number who failed each rule, in the order of the rules, (R,) each."""

    n_screened: AnyArray
    failures: Mapping[str, AnyArray]


@dataclass(frozen=True, slots=True)
class SimulatedTrial:
    """A block of trials: what analyses see, all that the simulator knows of the patients (`usual:<assay>` among it), the funnel, and the
    (R, P) weeks of events as they happened, seen or not."""

    data: TrialData
    hidden: Mapping[str, Column]
    screening: Screening
    happened: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimates:
    """One analysis of a block of trials, (R,) each; a benefit is positive unless `benefit` is -1.

    The test compares `statistic` with the critical value of t on `df` degrees of freedom (infinite: normal), unless `p_value` is given.
    The interval is estimate +- critical value x std_error unless `lower` and `upper` are given. Ratios are on the log scale. `decision` is
    given by analyses that do not test: 1 for a benefit shown, -1 for harm, 0 for neither. `truth` is the value of the estimand in each trial,
    where it depends on the trial's patients. `flags` are things to count, (R,) bool by name, or 1, 0 and NaN where there is nothing to
    count; `numbers` are things to average, (R,) by name.
    """

    estimate: FloatArray
    std_error: FloatArray
    statistic: FloatArray
    df: FloatArray
    status: AnyArray
    scale: EffectScale
    benefit: Literal[1, -1] = 1
    lower: FloatArray | None = None
    upper: FloatArray | None = None
    p_value: FloatArray | None = None
    decision: AnyArray | None = None
    truth: FloatArray | None = None
    flags: Mapping[str, AnyArray] = field(default_factory=dict)
    numbers: Mapping[str, FloatArray] = field(default_factory=dict)

    def tested_by(self, statistic: FloatArray, status: AnyArray) -> "Estimates":
        """The same estimates with another test, which is compared with the normal distribution; its status says what can be concluded."""
        return replace(self, statistic=statistic, df=np.full(statistic.shape, np.inf), status=status)

    def counting(self, flags: Mapping[str, AnyArray]) -> "Estimates":
        """The same estimates with these things to count."""
        return replace(self, flags=dict(flags))

    def averaging(self, numbers: Mapping[str, FloatArray]) -> "Estimates":
        """The same estimates with these numbers to average."""
        return replace(self, numbers=dict(numbers))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a data file as columns, with the name and the checksum it was read under; NaN or code -1 where a cell is empty."""

    name: str
    columns: Mapping[str, Column]
    n_rows: int
    checksum: str
