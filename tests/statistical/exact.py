"""Exact answers that the package does not offer itself, by enumeration and numerical integration, written from the definitions."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.special import expit, ndtr

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.stats import closed_form


def between(low: AnyArray, high: AnyArray, n_nodes: int = 48) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes and weights from `low` to `high`, on a new last axis."""
    node, weight = np.polynomial.legendre.leggauss(n_nodes)
    half = (np.asarray(high) - np.asarray(low))[..., np.newaxis] / 2
    return np.asarray(low)[..., np.newaxis] + half * (node + 1), half * weight


def t_rejection(shift: AnyArray, spread: AnyArray, df: int, alpha: float = 0.05) -> FloatArray:
    """Two-sided rejection rate of a t test whose numerator is N(shift, 1) and whose sum of squares is noncentral chi-squared.

    `spread` is the noncentrality of the sum of squares: what differences between means within the groups add to the estimated variance. The two
    are independent, because all patients have the same variance around their own means.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, section 31.6, the doubly noncentral t.
    """
    shift, spread = np.broadcast_arrays(np.asarray(shift, dtype=float), np.asarray(spread, dtype=float))
    mean, sd = df + spread, np.sqrt(2 * (df + 2 * spread))
    squares, width = between(np.maximum(mean - 9 * sd, 1e-9), mean + 9 * sd)
    weight = width * stats.ncx2.pdf(squares, df, spread[..., np.newaxis])
    weight /= weight.sum(axis=-1, keepdims=True)
    critical = stats.t.ppf(1 - alpha / 2, df) * np.sqrt(squares / df)
    own = shift[..., np.newaxis]
    return np.sum(weight * (ndtr(own - critical) + ndtr(-own - critical)), axis=-1)


def t_power_with_responders(effect: float, share: float, n_active: int, n_control: int) -> float:
    """Power of the pooled t test, SD 1, when a random share of the active arm has the effect and the rest has none."""
    n_positive = np.arange(n_active + 1)
    chance = stats.binom.pmf(n_positive, n_active, share)
    shift = effect * n_positive / n_active / np.sqrt(1 / n_active + 1 / n_control)
    spread = effect**2 * n_positive * (1 - n_positive / n_active)
    return float(np.sum(chance * t_rejection(shift, spread, n_active + n_control - 2)))


def t_size_with_strata(gap: float, allocations: Iterable[tuple[float, int, int, int, int]]) -> float:
    """Type I error of the unadjusted t test when outcomes of two strata lie `gap` residual SDs apart.

    Each of `allocations` is (chance, n_active, high_active, n_control, high_control): patients per arm, and those of the higher stratum.
    """
    chance, n_active, high_active, n_control, high_control = np.array(list(allocations)).T
    share_active, share_control = high_active / n_active, high_control / n_control
    shift = gap * (share_active - share_control) / np.sqrt(1 / n_active + 1 / n_control)
    spread = gap**2 * (n_active * share_active * (1 - share_active) + n_control * share_control * (1 - share_control))
    (total,) = np.unique(n_active + n_control)
    return float(np.sum(chance * t_rejection(shift, spread, int(total) - 2)) / np.sum(chance))


def stratified_allocations(n_patients: int, share_high: float, block: int) -> list[tuple[float, int, int, int, int]]:
    """Every way in which permuted blocks within two strata can divide the patients, 1:1, with its chance; the last blocks may be incomplete."""
    ways = []
    for high in range(n_patients + 1):
        chance = float(stats.binom.pmf(high, n_patients, share_high))
        if chance < 1e-12:
            continue
        for of_high, high_active in _active_in(high, block):
            for of_low, low_active in _active_in(n_patients - high, block):
                n_active = high_active + low_active
                ways.append((chance * of_high * of_low, n_active, high_active, n_patients - n_active, high - high_active))
    return ways


