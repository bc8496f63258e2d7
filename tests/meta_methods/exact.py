"""Operating characteristics that are exact where all studies have the variance 1 and effects are normal: 'balanced k=11 I2=0.5'.

Given the standard deviation s of the effects, which is the square root of total / (k - 1) times chi-squared, their mean is normal and
independent of it. So the half-width of an interval, or the estimate of tau2, is computed by the package in one batch for a grid of s, from
studies made to have it, and one integral over s remains.
"""

from functools import cache

import numpy as np
from scipy.special import gammaln, ndtr

from meta_methods.cases import METHODS, numbers_in
from simtrials.stats.meta_analysis import MetaAnalysis, meta_analysis

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(200)
REACH = 9.0
"""s is looked at up to its mode and 9 of its standard deviations"""


class Balanced:
    """k studies of variance 1, with the share I2 of their total variance between them."""

    def __init__(self, name: str):
        k, i2 = numbers_in(name.replace("I2", "").replace("k", ""))
        self.k, self.total = int(k), 1 / (1 - i2)
        self.tau2 = self.total - 1
        self.sd_of_mean = np.sqrt(self.total / self.k)
        self.s, self.weight = self.grid()

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviations of the effects and the probabilities they stand for; cut at 1, below which tau2 is estimated as 0."""
        unit = np.sqrt(self.total / (self.k - 1))
        end = unit * (np.sqrt(self.k - 1) + REACH)
        pieces = [(low + (high - low) * (NODES + 1) / 2, (high - low) / 2 * NODE_WEIGHTS) for low, high in ((0.0, 1.0), (1.0, max(end, 2.0)))]
        s, width = (np.concatenate(part) for part in zip(*pieces, strict=True))
        chi = s / unit
        log_density = (self.k - 2) * np.log(chi) - chi**2 / 2 - (self.k - 3) / 2 * np.log(2) - gammaln((self.k - 1) / 2)
        return s, width / unit * np.exp(log_density)

    def mean(self, value: np.ndarray) -> float:
        return float((self.weight * value).sum())

    def fit(self, **arguments) -> MetaAnalysis:
        pattern = np.arange(self.k) - (self.k - 1) / 2
        effects = np.outer(self.s, pattern / pattern.std(ddof=1))
        return meta_analysis(effects, 1.0, tau2_ci="none", **arguments)

    def rejected(self, half_width: np.ndarray, shift: float) -> float:
        """Probability that an interval around the mean leaves out 0, the true mean being so many of its standard deviations away."""
        limit = half_width / self.sd_of_mean
        return self.mean(ndtr(-limit - shift) + ndtr(-limit + shift))

    def predicted(self, half_width: np.ndarray) -> float:
        return self.mean(2 * ndtr(half_width / np.sqrt(self.tau2 + self.sd_of_mean**2)) - 1)


@cache
def balanced(name: str) -> Balanced:
    return Balanced(name)


TESTS = {"z_DL": {"tau2": "DL"}, "HKSJ": {"ci": "hartung_knapp"}, "mKH": {"ci": "hartung_knapp_adhoc"}, "FE_z": {"tau2": "common"}}


def rejecting(arguments: dict[str, str], shift: float):
    def number(name: str, inputs: str) -> float:
        setting = balanced(name)
        found = setting.fit(**arguments)
        return setting.rejected((found.upper - found.lower) / 2, shift)

    return number


for test, arguments in TESTS.items():
    METHODS[f"typeI_{test}"] = rejecting(arguments, 0.0)
    for shift in (1, 2, 3):
        METHODS[f"power_{test}_shift{shift}"] = rejecting(arguments, float(shift))


def predicting(rule: str):
    def number(name: str, inputs: str) -> float:
        setting = balanced(name)
        found = setting.fit(tau2="DL", prediction=rule)
        return setting.predicted((found.prediction_upper - found.prediction_lower) / 2)

    return number


METHODS["PI_coverage_tk-1"] = predicting("t_k_minus_1")
METHODS["PI_coverage_tk-2"] = predicting("t_k_minus_2")


def of_tau2(function):
    def number(name: str, inputs: str) -> float:
        setting = balanced(name)
        return setting.mean(function(setting.fit(tau2="DL").tau2, setting.total))

    return number


METHODS["P_tau2hat_zero"] = of_tau2(lambda tau2, total: tau2 == 0)
METHODS["E_tau2hat_over_total"] = of_tau2(lambda tau2, total: tau2 / total)
