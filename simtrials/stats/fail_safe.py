"""Fail-safe numbers: how many unseen studies without effect it would take to change the result."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.stats.meta_shapes import checked_share, checked_word, evidence_of, shaped
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.shown import readable

Kind = Literal["rosenthal", "orwin", "rosenberg"]
INTEGER_WITHIN = float(np.sqrt(np.finfo(np.float64).eps))
"""Distance below which a fractional number of studies is that whole number, as in R's metafor."""


@readable
class FailSafeNumber(NamedTuple):
    """Results in the shape of the input without its last axis."""

    n_studies_needed: FloatArray
    """whole number of studies, rounded up; infinite where the target is 0"""
    p_value: FloatArray
    """observed: one-sided of Stouffer's z with "rosenthal", two-sided of the common-effect mean with "rosenberg", NaN with "orwin" """
    mean: FloatArray
    """mean effect with "orwin" and "rosenberg", NaN with "rosenthal" """
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`: TOO_FEW_STUDIES without any study, ZERO_VARIANCE"""


def fail_safe_n(
    yi: ArrayLike,
    vi: ArrayLike,
    *,
    kind: Kind = "rosenthal",
    alpha: float = 0.05,
    target: float | None = None,
    weighted: bool = False,
) -> FailSafeNumber:
    """Number of unseen null studies that would change the result, (k,) for one body of evidence or (..., k) for many.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    kind : "rosenthal" raises the one-sided p-value of Stouffer's z above `alpha`; "rosenberg" raises the two-sided p-value of the common-effect
        mean above `alpha`, by studies of the average weight; "orwin" brings the mean effect down to `target`
    target : with "orwin", of either sign; default: half the mean
    weighted : with "orwin", whether the mean has the weights 1 / vi

    Source: Rosenthal (1979), Psychological Bulletin 86, 638-641; Orwin (1983), Journal of Educational Statistics 8, 157-159; Rosenberg (2005),
    Evolution 59, 464-468; as in R's metafor::fsn.
    """
    evidence = evidence_of(yi, vi, "fail_safe_n")
    checked_word("fail_safe_n", "kind", kind, Kind)
    checked_share("fail_safe_n", "alpha", alpha)
    if target is not None and kind != "orwin":
        raise ValueError(f'fail_safe_n: a target goes with kind = "orwin", not with {kind!r}')
    y, v = evidence.y, evidence.v
    k = (~np.isnan(y)).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        zero = (v <= 0).any(axis=-1)
        w = 1 / v
        if kind == "rosenthal":
            z = np.abs(np.nansum(y * np.sqrt(w), axis=-1)) / np.sqrt(k)
            number, mean, p_value = k * (z / -ndtri(alpha)) ** 2 - k, np.full(len(y), np.nan), ndtr(-z)
        elif kind == "orwin":
            mean = np.nansum(y * w, axis=-1) / np.nansum(w, axis=-1) if weighted else np.nansum(y, axis=-1) / k
            size = np.abs(mean) / 2 if target is None else np.full(len(y), abs(target))
            number, p_value = np.where(size == 0, np.inf, k * (np.abs(mean) - size) / size), np.full(len(y), np.nan)
        else:
            total = np.nansum(w, axis=-1)
            z = np.nansum(w * y, axis=-1) / np.sqrt(total)
            number, mean, p_value = k * ((z / ndtri(alpha / 2)) ** 2 - 1), z / np.sqrt(total), 2 * ndtr(-np.abs(z))
        number = np.maximum(number, 0.0)
        near = np.abs(number - np.round(number)) < INTEGER_WITHIN
        number = np.where(near, np.round(number), np.ceil(number))
    status = np.select([k == 0, zero], [int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.ZERO_VARIANCE)], 0)
    columns = [np.where(status == 0, column, np.nan) for column in (number, p_value, mean)]
    return FailSafeNumber(*(shaped(column, evidence.shape) for column in (*columns, k, status)))