def _active_in(size: int, block: int) -> list[tuple[float, int]]:
    """Chance and number of active patients among `size` of one stratum: half of the complete blocks, a random part of the last."""
    whole, rest = size // block * (block // 2), size % block
    return [
        (float(stats.hypergeom.pmf(k, block, block // 2, rest)), whole + k)
        for k in range(rest + 1)
        if stats.hypergeom.pmf(k, block, block // 2, rest) > 0
    ]


def one_block_allocations(n_patients: int, share_high: float) -> list[tuple[float, int, int, int, int]]:
    """The same for one permuted block of all patients, blind to the strata."""
    half = n_patients // 2
    of_arm = stats.binom.pmf(np.arange(half + 1), half, share_high)
    return [(float(of_arm[i] * of_arm[j]), half, i, half, j) for i in range(half + 1) for j in range(half + 1) if of_arm[i] * of_arm[j] > 1e-12]


def complete_allocations(n_patients: int, share_high: float) -> list[tuple[float, int, int, int, int]]:
    """The same for complete randomization: a coin for every patient."""
    ways = []
    for n_active in range(2, n_patients - 1):
        n_control = n_patients - n_active
        of_arm = stats.binom.pmf(n_active, n_patients, 0.5)
        first, second = (stats.binom.pmf(np.arange(n + 1), n, share_high) for n in (n_active, n_control))
        chance = of_arm * np.outer(first, second)
        ways += [(float(chance[i, j]), n_active, int(i), n_control, int(j)) for i, j in np.argwhere(chance > 1e-7)]
    return ways


def interaction_power(slope: float, n_patients: int, alpha: float = 0.05) -> float:
    """Power of the treatment by marker interaction in a linear model, marker standard normal, residual SD 1, a coin for every patient's arm.

    Given the markers the estimated difference of slopes has variance 1 / S1 + 1 / S0, where S1 and S0, the sums of squares of the marker within the
    arms, are chi-squared; the test has n_patients - 4 degrees of freedom.
    """
    total = 0.0
    for n_active in range(3, n_patients - 2):
        chance = stats.binom.pmf(n_active, n_patients, 0.5)
        if chance > 1e-7:
            total += chance * _interaction_power_given(slope, n_active, n_patients - n_active, alpha)
    return float(total)


def _interaction_power_given(slope: float, n_active: int, n_control: int, alpha: float) -> float:
    (active, of_active), (control, of_control) = (_chi_squared(n - 1) for n in (n_active, n_control))
    noncentrality = slope / np.sqrt(1 / active[:, np.newaxis] + 1 / control)
    half = (n_active + n_control - 2) / 2  # two arms of this size leave the same degrees of freedom to a t test
    rejected = closed_form.t_test_power(noncentrality * np.sqrt(2 / half), n_active=half, n_control=half, alpha=alpha)
    return float(of_active @ rejected @ of_control)


def _chi_squared(df: int) -> tuple[FloatArray, FloatArray]:
    """Values of a chi-squared variable and their weights."""
    value, width = between(*stats.chi2.ppf([1e-10, 1 - 1e-10], df), n_nodes=20)
    weight = width * stats.chi2.pdf(value, df)
    return value, weight / weight.sum()


def log_odds_ratio_power(p_active: float, p_control: float, n_patients: int, z: float = 1.959963984540054) -> float:
    """Power in the direction of benefit of Wald's test of the log odds ratio (logistic regression on the arm), a coin for every patient's arm."""
    total = 0.0
    for n_active in range(n_patients + 1):
        chance = stats.binom.pmf(n_active, n_patients, 0.5)
        if chance > 1e-9:
            total += chance * _woolf_power(p_active, p_control, n_active, n_patients - n_active, z)
    return float(total)


def _woolf_power(p_active: float, p_control: float, n_active: int, n_control: int, z: float) -> float:
    a, c = (_likely(n, p) for n, p in ((n_active, p_active), (n_control, p_control)))
    of_active, of_control = stats.binom.pmf(a, n_active, p_active), stats.binom.pmf(c, n_control, p_control)
    a, c = a[:, np.newaxis], c[np.newaxis]
    log_ratio = np.log(a / (n_active - a)) - np.log(c / (n_control - c))
    std_error = np.sqrt(1 / a + 1 / (n_active - a) + 1 / c + 1 / (n_control - c))
    return float(of_active @ (log_ratio > z * std_error) @ of_control)


def _likely(n: int, p: float) -> FloatArray:
    """Numbers of events within 9 standard deviations, none or all left out."""
    sd = 9 * np.sqrt(n * p * (1 - p))
    return np.arange(max(1, np.floor(n * p - sd)), min(n - 1, np.ceil(n * p + sd)) + 1)


class ScoreModel:
    """Whole-number scores at baseline and at the end, rounded and bounded from a bivariate normal: the distribution of the pair, exactly."""

    def __init__(self, baseline: tuple[float, float], end: tuple[float, float], correlation: float, minimum: int, maximum: int) -> None:
        self.scores = np.arange(minimum, maximum + 1)
        (mean, sd), (end_mean, end_sd) = baseline, end
        edges = np.concatenate([[mean - 12 * sd], self.scores[:-1] + 0.5, [mean + 12 * sd]])
        edges = np.clip(edges, mean - 12 * sd, mean + 12 * sd)
        x, width = between(edges[:-1], edges[1:])  # latent baseline within each score
        density = width * stats.norm.pdf(x, mean, sd)
        given = end_mean + correlation * end_sd * (x - mean) / sd
        residual = end_sd * np.sqrt(1 - correlation**2)
        self.share = density.sum(axis=-1)
        below = ndtr((self.scores[:-1, np.newaxis, np.newaxis] + 0.5 - given) / residual)  # (end score, baseline score, node)
        cumulated = (density * below).sum(axis=-1)
        joint = np.vstack([cumulated, self.share])
        self.joint = np.diff(joint, axis=0, prepend=0.0)  # (end score, baseline score)

    def both(self, cut: int = 10) -> tuple[float, float]:
        """P(response) and P(remission)."""
        return self.response(), self.remission(cut)

    def response(self) -> float:
        """P(2 (end - minimum) <= baseline - minimum)."""
        return float(self.joint[self._responds()].sum())

    def response_given_baseline(self) -> FloatArray:
        """P(response | baseline score), for each score."""
        joint = np.where(self._responds(), self.joint, 0.0).sum(axis=0)
        return joint / np.maximum(self.share, 1e-300)

    def remission(self, cut: int) -> float:
        """P(end <= cut)."""
        return float(self.joint[self.scores <= cut].sum())

    def _responds(self) -> np.ndarray:
        severity = self.scores - self.scores[0]
        return 2 * severity[:, np.newaxis] <= severity[np.newaxis]


def madrs(fall: float, score_sd: float = 9.0, correlation: float = 0.4) -> ScoreModel:
    """The flagship's severity scale after a fall of so many points on average, rounded and bounded."""
    return ScoreModel((29.0, 5.0), (29.0 - fall, score_sd), correlation, 0, 60)


def least_false_logistic(weight: FloatArray, columns: FloatArray, probability: FloatArray) -> FloatArray:
    """Coefficients that solve the score equations of logistic regression in the population.

    weight : (case,) share of each case; columns : (case, coefficient) model matrix; probability : (case,) true probability of the event.

    Source: White (1982), Econometrica 50:1-25.
    """
    coefficients = np.zeros(columns.shape[1])
    for _ in range(100):
        fitted = expit(columns @ coefficients)
        score = columns.T @ (weight * (probability - fitted))
        information = columns.T @ (columns * (weight * fitted * (1 - fitted))[:, np.newaxis])
        step = np.linalg.solve(information, score)
        coefficients += step
        if np.abs(step).max() < 1e-12:
            break
    return coefficients


class SurveyCrp:
    """The people of NHANES 2017-18 of the flagship scenarios, and what one CRP sample of each reports: exact, row by row.

    Usual ln CRP is the stored value shrunk towards the mean so that a new sample, N(usual, within), has the mean and SD of the data. Reports are
    rounded to 0.1 mg/L. `counted_twice` leaves the stored values as they are: the wrong version, in which the variation counts twice.
    """

    def __init__(self, path: Path, within: float = 0.60, counted_twice: bool = False) -> None:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if _in_the_flagship(row)]
        self.within = within
        weight = np.array([float(row["survey_weight"]) for row in rows])
        self.weight = weight / weight.sum()
        self.female = np.array([row["sex"] == "female" for row in rows])
        ln_crp = np.log([float(row["crp_mg_l"]) for row in rows])
        mean = float(self.weight @ ln_crp)
        variance = float(self.weight @ (ln_crp - mean) ** 2)
        slope = 1.0 if counted_twice else np.sqrt(1 - within**2 / variance)
        self.ln_usual = mean + slope * (ln_crp - mean)

    def reported(self, at_least: float, at_most: float = np.inf, half_step: float = 0.05) -> FloatArray:
        """P(at_least <= reported <= at_most) for each person; limits are multiples of twice the half step, which is 0 for unrounded values."""
        low, high = (np.log(at_least - half_step) if at_least > 0 else -np.inf), np.log(at_most + half_step)
        return ndtr((high - self.ln_usual) / self.within) - ndtr((low - self.ln_usual) / self.within)

    def share(self, of: FloatArray) -> float:
        """Weighted mean over everybody."""
        return float(self.weight @ of)

    def among(self, of: FloatArray, chosen: FloatArray) -> float:
        """Weighted mean over those chosen, each with a probability."""
        return float(self.weight @ (of * chosen) / (self.weight @ chosen))


def _in_the_flagship(row: dict[str, str]) -> bool:
    asked = row["crp_mg_l"] and row["phq9_total"] and row["age_years"]
    return bool(asked) and float(row["phq9_total"]) >= 10 and 18 <= float(row["age_years"]) <= 65
