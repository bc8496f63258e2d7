"""Mean and SD of a sample from its median and quartiles, its median and range, or all five numbers, for samples that may be taken as normal.

With n patients the extremes lie about xi = 2 z((n - 3/8) / (n + 1/4)) SDs apart, the quartiles eta = 2 z((3n/4 - 1/8) / (n + 1/4)). Skewed samples
show in the numbers themselves (`is_skewed`): where they do, mean and SD are NaN unless asked for.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from simtrials.core.arrays import BoolArray, FloatArray

FEWEST = 5
"""Patients below whom the formulas are not meant."""


class Moments(NamedTuple):
    """Mean and SD of samples, and whether the sample is too skewed for them."""

    mean: FloatArray
    sd: FloatArray
    skewed: BoolArray
    """the test of skewness at 5 percent rejects; False where it cannot be computed"""


def mean_and_sd_from_quantiles(
    n: ArrayLike,
    *,
    median: ArrayLike = np.nan,
    first_quartile: ArrayLike = np.nan,
    third_quartile: ArrayLike = np.nan,
    minimum: ArrayLike = np.nan,
    maximum: ArrayLike = np.nan,
    even_if_skewed: bool = False,
) -> Moments:
    """Mean and SD from the median with the range, with the quartiles, or with both, whichever are given (NaN: not given).

    Parameters
    ----------
    n : patients, at least 5
    median, first_quartile, third_quartile, minimum, maximum : of the sample, any broadcastable shapes
    even_if_skewed : give mean and SD also where the test of skewness rejects

    Returns
    -------
    Moments in the common shape. The SD needs no median. NaN where there are too few numbers, fewer than 5 patients, the numbers are out of order,
    or the sample is skewed

    Source: mean: Luo, Wan, Liu and Tong (2018), Statistical Methods in Medical Research 27, 1785-1805, equations 7, 11 and 15; SD: Wan, Wang, Liu
    and Tong (2014), BMC Medical Research Methodology 14, 135, equations 9 and 16, and for five numbers Shi et al. (2020), Research Synthesis
    Methods 11, 641-654, equation 10; skewness: Shi et al. (2023), Statistical Methods in Medical Research 32, 1338-1360.
    """
    size, low, q1, middle, q3, high = np.broadcast_arrays(
        *(np.asarray(values, dtype=np.float64) for values in (n, minimum, first_quartile, median, third_quartile, maximum))
    )
    size = np.where(size >= FEWEST, size, np.nan)
    ordered = _in_order(low, q1, middle, q3, high)
    with np.errstate(invalid="ignore", divide="ignore"):
        halves, quarters = high - low, q3 - q1
        mid_range, mid_quartile = (low + high) / 2, (q1 + q3) / 2
        by_range, by_quartiles = ~np.isnan(halves), ~np.isnan(quarters)
        five, only_range = by_range & by_quartiles, by_range & ~by_quartiles
        xi, eta = 2 * ndtri((size - 0.375) / (size + 0.25)), 2 * ndtri((0.75 * size - 0.125) / (size + 0.25))

        # (mean) weights of mid-range and mid-quartile range; the median has the rest
        range_weight = np.where(five, 2.2 / (2.2 + size**0.75), np.where(only_range, 4 / (4 + size**0.75), 0.0))
        quartile_weight = np.where(five, 0.7 - 0.72 / size**0.55, np.where(by_quartiles, 0.7 + 0.39 / size, 0.0))
        extremes = np.where(by_range, range_weight * mid_range, 0.0) + np.where(by_quartiles, quartile_weight * mid_quartile, 0.0)
        mean = extremes + (1 - range_weight - quartile_weight) * middle

        share = np.where(five, 1 / (1 + 0.07 * size**0.6), np.where(by_range, 1.0, 0.0))
        sd = np.where(by_range, share * halves / xi, 0.0) + np.where(by_quartiles, (1 - share) * quarters / eta, 0.0)

        range_skew = np.abs(low + high - 2 * middle) / halves
        quartile_skew = np.abs(q1 + q3 - 2 * middle) / quarters
        both = np.maximum(2.65 * np.log(0.6 * size) / np.sqrt(size) * range_skew, quartile_skew)
        beyond_five = both >= 3 / np.sqrt(size) - 40 / size**3
        beyond_range = range_skew >= 1 / np.log(size + 9) + 2.5 / (size + 1)
        beyond_quartiles = quartile_skew >= 2.65 / np.sqrt(size) - 6 / size**2
        skewed = np.where(five, beyond_five, np.where(only_range, beyond_range, beyond_quartiles))
    usable = (by_range | by_quartiles) & ordered & ~np.isnan(size)
    skewed = skewed & usable
    shown = usable if even_if_skewed else usable & ~skewed
    return Moments(np.where(shown, mean, np.nan)[()], np.where(shown, sd, np.nan)[()], skewed[()])


def _in_order(*values: FloatArray) -> BoolArray:
    """Whether those that are given do not fall."""
    in_order = np.ones(values[0].shape, dtype=np.bool_)
    highest = np.full(values[0].shape, -np.inf)
    for value in values:
        in_order &= ~(value < highest)
        highest = np.where(np.isnan(value), highest, value)
    return in_order
