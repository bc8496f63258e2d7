"""What single studies do to a meta-analysis: leave-one-out, influence diagnostics, cumulative meta-analysis."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.stats.meta_analysis import TAU2_METHODS, CiRule, MetaAnalysis, Tau2Choice, meta_analysis
from simtrials.stats.meta_shapes import BLOCK, Evidence, checked_word, evidence_of
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.shown import readable

OWN_WEIGHTS_EXCLUDED: tuple[str, ...] = tuple(word for word in TAU2_METHODS if word != "GENQ")


def leave_one_out(yi: ArrayLike, vi: ArrayLike, *, tau2: Tau2Choice = "REML", ci: CiRule = "wald", level: float = 0.95) -> MetaAnalysis:
    """Repeat a meta-analysis without each of its studies in turn, (k,) for one body of evidence or (..., k) for many.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    tau2, ci, level : as for `meta_analysis`

    Returns
    -------
    MetaAnalysis in the shape of the input, in place i the results without study i; without intervals of tau2. TOO_FEW_STUDIES and NaN in the
    place of an absent study, and where a single study leaves nothing.

    Source: Viechtbauer and Cheung (2010), Research Synthesis Methods 1, 112-125.
    """
    evidence = evidence_of(yi, vi, "leave_one_out")
    checked_word("leave_one_out", "tau2", tau2, OWN_WEIGHTS_EXCLUDED)
    places = np.eye(evidence.shape[-1], dtype=bool)
    return _repeated(evidence, lambda block: ~places & ~np.isnan(block)[:, :, np.newaxis], tau2, ci, level)


def cumulative_meta_analysis(
    yi: ArrayLike,
    vi: ArrayLike,
    order: ArrayLike | None = None,
    *,
    tau2: Tau2Choice = "REML",
    ci: CiRule = "wald",
    level: float = 0.95,
) -> MetaAnalysis:
    """Repeat a meta-analysis each time that a study is added, (k,) for one body of evidence or (..., k) for many.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    order : (k,) or (..., k), what to sort by, such as the year; equal values keep the order of the studies. Default: the order given
    tau2, ci, level : as for `meta_analysis`

    Returns
    -------
    MetaAnalysis in the shape of the input, in place j the results of the first j + 1 studies that are present, without intervals of tau2; the
    first is a SINGLE_STUDY. TOO_FEW_STUDIES and NaN in the places that absent studies leave at the end.

    Source: Lau et al. (1992), New England Journal of Medicine 327, 248-254.
    """
    evidence = in_order(evidence_of(yi, vi, "cumulative_meta_analysis"), order, "cumulative_meta_analysis")
    checked_word("cumulative_meta_analysis", "tau2", tau2, OWN_WEIGHTS_EXCLUDED)
    places = np.tri(evidence.shape[-1], dtype=bool)
    return _repeated(evidence, lambda block: places & ~np.isnan(block)[:, :, np.newaxis], tau2, ci, level)


def in_order(evidence: Evidence, order: ArrayLike | None, function: str) -> Evidence:
    """Studies sorted by `order`, those that are absent last."""
    shape = evidence.shape
    given = np.arange(shape[-1], dtype=np.float64) if order is None else np.asarray(order, dtype=np.float64)
    try:
        key = np.broadcast_to(given, shape)
    except ValueError:
        raise ValueError(f"{function}: order must have the shape of the effects {shape} or one number per study, got {given.shape}") from None
    key = key.reshape(evidence.y.shape)
    if (np.isnan(key) & ~np.isnan(evidence.y)).any():
        raise ValueError(f"{function}: order must be known for every study that is present")
    sequence = np.argsort(np.where(np.isnan(evidence.y), np.nan, key), axis=-1, kind="stable")
    return evidence._replace(y=np.take_along_axis(evidence.y, sequence, axis=-1), v=np.take_along_axis(evidence.v, sequence, axis=-1))


def _blocks(n_replicates: int, numbers_each: int) -> Iterator[slice]:
    size = max(1, BLOCK // numbers_each)
    return (slice(start, start + size) for start in range(0, n_replicates, size))


def _repeated(evidence: Evidence, kept: Callable[[FloatArray], BoolArray], tau2: Tau2Choice, ci: CiRule, level: float) -> MetaAnalysis:
    """`meta_analysis` of every subset that `kept` makes of effects (replicate, study): (replicate, subset, study)."""
    parts = []
    for block in _blocks(len(evidence.y), evidence.shape[-1] ** 2):
        y, v = evidence.y[block], evidence.v[block]
        subsets = np.where(kept(y), y[:, np.newaxis], np.nan)
        parts.append(meta_analysis(subsets, np.broadcast_to(v[:, np.newaxis], subsets.shape), tau2=tau2, ci=ci, level=level, tau2_ci="none"))
    return MetaAnalysis(*(np.concatenate(columns).reshape(evidence.shape) for columns in zip(*parts, strict=True)))


@readable
class Influence(NamedTuple):
    """Influence of every study, in the shape of the input; NaN for an absent study and where there is no fit without the study."""

    studentized_residual: FloatArray
    """distance from the mean of the other studies in standard errors of that distance"""
    dffits: FloatArray
    """change of the mean when the study is left out, in standard errors of the mean"""
    cook_distance: FloatArray
    """squared change of the mean, in units of its variance"""
    covariance_ratio: FloatArray
    """variance of the mean without the study over the variance with it; below 1 where leaving it out makes the mean more precise"""
    tau2_deleted: FloatArray
    """variance between studies without the study"""
    q_deleted: FloatArray
    """Cochran's Q without the study"""
    hat: FloatArray
    """share of the weight, between 0 and 1"""
    dfbetas: FloatArray
    """change of the mean in standard errors of the mean at the variance between the other studies"""
    squared_pearson_residual: FloatArray
    """Baujat's horizontal axis: contribution to heterogeneity"""
    mean_shift: FloatArray
    """Baujat's vertical axis: squared change of the mean, in units of its variance without the study"""
    predicted_effect: FloatArray
    """empirical Bayes estimate (best linear unbiased predictor) of the true effect of the study"""
    predicted_effect_std_error: FloatArray
    influential: BoolArray
    """Viechtbauer and Cheung's rule: |dffits| > 3 sqrt(1 / (k - 1)), Cook's distance beyond the median of chi-squared with one degree of
    freedom, hat > 3 / k, or |dfbetas| > 1"""
    status: IntArray
    """`MetaStatus` of the fit without the study; of the fit of all studies where that failed"""


