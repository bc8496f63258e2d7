"""Trial sequential analysis: a cumulative meta-analysis against boundaries that allow for repeated looks and for heterogeneity."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.stats.group_sequential import Spending, spending_boundaries
from simtrials.stats.influence import OWN_WEIGHTS_EXCLUDED, cumulative_meta_analysis, in_order
from simtrials.stats.meta_analysis import Tau2Choice
from simtrials.stats.meta_shapes import checked_share, checked_word, evidence_of, shaped
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.shown import readable

Alternative = Literal["two_sided", "greater", "less"]


@readable
class TrialSequentialAnalysis(NamedTuple):
    """By look, in the shape of the input; summaries in that shape without its last axis; NaN where something cannot be estimated."""

    statistic: FloatArray
    """(..., look) cumulative z: estimate by standard error under random effects"""
    bound: FloatArray
    """(..., look) boundary of |z|, or of z towards the alternative; infinite early, NaN after the final look"""
    fraction: FloatArray
    """(..., look) sum of 1 / vi by the required information"""
    required_information: FloatArray
    """information (1 / variance of the common-effect mean) that is needed, with the allowance for heterogeneity"""
    diversity: FloatArray
    """D2: the share of the variance of the mean that is due to heterogeneity, 0 to 1"""
    crossed: BoolArray
    """whether a boundary is crossed at any look"""
    side: IntArray
    """of the first crossing: 1 above, -1 below, 0 none"""
    look: IntArray
    """number of studies at the first crossing; else at the final look or at the last study"""
    reached: BoolArray
    """whether the required information is reached by that look"""
    estimate: FloatArray
    """at that look"""
    std_error: FloatArray
    lower: FloatArray
    """estimate minus the boundary times its standard error: a confidence interval that allows for the looks up to there"""
    upper: FloatArray
    status: IntArray
    """`MetaStatus`: TOO_FEW_STUDIES without any study, ZERO_VARIANCE, NOT_CONVERGED where tau2 did not converge at some look"""


def trial_sequential_analysis(
    yi: ArrayLike,
    vi: ArrayLike,
    order: ArrayLike | None = None,
    *,
    anticipated_effect: float,
    alpha: float = 0.05,
    power: float = 0.8,
    alternative: Alternative = "two_sided",
    diversity: ArrayLike | Literal["estimated"] = "estimated",
    spending: Spending = "obrien_fleming",
    tau2: Tau2Choice = "REML",
) -> TrialSequentialAnalysis:
    """Test a cumulative meta-analysis at every study, with the error rate spent as information accrues, (k,) for one or (..., k) for many.

    The required information is that of a single trial with `power`, ((z_(1 - alpha / 2) + z_power) / effect)^2, divided by 1 - D2. The
    information accrued is the sum of 1 / vi. The look at which it reaches what is required is the final one; later studies are not tested.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    order : (k,) or (..., k), what to sort by, such as the year. Default: the order given
    anticipated_effect : what the meta-analysis should be able to find, in units of the effects, not 0; its sign does not matter
    alpha, power, alternative : of the test; "greater" and "less" have one boundary
    diversity : D2 as a number from 0 to below 1, or (...,) of them; "estimated": 1 - variance of the common-effect mean by that of the
        random-effects mean, from all studies, late ones too
    spending : as for `spending_boundaries`
    tau2 : estimator of the variance between studies, as for `meta_analysis`

    There is no boundary for futility.

    Source: Wetterslev, Thorlund, Brok and Gluud (2008), Journal of Clinical Epidemiology 61, 64-75; (2009), BMC Medical Research Methodology 9,
    86 (diversity); Thorlund et al. (2011), User Manual for Trial Sequential Analysis; boundaries: Lan and DeMets (1983), Biometrika 70, 659-663.
    """
    function = "trial_sequential_analysis"
    evidence = in_order(evidence_of(yi, vi, function), order, function)
    checked_word(function, "alternative", alternative, Alternative)
    checked_word(function, "tau2", tau2, OWN_WEIGHTS_EXCLUDED)
    checked_word(function, "spending", spending, get_args(Spending))
    checked_share(function, "alpha", alpha)
    checked_share(function, "power", power)
    if not (np.isfinite(anticipated_effect) and anticipated_effect != 0):
        raise ValueError(f"{function}: anticipated_effect must be a number other than 0, got {anticipated_effect!r}")
    y, v = evidence.y, evidence.v
    added = cumulative_meta_analysis(y, v, tau2=tau2)
    k = (~np.isnan(y)).sum(axis=-1)
    status = _status(added.status, k)
    usable = np.isin(status, (int(MetaStatus.OK), int(MetaStatus.NOT_CONVERGED)))
    with np.errstate(invalid="ignore", divide="ignore"):
        accrued = np.where(np.isnan(y) | ~usable[:, np.newaxis], np.nan, np.nancumsum(np.where(v > 0, 1 / v, np.nan), axis=-1))
        statistic = np.where(np.isnan(accrued), np.nan, added.estimate / added.std_error)
    last = np.maximum(k - 1, 0)[:, np.newaxis]
    d2 = _diversity(diversity, _at(accrued, last), _at(added.std_error, last), evidence.shape, function)
    two_sided = alternative == "two_sided"
    quantiles = ndtri(1 - (alpha / 2 if two_sided else alpha)) + ndtri(power)
    if not quantiles > 0:
        raise ValueError(f"{function}: power must exceed the error rate of a side, got {power!r}")
    required = np.where(usable, (quantiles / anticipated_effect) ** 2 / (1 - d2), np.nan)
    fraction = accrued / required[:, np.newaxis]
    bound = spending_boundaries(fraction, alpha=alpha, sides="two_sided" if two_sided else "one_sided", spending=spending).bound
    towards = {"two_sided": np.abs(statistic), "greater": statistic, "less": -statistic}[alternative]
    crossings = towards >= bound
    crossed, first = crossings.any(axis=-1), crossings.argmax(axis=-1)
    final = np.maximum((~np.isnan(bound)).sum(axis=-1) - 1, 0)
    look = np.where(crossed, first, final)[:, np.newaxis]
    side = np.where(crossed, np.sign(_at(statistic, look)), 0).astype(np.int64)
    estimate, std_error = (np.where(usable, _at(column, look), np.nan) for column in (added.estimate, added.std_error))
    margin = _at(bound, look) * std_error
    lower = np.full(len(y), -np.inf) if alternative == "less" else estimate - margin
    upper = np.full(len(y), np.inf) if alternative == "greater" else estimate + margin
    lower, upper = np.where(usable, lower, np.nan), np.where(usable, upper, np.nan)
    by_look = [column.reshape(evidence.shape) for column in (statistic, bound, fraction)]
    summaries: list[AnyArray] = [required, np.where(usable, d2, np.nan), np.asarray(crossed), side, np.where(usable, look[:, 0] + 1, 0)]
    summaries += [np.asarray(_at(fraction, look) >= 1), estimate, std_error, lower, upper, status]
    return TrialSequentialAnalysis._make([*by_look, *(shaped(column, evidence.shape) for column in summaries)])


def _at(column: FloatArray, place: IntArray) -> FloatArray:
    """(replicate,) from (replicate, look) at `place` (replicate, 1)."""
    return np.take_along_axis(column, place, axis=-1)[:, 0]


def _status(by_look: IntArray, k: IntArray) -> IntArray:
    """Of the whole: no study, a variance that is not positive, or tau2 that did not converge at some look."""
    within = np.arange(by_look.shape[1]) < k[:, np.newaxis]
    zero, lost = ((within & (by_look == code)).any(axis=-1) for code in (MetaStatus.ZERO_VARIANCE, MetaStatus.NOT_CONVERGED))
    codes = [int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.ZERO_VARIANCE), int(MetaStatus.NOT_CONVERGED)]
    return np.select([k == 0, zero, lost], codes, int(MetaStatus.OK))


def _diversity(given: ArrayLike, information: FloatArray, std_error: FloatArray, shape: tuple[int, ...], function: str) -> FloatArray:
    """(replicate,)."""
    if isinstance(given, str):
        checked_word(function, "diversity", given, ("estimated",))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.clip(1 - 1 / (information * std_error**2), 0.0, None)
    try:
        d2 = np.broadcast_to(np.asarray(given, dtype=np.float64), shape[:-1]).reshape(-1)
    except ValueError:
        raise ValueError(f"{function}: diversity must be one number or of shape {shape[:-1]}, got {np.shape(given)}") from None
    if not ((d2 >= 0) & (d2 < 1)).all():
        raise ValueError(f"{function}: diversity must lie between 0 and below 1")
    return d2
