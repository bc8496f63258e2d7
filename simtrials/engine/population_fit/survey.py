"""Weighted means with the sampling error that the survey design gives them."""

from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class SurveyDesign:
    """Which cluster each person used belongs to, (n,), and the stratum of every cluster of the file, (C,).

    Clusters in which nobody is used count too: the people used are a domain of the survey, and their number is part of what varies.
    Without declared clusters every row of the file is one; without strata there is one stratum.
    """

    cluster: IntArray
    stratum: IntArray

    @property
    def n_clusters(self) -> int:
        return int(self.stratum.size)

    @property
    def n_strata(self) -> int:
        return int(self.stratum.max()) + 1

    @property
    def n_lonely(self) -> int:
        """Strata with a single cluster."""
        return int((np.bincount(self.stratum) == 1).sum())

    def covariance(self, influence: FloatArray) -> FloatArray:
        """Covariance (k, k) of an estimate whose error is the sum over people of `influence` (n, k).

        Clusters are compared with the mean of their stratum. A stratum with a single cluster has nothing to compare with; its cluster is
        compared with the mean of all clusters, which errs on the large side.

        Source: Woodruff 1971, JASA 66:411 (linearisation); Wolter 2007, Introduction to Variance Estimation, section 6.
        """
        total = np.zeros((self.n_clusters, influence.shape[1]))
        np.add.at(total, self.cluster, influence)
        size = np.bincount(self.stratum).astype(np.float64)
        of_stratum = np.zeros((size.size, total.shape[1]))
        np.add.at(of_stratum, self.stratum, total)
        lonely = size == 1
        center = np.where(lonely[:, np.newaxis], total.mean(axis=0), of_stratum / size[:, np.newaxis])
        factor = np.where(lonely, 1.0, size / np.maximum(size - 1, 1))
        deviation = total - center[self.stratum]
        return np.asarray((deviation * factor[self.stratum, np.newaxis]).T @ deviation)

    def std_error(self, influence: FloatArray) -> float:
        """Standard error of an estimate from the influence of each person, (n,)."""
        return float(np.sqrt(self.covariance(influence[:, np.newaxis])[0, 0]))


def mean_with_error(value: FloatArray, weight: FloatArray, design: SurveyDesign) -> tuple[float, float]:
    """Weighted mean of the people used and its standard error: a ratio of two estimated totals, linearised.

    Source: Lohr 2010, Sampling: Design and Analysis, section 9.1.
    """
    total = weight.sum()
    mean = float((weight * value).sum() / total)
    return mean, design.std_error(weight * (value - mean) / total)


def correlation_with_error(x: FloatArray, y: FloatArray, weight: FloatArray, used: BoolArray, design: SurveyDesign) -> tuple[float, float]:
    """Weighted Pearson correlation over `used` people and its standard error, linearised."""
    share = np.where(used, weight, 0.0) / weight[used].sum()
    zx, zy = (_standardized(np.where(used, values, 0.0), share) for values in (x, y))
    r = float((share * zx * zy).sum())
    return r, design.std_error(share * (zx * zy - r * (zx**2 + zy**2) / 2))


def _standardized(values: FloatArray, share: FloatArray) -> FloatArray:
    mean = (share * values).sum()
    return np.asarray((values - mean) / np.sqrt((share * (values - mean) ** 2).sum()))


def effective_size(weight: FloatArray) -> float:
    """The number of equally weighted people whose mean would be as precise.

    Source: Kish 1965, Survey Sampling, section 11.7.
    """
    return float(weight.sum() ** 2 / (weight**2).sum())
