"""Methods of the fit: against other software and plain loops, and known populations recovered from their own patients."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.engine.files import read_table
from simtrials.engine.population_fit import fit_population
from simtrials.engine.population_fit.censored import fit_censored
from simtrials.engine.population_fit.latent import both_below, latent_correlation, normal_scores, rectangle, valid_correlation
from simtrials.engine.population_fit.survey import SurveyDesign, correlation_with_error, effective_size, mean_with_error


def test_the_censored_regression_agrees_with_survreg_on_the_whole_survey():
    """Values below 1.15 mg/L censored; R 4 survival::survreg(Surv(y, crp >= 1.15, type = "left"), weights = survey_weight, dist = "gaussian")."""
    fit = fit_population("nhanes_2017_2018", weights="survey_weight", below_limit="crp_below_lod", limit_of_detection=1.15)
    found = fit.regression
    values = (found.intercept, found.bmi_slope, found.age_slope, found.female, found.residual_sd)
    assert_allclose(values, (0.336295197124, 0.076139728990, 0.002793832515, 0.224648249256, 1.053426359999), rtol=1e-7)
    assert_allclose((fit.log_normal.mean, fit.log_normal.sd), (0.6029295136, 1.2142149598), rtol=1e-8)


def test_correlations_of_categories_agree_with_polycor_on_the_whole_survey():
    """R polycor: polychor(ML = FALSE), whose search stops within 1.2e-4; polyserial(ML = TRUE), which also moves the thresholds."""
    columns = read_table("nhanes_2017_2018").columns
    known = ~np.isnan(columns["phq9_anhedonia_item"]) & ~np.isnan(columns["bmi_kg_m2"])
    one = np.ones(int(known.sum()))
    item, age = columns["phq9_anhedonia_item"][known], columns["age_years"][known]
    sex = normal_scores(columns["sex"].codes[known].astype(float), one, tied=True)
    bmi = normal_scores(columns["bmi_kg_m2"][known], one)
    four = normal_scores(item, one, tied=True)
    two = normal_scores((item >= 1).astype(float), one, tied=True)
    old = normal_scores((age >= 50).astype(float), one, tied=True)
    assert latent_correlation(sex, four, one) == pytest.approx(-0.1015124062, abs=1.2e-4)
    assert latent_correlation(old, two, one) == pytest.approx(-0.006862964153, abs=1.2e-4)
    assert latent_correlation(bmi, sex, one) == pytest.approx(-0.05143432457, abs=5e-4)
    assert latent_correlation(bmi, four, one) == pytest.approx(0.08895433496, abs=5e-4)


@pytest.mark.parametrize("rho", [-0.98, -0.5, 0.0, 0.3, 0.9, 0.98])
def test_rectangles_of_two_normals_agree_with_scipy(rho):
    grid = np.array([-9.0, -1.3, 0.0, 0.4, 2.2, 9.0])
    x, y = (side.reshape(-1) for side in np.meshgrid(grid, grid))
    exact = [multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([a, b]) for a, b in zip(x, y, strict=True)]
    assert_allclose(both_below(x, y, rho), exact, atol=2e-8)
    whole = rectangle(*(np.array([end]) for end in (-9.0, 9.0, -9.0, 9.0)), rho)
    assert_allclose(whole, 1.0, atol=1e-12)


def test_the_sampling_error_agrees_with_loops_over_strata_and_clusters():
    rng = np.random.default_rng(5)
    stratum, cluster = rng.integers(0, 4, 200), rng.integers(0, 5, 200)
    value, weight = rng.normal(size=200), rng.uniform(0.2, 3, 200)
    pairs, place = np.unique(np.column_stack([stratum, cluster]), axis=0, return_inverse=True)
    mean, error = mean_with_error(value, weight, SurveyDesign(place.reshape(-1), pairs[:, 0]))
    variance = 0.0
    for h in range(4):
        totals = [
            sum(w * (v - mean) / weight.sum() for v, w, s, c in zip(value, weight, stratum, cluster, strict=True) if (s, c) == (h, j))
            for j in range(5)
        ]
        variance += 5 / 4 * sum((total - sum(totals) / 5) ** 2 for total in totals)
    assert mean == pytest.approx(np.average(value, weights=weight))
    assert error == pytest.approx(np.sqrt(variance), rel=1e-12)


def test_a_cluster_in_which_nobody_is_used_still_counts():
    value, weight = np.array([1.0, 2.0, 4.0]), np.ones(3)
    cluster = np.array([0, 0, 1])
    without = mean_with_error(value, weight, SurveyDesign(cluster, np.array([0, 0])))[1]
    with_third = mean_with_error(value, weight, SurveyDesign(cluster, np.array([0, 0, 0])))[1]
    assert with_third == pytest.approx(without * np.sqrt((3 / 2) / 2), rel=1e-12)  # the totals add to 0, so only k / (k - 1) changes


FILES, PEOPLE = 60, 800


def known_people(rng, n=PEOPLE):
    """Patients of a copula: ln CRP ~ N(0.8, 1.17), BMI ~ N(29, 6), 60% women, a three-level category; the correlations of the normals."""
    matrix = np.array([[1.0, 0.5, 0.3, 0.4], [0.5, 1.0, -0.1, 0.2], [0.3, -0.1, 1.0, 0.1], [0.4, 0.2, 0.1, 1.0]])
    z = rng.standard_normal((n, 4)) @ np.linalg.cholesky(matrix).T
    return z, matrix


def test_latent_correlations_are_recovered_where_codes_would_be_too_weak():
    rng = np.random.default_rng(20260302)
    one = np.ones(PEOPLE)
    found, naive = np.empty((FILES, 6)), np.empty((FILES, 6))
    for k in range(FILES):
        z, matrix = known_people(rng)
        numbers = np.column_stack([z[:, 0], z[:, 1], z[:, 2] > 0.25, (z[:, 3] > -0.5).astype(float) + (z[:, 3] > 1.0)])
        below = z[:, 0] < 0.0
        numbers[below, 0] = 0.0
        scores = [normal_scores(numbers[:, 0], one, below=below), normal_scores(numbers[:, 1], one)]
        scores += [normal_scores(numbers[:, j], one, tied=True) for j in (2, 3)]
        pairs = list(zip(*np.triu_indices(4, 1), strict=True))
        found[k] = [latent_correlation(scores[i], scores[j], one) for i, j in pairs]
        naive[k] = np.corrcoef(numbers.T)[np.triu_indices(4, 1)]
    truth = matrix[np.triu_indices(4, 1)]
    error = found.std(axis=0, ddof=1) / np.sqrt(FILES)
    assert np.abs((found.mean(axis=0) - truth) / error).max() < 4
    assert np.abs((naive.mean(axis=0) - truth) / error)[[0, 1, 2]].min() > 8  # CRP with the other three


def test_weights_undo_a_sample_that_took_more_women_and_more_of_the_heavy_among_them():
    rng = np.random.default_rng(20260303)
    weighted, unweighted = [], []
    for _ in range(FILES):
        z, matrix = known_people(rng, 4 * PEOPLE)
        woman = z[:, 2] > 0.25
        chance = np.where(woman, 0.9, 0.5) * np.where(woman == (z[:, 1] > 0), 0.9, 0.3)
        taken = rng.random(4 * PEOPLE) < chance
        z, weight = z[taken], 1 / chance[taken]
        for weights, kept in ((weight, weighted), (np.ones(weight.size), unweighted)):
            scores = [normal_scores(z[:, 1], weights), normal_scores((z[:, 2] > 0.25).astype(float), weights, tied=True)]
            kept.append([np.average(z[:, 2] > 0.25, weights=weights), latent_correlation(*scores, weights)])
    truth, error = (1 - ndtr(0.25), matrix[1, 2]), np.std(weighted, axis=0, ddof=1) / np.sqrt(FILES)
    assert np.abs((np.mean(weighted, axis=0) - truth) / error).max() < 4
    assert np.abs((np.mean(unweighted, axis=0) - truth) / error).min() > 8


def test_a_censored_regression_is_recovered_where_half_the_limit_would_not_do():
    rng = np.random.default_rng(20260304)
    truth = np.array([0.46, 0.067, 0.006, 0.22, 1.0])
    found, errors, naive = [], [], []
    for _ in range(2 * FILES):
        x = np.column_stack([np.ones(PEOPLE), rng.normal(1, 6, PEOPLE), rng.uniform(-22, 25, PEOPLE), rng.random(PEOPLE) < 0.6])
        y = x @ truth[:4] + truth[4] * rng.standard_normal(PEOPLE)
        below, everybody = y < 0.2, np.ones(PEOPLE, dtype=bool)
        design = SurveyDesign(np.arange(PEOPLE), np.zeros(PEOPLE, dtype=int))
        fit = fit_censored(np.where(below, 0.2, y), below, x, np.ones(PEOPLE), everybody, design)
        found.append([*fit.coefficients, fit.sd])
        errors.append(fit.std_errors)
        half = np.where(below, 0.2 - np.log(np.sqrt(2)), y)
        beta = np.linalg.lstsq(x, half, rcond=None)[0]
        naive.append([*beta, (half - x @ beta).std()])
    spread = np.std(found, axis=0, ddof=1)
    error = spread / np.sqrt(2 * FILES)
    bias_of_sd = np.array([0, 0, 0, 0, 4 / (2 * PEOPLE)])  # of maximum likelihood: (n - k) / n in the variance
    assert np.abs((np.mean(found, axis=0) + bias_of_sd - truth) / error).max() < 4
    assert np.abs((np.mean(naive, axis=0) - truth) / error)[[0, 1, 4]].min() > 8
    assert_allclose(np.mean(errors, axis=0), spread, rtol=4 * np.sqrt(1 / (4 * FILES)))  # standard errors: right on average


def test_standard_errors_hold_for_clusters_where_those_of_single_people_do_not():
    rng = np.random.default_rng(20260305)
    found = {"mean": [], "correlation": []}
    errors = {"mean": [], "correlation": []}
    single = []
    stratum, cluster = np.repeat(np.arange(20), 3), np.repeat(np.arange(60), 12)
    for _ in range(600):
        shared = rng.normal(0, 0.6, (60, 2))[cluster] + np.repeat(np.linspace(-1, 1, 20), 36)[:, np.newaxis]
        x, y = (shared + rng.normal(0, 1, (720, 2))).T
        weight = rng.uniform(0.5, 1.5, 720)
        design, people = SurveyDesign(cluster, stratum), SurveyDesign(np.arange(720), np.zeros(720, dtype=int))
        for name, result in (
            ("mean", mean_with_error(y, weight, design)),
            ("correlation", correlation_with_error(x, y, weight, np.ones(720, dtype=bool), design)),
        ):
            found[name].append(result[0])
            errors[name].append(result[1])
        single.append(mean_with_error(y, weight, people)[1])
    noise = np.sqrt(1 / (2 * 600))  # of an SD from 600 values
    for name in found:
        ratio = np.sqrt(np.mean(np.square(errors[name]))) / np.std(found[name], ddof=1)
        assert abs(ratio - 1) < 4 * noise
    assert abs(np.sqrt(np.mean(np.square(single))) / np.std(found["mean"], ddof=1) - 1) > 8 * noise


def test_a_copula_with_categories_and_a_limit_of_detection_comes_back_from_its_own_patients(tmp_path):
    rng = np.random.default_rng(20260306)
    n = 20_000
    z, matrix = known_people(rng, n)
    level = np.array(["mild", "moderate", "severe"])[(z[:, 3] > -0.5).astype(int) + (z[:, 3] > 1.0)]
    crp = np.exp(0.8 + 1.17 * z[:, 0])
    table = pd.DataFrame({"crp": crp, "bmi": 29 + 6 * z[:, 1], "woman": (z[:, 2] > 0.25).astype(int), "severity": level})
    table["crp"] = np.where(crp < 1.0, 0.0, table["crp"])
    table.to_csv(tmp_path / "people.csv", index=False)
    fit = fit_population(tmp_path / "people.csv", crp="crp", limit_of_detection=1.0, columns=["bmi", "woman", "severity"])
    assert fit.declared["covariates"]["woman"] == {"kind": "bernoulli", "probability": pytest.approx(1 - ndtr(0.25), abs=4 * 0.5 / np.sqrt(n))}
    assert list(fit.declared["covariates"]["severity"]["shares"]) == ["mild", "moderate", "severe"]  # the order of their mean CRP
    assert_allclose(fit.declared["correlation"], matrix, atol=4 * 1.6 / np.sqrt(n))
    assert fit.log_normal.mean == pytest.approx(0.8, abs=4 * fit.log_normal.mean_error)
    assert fit.log_normal.sd == pytest.approx(1.17, abs=4 * fit.log_normal.sd_error)
    truth = {cut: ndtr((0.8 - np.log(cut)) / 1.17) for cut in (0.5, 2.0, 5.0, 20.0)}
    again = fit_population(tmp_path / "people.csv", crp="crp", limit_of_detection=1.0, columns=[], cuts=list(truth))
    for row in again.prevalences:
        assert row.share.fitted == pytest.approx(truth[row.cut], abs=4 * np.sqrt(0.25 / n))  # also below the limit, by the log-normal tail
    for pair in fit.associations:
        found = pair.correlation
        assert found.fitted == pytest.approx(found.data, abs=4 * found.std_error)


def test_parametric_marginals_choose_the_family_that_made_the_data(tmp_path):
    rng = np.random.default_rng(20260307)
    n = 3000
    table = pd.DataFrame(
        {
            "crp": np.exp(rng.normal(0.8, 1.17, n)),
            "normal": rng.normal(-3, 5, n),
            "lognormal": np.exp(rng.normal(1, 0.8, n)),
            "gamma": rng.gamma(1.5, 4, n),
            "beta": 18 + 47 * rng.beta(1.2, 0.8, n),
        }
    )
    table.to_csv(tmp_path / "people.csv", index=False)
    fit = fit_population(tmp_path / "people.csv", crp="crp", columns=["normal", "lognormal", "gamma", "beta"], marginals="parametric")
    assert {name: marginal["kind"] for name, marginal in fit.declared["covariates"].items()} == {
        "crp": "lognormal",
        **{name: name for name in ("normal", "lognormal", "gamma", "beta")},
    }
    gamma = fit.declared["covariates"]["gamma"]
    assert (gamma["mean"] / gamma["sd"]) ** 2 == pytest.approx(1.5, rel=0.1)


def test_scales_and_items_keep_their_whole_numbers(tmp_path):
    fit = fit_population("nhanes_2017_2018", weights="survey_weight", columns=["phq9_total", "phq9_anhedonia_item"])
    table = read_table("nhanes_2017_2018").columns
    candidates = fit.population.prepare({}, frozenset())
    luck = candidates.draw(Streams(1, Purpose.RUN, 0), BLOCK_SIZE, 1024)
    known = ~np.isnan(table["crp_mg_l"]) & ~np.isnan(table["phq9_total"]) & ~np.isnan(table["phq9_anhedonia_item"])
    for name in ("phq9_total", "phq9_anhedonia_item"):
        drawn = candidates.column(luck, name)
        assert np.mean(drawn == np.rint(drawn)) > 0.9999
        data = {value: table["survey_weight"][known & (table[name] == value)].sum() / table["survey_weight"][known].sum() for value in range(4)}
        for value, share in data.items():
            assert np.mean(drawn == value) == pytest.approx(share, abs=4 * np.sqrt(0.25 / drawn.size) + 1e-5)


def test_correlations_that_cannot_hold_together_become_the_nearest_that_can():
    matrix = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    near, change = valid_correlation(matrix)
    assert np.linalg.eigvalsh(near)[0] > 0
    assert change > 0.1
    good, unchanged = valid_correlation(np.array([[1.0, 0.5], [0.5, 1.0]]))
    assert unchanged == 0
    assert_allclose(good, [[1.0, 0.5], [0.5, 1.0]])


def test_two_columns_that_are_the_same_still_make_a_population(tmp_path):
    rng = np.random.default_rng(8)
    table = pd.DataFrame({"crp": np.exp(rng.normal(size=60)), "one": rng.normal(size=60)}).assign(same=lambda t: 2 * t["one"])
    table.to_csv(tmp_path / "people.csv", index=False)
    fit = fit_population(tmp_path / "people.csv", crp="crp", columns=["one", "same"])
    assert fit.declared["correlation"][1][2] > 0.98
    assert any("the correlations could not hold together" in note for note in fit.notes)


def test_the_effective_size_is_the_number_of_people_when_all_weigh_the_same():
    assert effective_size(np.full(37, 2.5)) == pytest.approx(37)
    assert effective_size(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)


def test_normal_scores_are_those_of_ranks():
    scores = normal_scores(np.array([3.0, 1.0, 2.0, 5.0]), np.ones(4))
    assert_allclose(scores.middle, ndtri([0.625, 0.125, 0.375, 0.875]))
    assert scores.exact.all()
    tied = normal_scores(np.array([0.0, 0.0, 1.0, 7.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    assert tied.exact.tolist() == [False, False, True, True]
    assert_allclose(tied.high[0], ndtri(0.5), atol=1e-12)
