"""From estimates to conclusions: is it significant, does it show a benefit, what is the interval?"""

from typing import Protocol

import numpy as np

from simtrials.core.data import Estimates
from simtrials.core.measures import Judged
from simtrials.stats.quantiles import t_critical


class Levels(Protocol):
    """What is tested at which level: an analysis, or a synthesis."""

    @property
    def two_sided_alpha(self) -> float:
        """Two-sided level of test and interval."""

    @property
    def one_sided_alpha(self) -> float | None:
        """One-sided level, where only the direction of benefit is tested."""

    @property
    def nominal(self) -> float:
        """Share that may show a benefit without any effect."""


def judge(analysis: Levels, found: Estimates) -> Judged:
    """Compare every replicate with the critical value (its p-value with alpha, or take its decision); NaN rejects nothing."""
    needs_critical = found.lower is None or (found.p_value is None and found.decision is None)
    critical = t_critical(found.df, analysis.two_sided_alpha) if needs_critical else np.nan
    with np.errstate(invalid="ignore"):
        if found.decision is not None:
            rejected, towards_benefit = found.decision != 0, found.decision > 0
        elif found.p_value is not None:
            rejected = found.p_value < analysis.two_sided_alpha
            towards_benefit = found.benefit * found.estimate > 0
        else:
            rejected = np.abs(found.statistic) > critical
            towards_benefit = found.benefit * found.statistic > 0
        benefit = rejected & towards_benefit
        if analysis.one_sided_alpha is not None:
            rejected = benefit
        lower = found.estimate - critical * found.std_error if found.lower is None else found.lower
        upper = found.estimate + critical * found.std_error if found.upper is None else found.upper
    rest = found.status, found.truth, found.flags, found.numbers
    return Judged(found.estimate, found.std_error, lower, upper, np.asarray(rejected), np.asarray(benefit), *rest)
