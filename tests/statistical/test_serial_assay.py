"""The serial assay against the bivariate log-normal and the data, within 4 Monte Carlo standard errors; a wrong version lies at least 8 away."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import ndtr
from statistical.cases_populations import COPULA, PEOPLE, SEED, SURVEY, N, moments_apart, ready, share_error, streams, survey_rows, weighted

from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.files import scenario_from
from simtrials.stats import closed_form
from simtrials.trial import prepare
from simtrials.trial.assays import Serial
from simtrials.trial.people import People
from simtrials.trial.populations.base import providers_of


def measured(assay, population, n_replicates=BLOCK_SIZE):
    """The laboratory ready, and people with their luck, of a population and an assay called crp."""
    candidates = ready(population)
    laboratory = assay.prepare("crp", candidates, streams())
    luck = candidates.draw(streams(), n_replicates, PEOPLE) | laboratory.draw(streams(), n_replicates, PEOPLE)
    return laboratory, People(luck, providers_of(candidates))


def mixture_share(ln_usual, weight, cut, within):
    """Share of the people of a file whose measurement reaches a cut-off."""
    return np.average(ndtr((ln_usual - np.log(cut)) / within), weights=weight)


def test_measuring_a_shrunken_observed_column_returns_the_mean_and_sd_of_the_data():
    logs, weight = survey_rows()
    mean, sd, kurtosis = weighted(logs, weight)
    assert (mean, sd) == (pytest.approx(0.80, abs=0.002), pytest.approx(1.168, abs=0.002))
    slope = np.sqrt(1 - 0.6**2 / sd**2)
    shrunk = mean + slope * (logs - mean)
    right, people = measured(Serial(observed="crp_mg_l", within_person_sd=0.6), SURVEY)
    reading = right.reported(people)
    assert np.abs(moments_apart(np.log(reading), mean, sd, 3 + (kurtosis - 3) * slope**4)).max() < 4
    for cut in (1.0, 2.0, 3.0, 10.0):
        exact = mixture_share(shrunk, weight, cut, 0.6)
        assert abs(np.mean(reading >= cut) - exact) < 4 * share_error(exact)
    assert mixture_share(shrunk, weight, 10.0, 0.6) == pytest.approx(0.104, abs=0.002)


def test_measuring_the_raw_column_again_counts_the_variation_twice():
    logs, weight = survey_rows()
    mean, sd, kurtosis = weighted(logs, weight)
    raw, people = measured(Serial(usual="crp_mg_l", within_person_sd=0.6), SURVEY)
    reading = raw.reported(people)
    assert np.log(reading).std() == pytest.approx(1.31, abs=0.01)
    assert np.mean(reading > 10) == pytest.approx(0.130, abs=0.003)
    assert abs(moments_apart(np.log(reading), mean, sd, kurtosis)[1]) > 8
    exact = mixture_share(logs, weight, 10.0, 0.6)
    assert abs(np.mean(reading >= 10) - exact) < 4 * share_error(exact)
    assert abs(exact - 0.104) > 8 * share_error(0.104)


def test_acute_phase_spikes_are_taken_out_of_the_shrunken_value_so_that_the_data_come_back():
    logs, weight = survey_rows()
    mean, sd, _ = weighted(logs, weight)
    laboratory, people = measured(Serial(observed="crp_mg_l", within_person_sd=0.5, spike_probability=0.05, spike_fold=8.0), SURVEY)
    reading = np.log(laboratory.reported(people))
    fourth = np.mean(((reading - mean) / sd) ** 4)
    assert np.abs(moments_apart(reading, mean, sd, fourth)).max() < 4
    kept = np.log(laboratory.usual(people)) + 0.5 * people.luck["crp.sample.0"]  # the spike forgotten
    assert np.abs(moments_apart(kept, mean, sd, fourth)).max() > 8


@pytest.mark.parametrize("weeks", [0.5, 2.0, 8.0, 26.0])
def test_two_samples_of_a_person_correlate_as_declared(weeks):
    assay = Serial(usual="crp", within_person_sd=0.6, samples=3, weeks_apart=weeks, rule="all", slow_share=0.7, slow_weeks=26.0, fast_weeks=1.5)
    laboratory, people = measured(assay, COPULA)
    deviation = [np.log(reading) - np.log(laboratory.usual(people)) for reading in laboratory.judged(people)]
    for first, second in ((0, 1), (1, 2), (0, 2)):
        apart = weeks * (second - first)
        rho = 0.7 * np.exp(-apart / 26) + 0.3 * np.exp(-apart / 1.5)
        assert assay.sample_correlation(apart) == pytest.approx(rho)
        found = np.corrcoef(deviation[first].reshape(-1), deviation[second].reshape(-1))[0, 1]
        error = (1 - rho**2) / np.sqrt(N)
        assert abs(found - rho) < 4 * error
        assert abs(found - 0) > 8 * error  # as if samples were independent
        assert abs(found - np.exp(-apart / 26)) > 8 * error  # as if all variation were slow
    for values in deviation:
        assert np.abs(moments_apart(values.reshape(-1), 0.0, 0.6)).max() < 4


def test_the_rules_judge_the_samples_as_their_names_say():
    """Shares who reach 3 mg/L on two samples half a year apart: bivariate normal for all and any, one integral for the mean."""
    sd, rho = np.hypot(1.17, 0.8), (1.17**2 + 0.64 * (0.7 * np.exp(-1) + 0.3 * np.exp(-26 / 1.5))) / (1.17**2 + 0.64)
    h = (np.log(3) - 0.8) / sd
    one, both = ndtr(-h), stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([-h, -h])
    z = np.linspace(-8, 8, 200_001)
    needed = np.maximum(6 - np.exp(0.8 + sd * z), 1e-300)
    mean = float(np.sum(stats.norm.pdf(z) * ndtr((rho * z - (np.log(needed) - 0.8) / sd) / np.sqrt(1 - rho**2))) * (z[1] - z[0]))
    exact = {"single": one, "all": both, "any": 2 * one - both, "mean": mean}
    found = {}
    for rule, share in exact.items():
        assay = {
            "kind": "serial",
            "usual": "crp",
            "within_person_sd": 0.8,
            "samples": 1 if rule == "single" else 2,
            "weeks_apart": 26.0,
            "rule": rule,
        }
        trial = prepare(small_trial(assay, [{"variable": "crp", "at_least": 3.0}]), {}, SEED)
        people = trial.draw(streams(), BLOCK_SIZE, PEOPLE)
        found[rule] = trial.trial.eligibility[0].met(people).mean()
        assert abs(found[rule] - share) < 4 * share_error(share)
        if rule == "all":  # the trial's data hold the mean of the samples
            together = trial.laboratories["crp"].judged(people)
            assert_allclose(people["crp"], np.mean(together, axis=0))
    for rule in ("all", "any", "mean"):
        assert min(abs(found[rule] - share) / share_error(share) for name, share in exact.items() if name != rule) > 8


def small_trial(assay, rules, covariates=None):
    """A trial that screens people of a log-normal CRP, mean 0.8 and SD 1.17 of ln mg/L."""
    population = {"kind": "gaussian_copula", "covariates": covariates or {"crp": {"kind": "lognormal", "mean_log": 0.8, "sd_log": 1.17}}}
    return scenario_from(
        {
            "name": "screening",
            "population": population,
            "assays": {"crp": assay},
            "eligibility": rules,
            "design": {"kind": "fixed", "arms": ["placebo", "active"], "n_patients": 20, "allocation": {"kind": "complete"}},
            "endpoints": {"score": {"kind": "continuous"}},
            "analyses": {"test": {"kind": "t_test", "endpoint": "score"}},
        }
    )


CASES = {
    "usual, no cap": ({"usual": "crp"}, 1.17, {"at_least": 2.0}),
    "usual, cap": ({"usual": "crp"}, 1.17, {"at_least": 2.0, "at_most": 10.0}),
    "observed, no cap": ({"observed": "crp"}, np.sqrt(1.17**2 - 0.36), {"at_least": 3.0}),
    "observed, cap": ({"observed": "crp"}, np.sqrt(1.17**2 - 0.36), {"at_least": 2.0, "at_most": 10.0}),
}


@pytest.mark.parametrize("case", CASES)
def test_screening_with_the_serial_assay_agrees_with_the_bivariate_log_normal(case):
    assay, between, limits = CASES[case]
    trial = prepare(small_trial({"kind": "serial", "within_person_sd": 0.6, **assay}, [{"variable": "crp", **limits}]), {}, SEED)
    luck = streams()
    people = trial.draw(luck, BLOCK_SIZE, PEOPLE)
    met = trial.trial.eligibility[0].met(people)
    laboratory = trial.laboratories["crp"]
    usual, repeat, cut = laboratory.usual(people)[met], laboratory.repeat(people, luck)[met], limits["at_least"]
    n = usual.size
    log_normal = {"mean": 0.8, "between_sd": between, "within_sd": 0.6, **limits}

    share = closed_form.measured_share(**log_normal)
    without_variation = closed_form.measured_share(**{**log_normal, "within_sd": 1e-9})
    assert abs(met.mean() - share) < 4 * share_error(share)
    if abs(without_variation - share) > 12 * share_error(share):  # near the median the variation moves few people
        assert abs(met.mean() - without_variation) > 8 * share_error(share)

    above = closed_form.usual_above_share(cut, **log_normal)
    assert abs(np.mean(usual >= cut) - above) < 4 * share_error(above, n)
    among_all = ndtr((0.8 - np.log(cut)) / between)  # as if screening said nothing of the usual value
    assert abs(np.mean(usual >= cut) - among_all) > 8 * share_error(above, n)

    again = closed_form.repeat_above_share(cut, **log_normal)
    assert abs(np.mean(repeat >= cut) - again) < 4 * share_error(again, n)
    shared = closed_form.repeat_above_share(cut, **log_normal, within_correlation=0.5)  # as if the second sample shared half the deviation
    assert abs(np.mean(repeat >= cut) - shared) > 8 * share_error(again, n)

    exact = closed_form.usual_value_of_enrolled(**log_normal)
    fourth = np.mean(((np.log(usual) - exact.mean) / exact.sd) ** 4)
    assert np.abs(moments_apart(np.log(usual), exact.mean, exact.sd, fourth)).max() < 4
    as_measured = np.log(people["crp"][met])  # without regression to the mean
    assert abs(moments_apart(as_measured, exact.mean, exact.sd, fourth)[0]) > 8


def test_a_second_sample_a_fortnight_later_agrees_with_the_bivariate_log_normal():
    assay = Serial(usual="crp", within_person_sd=0.6, samples=2, rule="any", weeks_apart=2.0)
    laboratory, people = measured(assay, COPULA)
    first, second = laboratory.judged(people)
    kept = second[first >= 2.0]
    log_normal = {"mean": 0.8, "between_sd": 1.17, "within_sd": 0.6, "at_least": 2.0}
    exact = closed_form.repeat_above_share(2.0, **log_normal, within_correlation=float(assay.sample_correlation(2.0)))
    independent = closed_form.repeat_above_share(2.0, **log_normal)
    assert abs(np.mean(kept >= 2.0) - exact) < 4 * share_error(exact, kept.size)
    assert abs(np.mean(kept >= 2.0) - independent) > 8 * share_error(exact, kept.size)


def test_spikes_mix_two_log_normals():
    laboratory, people = measured(Serial(usual="crp", within_person_sd=0.6, spike_probability=0.1, spike_fold=10.0), COPULA)
    reading = laboratory.reported(people)
    plain = {"mean": 0.8, "between_sd": 1.17, "within_sd": 0.6}
    for cut in (2.0, 10.0):
        without, with_spike = (closed_form.measured_share(**plain, at_least=limit) for limit in (cut, cut / 10))
        exact = 0.9 * without + 0.1 * with_spike
        assert abs(np.mean(reading >= cut) - exact) < 4 * share_error(exact)
        assert abs(np.mean(reading >= cut) - without) > 8 * share_error(exact)


def test_readings_are_censored_at_the_limit_and_rounded_to_the_step():
    assay = Serial(usual="crp", within_person_sd=0.6, limit_of_detection=0.3, resolution=0.5)
    laboratory, people = measured(assay, COPULA)
    reading = laboratory.reported(people)
    plain = {"mean": 0.8, "between_sd": 1.17, "within_sd": 0.6}
    below = reading == 0.3 / np.sqrt(2)
    exact = 1 - closed_form.measured_share(**plain, at_least=0.3)
    assert abs(below.mean() - exact) < 4 * share_error(exact)
    steps = reading[~below] * 2
    assert np.array_equal(steps, np.rint(steps))
    for cut in (2.0, 3.0):
        rounded = closed_form.measured_share(**plain, at_least=cut - 0.25)
        assert abs(np.mean(reading >= cut) - rounded) < 4 * share_error(rounded)
        assert abs(np.mean(reading >= cut) - closed_form.measured_share(**plain, at_least=cut)) > 8 * share_error(rounded)