MEDIAN_OF_CHI2 = 0.454936423119572752
"""Median of chi-squared with one degree of freedom."""


def influence(yi: ArrayLike, vi: ArrayLike, *, tau2: Tau2Choice = "REML") -> Influence:
    """Diagnostics of outlying and influential studies, (k,) for one body of evidence or (..., k) for many.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    tau2 : estimator of the variance between studies as for `meta_analysis`, "common" for the common-effect model

    Source: Viechtbauer and Cheung (2010), Research Synthesis Methods 1, 112-125; Baujat et al. (2002), Statistics in Medicine 21, 2641-2652;
    Raudenbush and Bryk (1985), Journal of Educational Statistics 10, 75-98 (empirical Bayes); as in R's metafor::influence, baujat and blup.
    """
    evidence = evidence_of(yi, vi, "influence")
    checked_word("influence", "tau2", tau2, OWN_WEIGHTS_EXCLUDED)
    y, v = evidence.y.reshape(evidence.shape), evidence.v.reshape(evidence.shape)
    full = meta_analysis(y, v, tau2=tau2, tau2_ci="none")
    rest = leave_one_out(y, v, tau2=tau2)
    mean, variance, between, k = (np.asarray(column)[..., np.newaxis] for column in (full.estimate, full.std_error**2, full.tau2, full.n_studies))
    with np.errstate(invalid="ignore", divide="ignore"):
        total, total_rest = v + between, v + rest.tau2
        total_rest = np.where(np.isnan(rest.tau2), v + _one_left(rest), total_rest)
        between_rest = total_rest - v
        change, hat = mean - rest.estimate, variance / total
        weight_rest = np.zeros(evidence.shape)
        for study in range(evidence.shape[-1]):
            weight_rest += np.nan_to_num(1 / (v[..., study, np.newaxis] + between_rest))
        residual = y - rest.estimate
        residual = np.where(np.abs(residual) < 100 * np.finfo(np.float64).eps, 0.0, residual)
        shrunken = between / total
        predicted = shrunken * y + (1 - shrunken) * mean
        columns = {
            "studentized_residual": residual / np.sqrt(total_rest + rest.std_error**2),
            "dffits": change / np.sqrt(hat * total_rest),
            "cook_distance": change**2 / variance,
            "covariance_ratio": rest.std_error**2 / variance,
            "tau2_deleted": between_rest,
            "q_deleted": rest.q,
            "hat": hat,
            "dfbetas": change * np.sqrt(weight_rest),
            "squared_pearson_residual": (y - mean) ** 2 / total,
            "mean_shift": (change / rest.std_error) ** 2,
            "predicted_effect": predicted,
            "predicted_effect_std_error": np.sqrt(shrunken * v + (1 - shrunken) ** 2 * variance),
        }
        columns = {name: np.where(np.isnan(y), np.nan, column) for name, column in columns.items()}
        beyond = (np.abs(columns["dffits"]) > 3 / np.sqrt(k - 1)) | (columns["cook_distance"] > MEDIAN_OF_CHI2)
        influential = beyond | (columns["hat"] > 3 / k) | (np.abs(columns["dfbetas"]) > 1)
    fitted = np.asarray(full.status)[..., np.newaxis]
    return Influence(**columns, influential=influential, status=np.where(fitted == MetaStatus.OK, rest.status, fitted))


def _one_left(rest: MetaAnalysis) -> FloatArray:
    """The variance between the studies that are left: 0 where that is one study, NaN where it is none."""
    return np.where(rest.status == MetaStatus.SINGLE_STUDY, 0.0, np.nan)
