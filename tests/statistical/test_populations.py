"""Distributions and populations against closed forms, within 4 Monte Carlo standard errors; a wrong version lies at least 8 away."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import ndtr, ndtri
from statistical.cases_populations import COPULA, MATRIX, SURVEY, N, drawn, moments_apart, share_error, streams, survey_rows, weighted

from simtrials.engine.files import read_table
from simtrials.trial.distributions import Bernoulli, Beta, Categorical, Gamma, Lognormal, Normal, Quantiles, Truncated
from simtrials.trial.populations import CrpRegression, GaussianCopula, Resampled

SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)

# --- distributions ------------------------------------------------------------------------------------------------------------------------------


class PiecewiseNormal:
    """The twin of quantiles: straight lines on the normal scale, moments by fine integration."""

    def __init__(self, shares, values, log=False, minimum=-np.inf, maximum=np.inf):
        self.knots, self.heights, self.log = stats.norm.ppf(shares), np.log(values) if log else np.array(values, dtype=float), log
        self.limits = minimum, maximum

    def ppf(self, share):
        z = np.atleast_1d(stats.norm.ppf(share))
        place = np.clip(np.searchsorted(self.knots, z), 1, len(self.knots) - 1)
        slope = np.diff(self.heights) / np.diff(self.knots)
        line = self.heights[place - 1] + slope[place - 1] * (z - self.knots[place - 1])
        return np.clip(np.exp(line) if self.log else line, *self.limits)

    def moment(self, power, about=0.0):
        share = (np.arange(2_000_000) + 0.5) / 2_000_000
        return float(np.mean((self.ppf(share) - about) ** power))


def named(frozen):
    """Mean, SD and kurtosis of a distribution of scipy."""
    mean, variance, excess = (float(value) for value in frozen.stats("mvk"))
    return mean, np.sqrt(variance), excess + 3


def own(twin):
    mean = twin.moment(1)
    variance = twin.moment(2, mean)
    return mean, np.sqrt(variance), twin.moment(4, mean) / variance**2


QUARTILE = stats.norm.ppf(0.75)
KNOTS = {"probabilities": [0.05, 0.25, 0.5, 0.8, 0.95], "values": [0.4, 1.0, 2.1, 5.8, 17.7]}
SCIPY = {
    "normal": (Normal(mean=29.0, sd=5.0), stats.norm(29, 5), Normal(mean=29.0, sd=5.2)),
    "normal by quartiles": (Normal(median=10.0, iqr=(7.0, 13.0)), stats.norm(10, 3 / QUARTILE), Normal(mean=10.0, sd=3.0)),
    "lognormal": (Lognormal(mean_log=0.8, sd_log=0.5), stats.lognorm(0.5, scale=np.exp(0.8)), Lognormal(mean_log=0.8, sd_log=0.52)),
    "lognormal by quartiles": (
        Lognormal(median=2.0, iqr=(1.4, 2.8)),
        stats.lognorm(np.log(2) / (2 * QUARTILE), scale=2.0),
        Lognormal(mean_log=np.log(2), sd_log=np.log(2) / 2),
    ),
    "lognormal by moments": (
        Lognormal(mean=4.0, sd=2.0),
        stats.lognorm(np.sqrt(np.log(1.25)), scale=4 / np.sqrt(1.25)),
        Lognormal(mean_log=np.log(4.0), sd_log=0.5),
    ),
    "gamma": (Gamma(mean=12.0, sd=5.0), stats.gamma(5.76, scale=12 / 5.76), Normal(mean=12.0, sd=5.0)),
    "beta": (Beta(mean=41.0, sd=13.0, minimum=18.0, maximum=65.0), None, Normal(mean=41.0, sd=13.0)),
    "truncated normal": (
        Truncated(of=Normal(mean=41.0, sd=14.0), minimum=18.0, maximum=65.0),
        stats.truncnorm((18 - 41) / 14, (65 - 41) / 14, loc=41, scale=14),
        Normal(mean=41.0, sd=14.0),
    ),
}


def beta_between(mean, sd, low, high):
    m, v = (mean - low) / (high - low), (sd / (high - low)) ** 2
    size = m * (1 - m) / v - 1
    return stats.beta(m * size, (1 - m) * size, loc=low, scale=high - low)


def worst(distribution, quantiles, moments):
    """The largest distance of shares below the exact quantiles, of mean and of SD, in Monte Carlo standard errors."""
    values = np.asarray(distribution.from_normal(streams()["values"].standard_normal(N)))
    below = np.array([np.mean(values <= quantile) for quantile in quantiles])
    return max(np.abs((below - SHARES) / share_error(np.array(SHARES))).max(), np.abs(moments_apart(values, *moments)).max())


@pytest.mark.parametrize("name", SCIPY)
def test_a_distribution_has_its_quantiles_mean_and_sd(name):
    distribution, exact, wrong = SCIPY[name]
    exact = beta_between(41.0, 13.0, 18.0, 65.0) if exact is None else exact
    quantiles = exact.ppf(SHARES)
    assert worst(distribution, quantiles, named(exact)) < 4
    assert worst(wrong, quantiles, named(exact)) > 8


def test_a_truncated_lognormal_has_its_quantiles():
    distribution = Truncated(of=Lognormal(mean_log=0.8, sd_log=1.17), minimum=0.2, maximum=10.0)
    low, high = (ndtr((np.log(limit) - 0.8) / 1.17) for limit in (0.2, 10.0))
    exact = np.exp(0.8 + 1.17 * ndtri(low + (high - low) * np.array(SHARES)))
    values = distribution.from_normal(streams()["values"].standard_normal(N))
    clipped = np.clip(distribution.of.from_normal(streams()["values"].standard_normal(N)), 0.2, 10.0)
    for sample, holds in ((values, True), (clipped, False)):
        apart = np.abs([(np.mean(sample <= q) - p) / share_error(p) for q, p in zip(exact, SHARES, strict=True)]).max()
        assert (apart < 4) if holds else (apart > 8)


@pytest.mark.parametrize("options", [{}, {"log": True}, {"log": True, "minimum": 0.2, "maximum": 30.0}], ids=str)
def test_quantiles_go_through_their_points_and_have_the_moments_of_the_lines(options):
    twin = PiecewiseNormal(KNOTS["probabilities"], KNOTS["values"], **options)
    assert_allclose(twin.ppf(KNOTS["probabilities"]), KNOTS["values"])
    distribution = Quantiles(**KNOTS, **options)
    values = distribution.from_normal(streams()["values"].standard_normal(N))
    for share, quantile in zip(KNOTS["probabilities"], KNOTS["values"], strict=True):
        assert abs(np.mean(values <= quantile) - share) < 4 * share_error(share)
    if options.get("maximum") or not options.get("log"):  # without a cap the tail of the logarithm has no useful fourth moment
        assert np.abs(moments_apart(values, *own(twin))).max() < 4
    uniform_lines = np.interp(stats.norm.cdf(streams()["values"].standard_normal(N)), KNOTS["probabilities"], KNOTS["values"])
    wrong = [
        (np.mean(uniform_lines <= q) - p) / share_error(p) for q, p in ((twin.ppf(0.4)[0], 0.4), (twin.ppf(0.9)[0], 0.9), (twin.ppf(0.97)[0], 0.97))
    ]
    assert np.abs(wrong).max() > 8


def test_categories_and_yes_or_no_have_their_shares():
    z = streams()["values"].standard_normal(N)
    shares = {"mild": 0.5, "moderate": 0.3, "severe": 0.2}
    drawn_codes = Categorical(shares=shares).from_normal(z).codes
    for code, share in enumerate(shares.values()):
        assert abs(np.mean(drawn_codes == code) - share) < 4 * share_error(share)
    assert abs(np.mean(drawn_codes == 1) - 0.2) > 8 * share_error(0.2)  # levels in another order
    women = Bernoulli(probability=0.618).from_normal(z)
    assert abs(women.mean() - 0.618) < 4 * share_error(0.618)
    assert abs((1 - women).mean() - 0.618) > 8 * share_error(0.618)
    assert np.unique(Bernoulli(probability=0.0).from_normal(z)).tolist() == [0.0]
    assert np.unique(Bernoulli(probability=1.0).from_normal(z)).tolist() == [1.0]


# --- populations --------------------------------------------------------------------------------------------------------------------------------


def copula_misfit(matrix, crp, bmi, woman, severe):
    """Distances from what a correlation matrix of the normals implies: Pearson, point-biserial and both-yes, in standard errors."""
    rho = np.array(matrix)
    found = [(np.corrcoef(np.log(crp), bmi)[0, 1] - rho[0, 1]) / ((1 - rho[0, 1] ** 2) / np.sqrt(N))]
    for number, row in ((np.log(crp), 0), (bmi, 1)):
        for yes, column, p in ((woman, 2, 0.6), (severe, 3, 0.3)):
            exact = rho[row, column] * stats.norm.pdf(ndtri(p)) / np.sqrt(p * (1 - p))
            found.append((np.corrcoef(number, yes)[0, 1] - exact) * np.sqrt(N))
    both = stats.multivariate_normal([0, 0], [[1, rho[2, 3]], [rho[2, 3], 1]]).cdf([ndtri(0.6), ndtri(0.3)])
    return np.abs([*found, (np.mean(woman * severe) - both) / share_error(both)])


def test_a_copula_has_the_correlations_of_its_normals():
    columns = drawn(COPULA, "crp", "bmi", "woman", "severe")
    assert copula_misfit(MATRIX, *columns).max() < 4
    assert copula_misfit(np.eye(4), *columns).min() > 8  # as if the columns were independent
    observed = np.array(MATRIX)
    observed[:2, 2:] = observed[2:, :2] = observed[:2, 2:] * 0.8  # as if the correlations were those of the 0 and 1
    assert copula_misfit(observed, *columns)[1:5].min() > 8


def test_marginals_of_a_copula_are_those_declared_whatever_the_correlation():
    crp, bmi, woman, severe = drawn(COPULA, "crp", "bmi", "woman", "severe")
    assert np.abs(moments_apart(np.log(crp), 0.8, 1.17)).max() < 4
    assert np.abs(moments_apart(bmi, 29.0, 6.0)).max() < 4
    assert abs(woman.mean() - 0.6) < 4 * share_error(0.6)
    assert abs(severe.mean() - 0.3) < 4 * share_error(0.3)
    assert abs(severe.mean() - 0.6) > 8 * share_error(0.6)


def test_crp_regression_returns_its_coefficients():
    base = GaussianCopula(
        covariates={
            "bmi_kg_m2": Normal(mean=31.0, sd=8.0),
            "age_years": Normal(mean=41.0, sd=14.0),
            "sex": Categorical(shares={"female": 0.62, "male": 0.38}),
        },
        correlation=[[1.0, 0.1, -0.1], [0.1, 1.0, 0.0], [-0.1, 0.0, 1.0]],
    )
    population = CrpRegression(base=base, intercept=0.46, bmi_slope=0.067, age_slope=0.006, female=0.22, residual_sd=1.0)
    crp, bmi, age, sex = drawn(population, "crp_mg_l", "bmi_kg_m2", "age_years", "sex")
    truth = np.array([0.46, 0.067, 0.006, 0.22])

    def apart(x):
        beta, rest = np.linalg.lstsq(x, np.log(crp), rcond=None)[:2]
        error = np.sqrt(rest[0] / N * np.diag(np.linalg.inv(x.T @ x)))
        return np.abs((beta - truth) / error), abs(np.sqrt(rest[0] / N) - 1.0) / np.sqrt(1 / (2 * N))

    right, sd_apart = apart(np.column_stack([np.ones(N), bmi - 28, age - 40, sex == 0]))
    assert right.max() < 4
    assert sd_apart < 4
    not_centered, _ = apart(np.column_stack([np.ones(N), bmi, age, sex == 0]))
    men_for_women, _ = apart(np.column_stack([np.ones(N), bmi - 28, age - 40, sex == 1]))
    assert not_centered[0] > 8
    assert men_for_women[3] > 8


def test_resampling_respects_the_weights():
    logs, weight = survey_rows()
    (crp,) = drawn(SURVEY, "crp_mg_l")
    assert np.abs(moments_apart(np.log(crp), *weighted(logs, weight))).max() < 4
    assert np.abs(moments_apart(np.log(crp), *weighted(logs, np.ones(logs.size)))).max() > 8
    for cut in (1.0, 2.0, 3.0, 5.0, 10.0):
        share = np.average(logs >= np.log(cut), weights=weight)
        assert abs(np.mean(crp >= cut) - share) < 4 * share_error(share)
    share = np.mean(logs >= np.log(2.0))
    assert abs(np.mean(crp >= 2.0) - share) > 8 * share_error(share)


def test_every_row_is_drawn_in_proportion_to_its_weight():
    """Chi-squared over the rows of the survey, by their sequence numbers."""
    (number,) = drawn(SURVEY, "seqn")
    table = read_table("nhanes_2017_2018").columns
    keep = (table["phq9_total"] >= 10) & (table["age_years"] >= 18) & (table["age_years"] <= 65)
    expected = table["survey_weight"][keep] / table["survey_weight"][keep].sum() * N
    count = np.array([(number == value).sum() for value in table["seqn"][keep]])
    assert count.sum() == N
    statistic, df = ((count - expected) ** 2 / expected).sum(), keep.sum() - 1
    assert abs(statistic - df) < 4 * np.sqrt(2 * df)
    equal = N / keep.sum()
    assert abs(((count - equal) ** 2 / equal).sum() - df) > 8 * np.sqrt(2 * df)


def test_smoothing_keeps_mean_and_sd_and_would_widen_them_without_its_shrinkage():
    logs, weight = survey_rows()
    mean, sd, kurtosis = weighted(logs, weight)
    smooth = Resampled.model_validate({**SURVEY.model_dump(), "smoothing": {"columns": ["ln(crp_mg_l)"], "bandwidth": 0.2}})
    (crp,) = drawn(smooth, "crp_mg_l")
    assert np.unique(crp).size > 0.99 * N
    shrunk = 3 + (kurtosis - 3) / 1.04**2
    assert np.abs(moments_apart(np.log(crp), mean, sd, shrunk)).max() < 4
    widened = mean + (np.log(crp) - mean) * np.sqrt(1.04)
    assert np.abs(moments_apart(widened, mean, sd, shrunk)).max() > 8


def test_the_shared_column_of_a_users_file_is_resampled_with_its_own_name():
    renamed = Resampled(data="nhanes_2017_2018", where=SURVEY.where, weights="survey_weight", covariates={"crp": "crp_mg_l"})
    (crp,), (same,) = drawn(renamed, "crp"), drawn(SURVEY, "crp_mg_l")
    assert_allclose(crp, same)
    assert pd.Series(crp).nunique() <= 344
