"""Straight lines in time: a linear mixed model with a random intercept and a random slope of each patient, for many replicates at once."""

from collections.abc import Sequence

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.stats.covariances import standard_times
from simtrials.stats.means import Contrast
from simtrials.stats.mmrm_iterative import DegreesOfFreedom, Information, Model, fit_block
from simtrials.stats.visit_sums import block_of


def random_slope(
    outcome: FloatArray,
    weeks: Sequence[float],
    arm: AnyArray,
    active: int,
    covariates: Sequence[AnyArray] = (),
    week: float | None = None,
    *,
    df: DegreesOfFreedom = "satterthwaite",
    information: Information = "observed",
) -> Contrast:
    """The difference of two arms, active minus control, in slope or at a week, by restricted maximum likelihood.

    Each arm has a straight line in weeks; each covariate has one coefficient. A patient departs from the line of the arm by an intercept and
    a slope of any covariance, and each measure by an independent error of one variance. A variance of the random effects that would be
    negative is 0.

    Parameters
    ----------
    outcome, arm, active, covariates, df, information : as for `mmrm`; visits missing in any pattern
    weeks : of the visits, three at least, not all the same
    week : where the lines are compared; None compares their slopes, per week

    Returns
    -------
    Contrast; status as for `mmrm`

    Raises
    ------
    ValueError when fewer than three weeks differ, for then slope, intercept and error cannot be told apart

    Source: Laird and Ware (1982), Biometrics 38, 963-974; degrees of freedom and standard error as in `mmrm`, where a parameter at its bound
    is taken as known.
    """
    times = np.asarray(weeks, dtype=np.float64)
    if np.unique(times).size < 3 or times.size != outcome.shape[2]:
        raise ValueError(f"weeks: expected {outcome.shape[2]}, one for each visit, at least three of them different, got {times.size}: {weeks}")
    model = Model(_weights(times, week), ("random_slope",), standard_times(times), _lines(times, len(covariates)), df, information)
    block = block_of(outcome, arm, active, covariates)
    found = fit_block(block, model, few=block.seen.max(axis=1).min(axis=0) < 2)
    return Contrast(found.estimate, found.std_error, found.df, found.status)


def _weights(times: FloatArray, week: float | None) -> FloatArray:
    """(V,) of the differences at the visits, which lie on a straight line: its slope, or its height at a week."""
    first, last = times.argmin(), times.argmax()
    weights, span = np.zeros(times.size), times[last] - times[first]
    if week is None:
        weights[first], weights[last] = -1 / span, 1 / span
    else:
        weights[first], weights[last] = (times[last] - week) / span, (week - times[first]) / span
    return weights


def _lines(times: FloatArray, n_covariates: int) -> FloatArray:
    """(N, q) from intercept, slope, those of the arm, and one coefficient of each covariate to the means by visit."""
    m = n_covariates + 2
    design = np.zeros((times.size, m, 4 + n_covariates))
    design[:, 0, 0] = design[:, m - 1, 2] = 1.0
    design[:, 0, 1] = design[:, m - 1, 3] = standard_times(times)
    for c in range(n_covariates):
        design[:, 1 + c, 4 + c] = 1.0
    return design.reshape(times.size * m, -1)
