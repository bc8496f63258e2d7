"""Every analysis of courses, from declaration to estimate, against a slow calculation from the raw numbers of the same trials.

The trials have gaps, loss and strata. What an analysis takes from a trial (outcome, visit, sign, covariates, strata, missing values) is worked out
here by hand; the slow methods are those of `double`.
"""

from functools import cache

import examples
import numpy as np
import pytest
from double import bayes as bayes_twin
from double import imputation, log_binomial, marginal, mmrm, ordinal, stratified, stratified_ranks, survival, win_ratio
from scipy.optimize import brentq
from scipy.stats import t

from simtrials.core.status import Status
from simtrials.engine.cells import ready

N_TRIALS = 3
WEEKS = (2.0, 4.0, 8.0)


@cache
def block():
    departures = {
        "lost": {"kind": "dropout", "rate": 0.25, "mechanism": "mar", "log_odds_per_point": 0.05},
        "gaps": {"kind": "gaps", "probability": 0.06},
        "stopped": {"kind": "discontinuation", "rate": 0.2},
    }
    made = examples.scenario(departures=departures, n_replicates=256)
    return ready(made, examples.tables()).trials(0).data


class Trial:
    """The raw numbers of one trial."""

    def __init__(self, row):
        data = block()
        measured = data.endpoints["symptoms"]
        self.value, self.baseline = measured.value[row].copy(), measured.baseline[row]
        self.arm, self.stratum = data.arm[row].astype(int), data.stratum[row]
        self.change = self.value - self.baseline[:, None]
        self.response = np.where(np.isnan(self.value), np.nan, 2 * self.value <= self.baseline[:, None])
        self.remission = np.where(np.isnan(self.value), np.nan, self.value <= 10)
        self.ln_crp = np.log(np.asarray(data.columns["crp"])[row])
        self.stopped = data.events["stopped"][row]

    def counts(self, event):
        """Events and patients by stratum: active, then control."""
        known, strata = ~np.isnan(event), np.unique(self.stratum)
        cells = [[((self.stratum == s) & (self.arm == a) & known & keep).sum() for s in strata] for a in (1, 0) for keep in (event == 1, True)]
        return cells[0], cells[1], cells[2], cells[3]

    def first_response(self):
        """Week of the first response seen, or of the last visit seen, and whether it happened."""
        time, event = np.zeros(len(self.arm)), np.zeros(len(self.arm), dtype=bool)
        for p in range(len(self.arm)):
            for visit, week in enumerate(WEEKS):
                if not np.isnan(self.response[p, visit]):
                    time[p] = week
                    if self.response[p, visit] == 1:
                        event[p] = True
                        break
        return time, event


def found(declared, row):
    analysis = examples.component("analyses", {"endpoint": "symptoms", **declared})
    estimates = analysis.estimate(block())
    assert estimates.status[row] == Status.OK
    return estimates, analysis


ROWS = pytest.mark.parametrize("row", range(N_TRIALS))


@ROWS
@pytest.mark.parametrize("df", ["satterthwaite", "kenward_roger"])
def test_mmrm(row, df):
    trial = Trial(row)
    estimates, _ = found({"kind": "mmrm", "covariates": ["baseline", "ln(crp)"], "df": df}, row)
    data = mmrm.repeated_measures(trial.change, trial.arm, 1, [trial.baseline, trial.ln_crp])
    fit = mmrm.Fit(data, mmrm.unstructured(3))
    variance, degrees = fit.kenward_roger() if df == "kenward_roger" else (fit.variance, fit.satterthwaite())
    assert estimates.estimate[row] == pytest.approx(-fit.estimate, rel=1e-5)
    assert estimates.std_error[row] == pytest.approx(np.sqrt(variance), rel=1e-4)
    assert estimates.df[row] == pytest.approx(degrees, rel=1e-2)  # second derivatives of the twin are numerical


@ROWS
def test_random_slope(row):
    trial = Trial(row)
    estimates, _ = found({"kind": "random_slope", "contrast": "slope"}, row)
    fit = mmrm.Fit(mmrm.slopes(trial.change, WEEKS, trial.arm, 1, [trial.baseline]), mmrm.random_slope(WEEKS))
    assert estimates.estimate[row] == pytest.approx(-fit.estimate, rel=1e-4, abs=1e-4 * np.sqrt(fit.variance))
    assert estimates.std_error[row] == pytest.approx(np.sqrt(fit.variance), rel=1e-3)


def deviation(trial, event):
    """First visit after the event, or after the last one seen."""
    seen = ~np.isnan(trial.value)
    end = np.array([max(np.flatnonzero(row), default=-1) + 1 for row in seen])
    if not event:
        return end
    happened = np.isfinite(trial.stopped)
    return np.where(happened, [(np.array(WEEKS) <= week).sum() for week in trial.stopped], end)


@ROWS
@pytest.mark.parametrize("assumption", ["missing_at_random", "jump_to_reference", "copy_increments", "copy_reference"])
@pytest.mark.parametrize("event", [None, "stopped"])
def test_conditional_mean(row, assumption, event):
    """Scores are imputed and the change is analysed with the baseline; visits after the event are those that the assumption is about."""
    trial = Trial(row)
    declared = {"kind": "conditional_mean", "assumption": assumption, "delta": 2.0} | ({"deviation": event} if event else {})
    estimates, _ = found(declared, row)
    end, columns = deviation(trial, event), trial.baseline[:, None]
    lost = np.isnan(trial.value[:, -1]) & (trial.arm == 1)
    effect, error = imputation.jackknife(trial.value, columns, trial.arm, end, assumption, False, 2, np.where(lost, 2.0, 0.0))
    assert estimates.estimate[row] == pytest.approx(-effect, rel=1e-8)
    assert estimates.std_error[row] == pytest.approx(error, rel=1e-8)


def test_imputation_comes_to_the_conditional_mean_and_deltas_move_it():
    """With many imputations, on average over trials; and a sweep shows what the same analysis with that delta shows."""
    many, _ = found({"kind": "multiple_imputation", "n_imputations": 100}, 0)
    mean, _ = found({"kind": "conditional_mean"}, 0)
    apart, seen = many.estimate - mean.estimate, block().endpoints["symptoms"].observed
    assert abs(apart.mean()) < 4 * apart.std() / 16
    monotone = (seen[:, :, :-1] >= seen[:, :, 1:]).all(axis=(1, 2))  # only there do both use the same visits
    assert monotone.sum() > 4
    assert (np.abs(apart[monotone]) < 4 * many.std_error[monotone] / 10).all()
    swept, analysis = found({"kind": "multiple_imputation", "n_imputations": 10, "deltas": [3.0]}, 0)
    moved, _ = found({"kind": "multiple_imputation", "n_imputations": 10, "delta": 3.0}, 0)
    critical = t.isf(analysis.alpha / 2, moved.df)
    np.testing.assert_array_equal(swept.flags["benefit shown at delta 3"], moved.statistic > critical)
    assert (moved.estimate < swept.estimate + 1e-9).all()  # the active arm is made worse
    assert (moved.estimate < swept.estimate - 0.1).mean() > 0.9


@ROWS
@pytest.mark.parametrize("measure", ["risk_difference", "risk_ratio", "odds_ratio"])
def test_standardization(row, measure):
    trial = Trial(row)
    scale = measure if measure == "risk_difference" else f"log_{measure}"
    data = (trial.response[:, -1], trial.arm, 1, [trial.baseline], scale)
    effect, conditional, superpopulation = marginal.effect(*data)
    for variance, error in (("conditional", conditional), ("superpopulation", superpopulation)):
        estimates, _ = found({"kind": "standardization", "outcome": "response", "measure": measure, "variance": variance}, row)
        assert estimates.estimate[row] == pytest.approx(effect, rel=1e-6)
        assert estimates.std_error[row] == pytest.approx(error, rel=1e-4)


@ROWS
def test_mantel_haenszel(row):
    trial = Trial(row)
    counts = trial.counts(np.where(np.isnan(trial.response[:, -1]), 0.0, trial.response[:, -1]))  # missing is failure
    estimates, _ = found({"kind": "mantel_haenszel", "outcome": "response", "missing": "non_response"}, row)
    effect, variance = stratified.risk_difference(*counts)
    assert estimates.estimate[row] == pytest.approx(float(effect))
    assert estimates.std_error[row] == pytest.approx(np.sqrt(float(variance)))
    ratio, _ = found({"kind": "mantel_haenszel", "outcome": "response", "measure": "odds_ratio", "missing": "non_response", "test": "cmh"}, row)
    effect, error = stratified.log_odds_ratio(*counts)
    assert ratio.estimate[row] == pytest.approx(effect)
    assert ratio.std_error[row] == pytest.approx(error)
    assert ratio.statistic[row] == pytest.approx(stratified.cmh_statistic(*counts))


@ROWS
def test_log_binomial_and_modified_poisson(row):
    trial = Trial(row)
    estimates, _ = found({"kind": "log_binomial", "outcome": "response", "covariates": []}, row)
    risks = [np.nanmean(trial.response[trial.arm == a, -1]) for a in (1, 0)]
    assert estimates.estimate[row] == pytest.approx(np.log(risks[0] / risks[1]))
    poisson, _ = found({"kind": "log_binomial", "outcome": "response", "model": "modified_poisson", "covariates": ["baseline"]}, row)
    effect, error = log_binomial.modified_poisson(trial.response[:, -1], trial.arm, 1, [trial.baseline])
    assert poisson.estimate[row] == pytest.approx(effect, rel=1e-5)
    assert poisson.std_error[row] == pytest.approx(error, rel=1e-4)


@ROWS
def test_proportional_odds_and_van_elteren(row):
    trial = Trial(row)
    estimates, _ = found({"kind": "proportional_odds", "outcome": "score", "covariates": ["baseline"]}, row)
    effect, error, _ = ordinal.fit(trial.value[:, -1], trial.arm, 1, [trial.baseline])
    assert estimates.estimate[row] == pytest.approx(-effect, rel=1e-4)  # odds of a better, that is a lower, score
    assert estimates.std_error[row] == pytest.approx(error, rel=1e-4)
    ranked, _ = found({"kind": "van_elteren"}, row)
    assert ranked.statistic[row] == pytest.approx(-stratified_ranks.z(trial.change[:, -1], trial.arm, 1, trial.stratum))


@ROWS
def test_times_to_response(row):
    trial = Trial(row)
    time, event = trial.first_response()
    kept = time > 0
    excess, variance = survival.log_rank(time[kept], event[kept], trial.arm[kept] == 1)
    ranked, _ = found({"kind": "log_rank", "outcome": "response"}, row)
    assert ranked.statistic[row] == pytest.approx(excess / np.sqrt(variance))
    cox, _ = found({"kind": "cox", "outcome": "response", "covariates": ["baseline"]}, row)
    effect, error, _ = survival.cox(time[kept], event[kept], trial.arm[kept], 1, [trial.baseline[kept]])
    assert cox.estimate[row] == pytest.approx(effect, rel=1e-5)
    assert cox.std_error[row] == pytest.approx(error, rel=1e-5)
    curves, _ = found({"kind": "kaplan_meier", "outcome": "response"}, row)
    heights = [survival.curve(time[kept & (trial.arm == a)], event[kept & (trial.arm == a)], 8.0)[0] for a in (1, 0)]
    assert curves.estimate[row] == pytest.approx(heights[1] - heights[0])


@ROWS
def test_win_ratio(row):
    trial = Trial(row)
    estimates, _ = found({"kind": "win_ratio"}, row)
    wins, losses, *covariances = win_ratio.pairs([trial.response[:, -1], trial.change[:, -1]], trial.arm, 1, [True, False], [0.0, 0.0])
    variance = covariances[0] / wins**2 + covariances[1] / losses**2 - 2 * covariances[2] / (wins * losses)
    assert estimates.estimate[row] == pytest.approx(np.log(wins / losses))
    assert estimates.std_error[row] == pytest.approx(np.sqrt(variance), rel=1e-6)


@ROWS
def test_bayesian_risks(row):
    """Historical controls that are worth 40 patients, with a uniform part: probability and limits by numerical integration."""
    trial = Trial(row)
    declared = {"kind": "bayesian_risks", "outcome": "response", "control_prior": [{"mean": 0.35, "n": 40.0}], "robust_weight": 0.2}
    estimates, analysis = found(declared, row)
    events = trial.response[:, -1]
    active, control = ((int(np.nansum(events[trial.arm == a])), int((~np.isnan(events[trial.arm == a])).sum())) for a in (1, 0))
    prior = [(0.8, 14.0, 26.0), (0.2, 1.0, 1.0)]

    posteriors = [bayes_twin.risk_posterior([(1.0, 1.0, 1.0)], *active), bayes_twin.risk_posterior(prior, *control)]
    assert estimates.estimate[row] == pytest.approx(posteriors[0][1] - posteriors[1][1])

    def exceeds(limit):
        return bayes_twin.risk_difference_exceeds(*((density, cuts) for density, _, _, cuts in posteriors), limit)

    probability = exceeds(0.0)
    assert estimates.decision[row] == int(probability > analysis.probability) - int(1 - probability > analysis.probability)
    for limit, tail in ((estimates.lower[row], 0.975), (estimates.upper[row], 0.025)):
        assert exceeds(limit) == pytest.approx(tail, abs=1e-5)


@ROWS
def test_bayesian_means(row):
    trial = Trial(row)
    plain, _ = found({"kind": "bayesian_means"}, row)
    pooled, _ = found({"kind": "t_test"}, row)
    for number in ("estimate",):
        assert getattr(plain, number)[row] == pytest.approx(getattr(pooled, number)[row])
    margin = t.isf(0.025, pooled.df[row]) * pooled.std_error[row]
    assert plain.lower[row] == pytest.approx(pooled.estimate[row] - margin)
    assert plain.upper[row] == pytest.approx(pooled.estimate[row] + margin)
    declared = {"kind": "bayesian_means", "control_prior": [{"mean": -10.0, "sd": 2.0}], "patient_sd": 8.0}
    informed, _ = found(declared, row)
    change = trial.change[:, -1]
    means, sizes = ([np.nanmean(change[trial.arm == a]) for a in (1, 0)], [(~np.isnan(change[trial.arm == a])).sum() for a in (1, 0)])
    precision = 1 / 2.0**2 + sizes[1] / 64
    control = (-10.0 / 4 + means[1] * sizes[1] / 64) / precision
    assert informed.estimate[row] == pytest.approx(control - means[0])
    assert informed.std_error[row] == pytest.approx(np.sqrt(1 / precision + 64 / sizes[0]))
    assert informed.upper[row] == pytest.approx(informed.estimate[row] + 1.959964 * informed.std_error[row], rel=1e-6)


def test_limits_of_a_mixture_are_where_its_tails_are():
    from simtrials.stats.bayes import NormalMixture, PosteriorEffect
    from simtrials.stats.bayes_intervals import normal_interval

    active = NormalMixture(np.array([[1.0]]), np.array([[2.0]]), np.array([[0.5]]))
    control = NormalMixture(np.array([[0.7, 0.3]]), np.array([[0.0, -6.0]]), np.array([[0.3, 1.0]]))
    mean, variance = 2.0 + 1.8, 0.25 + 0.7 * 0.09 + 0.3 * 1.0 + 0.7 * 0.3 * 36
    effect = PosteriorEffect(np.array([mean]), np.array([np.sqrt(variance)]), np.array([np.nan]), np.array([0]))

    def exceeds(place):
        from scipy.stats import norm

        return 0.7 * norm.sf(place, 2.0, np.hypot(0.5, 0.3)) + 0.3 * norm.sf(place, 8.0, np.hypot(0.5, 1.0))

    for level in (0.5, 0.9, 0.95, 0.999):
        interval = normal_interval(effect, active, control, level)
        for limit, tail in ((interval.lower[0], 1 - (1 - level) / 2), (interval.upper[0], (1 - level) / 2)):
            assert limit == pytest.approx(brentq(lambda place, tail=tail: exceeds(place) - tail, -30, 40), abs=1e-7)
            assert abs(limit - (mean + np.sign(0.5 - tail) * 1.96 * np.sqrt(variance))) > 0.1  # the named wrong version: a normal


@pytest.mark.parametrize(("events", "n"), [((0, 0), (5, 5)), ((5, 0), (5, 5)), ((5, 5), (5, 5)), ((0, 3), (2, 400))])
def test_limits_at_the_edge_stay_inside(events, n):
    from simtrials.stats.bayes import BetaMixture, beta_difference_exceeds, beta_effect, beta_posterior
    from simtrials.stats.bayes_intervals import beta_interval

    prior = BetaMixture.of((1.0, 1.0, 1.0))
    counts = [np.array([x]) for pair in zip(events, n, strict=True) for x in pair]
    effect = beta_effect(*counts, prior, prior, 0.0)
    active, control = beta_posterior(prior, counts[0], counts[1]), beta_posterior(prior, counts[2], counts[3])
    interval = beta_interval(effect, active, control, 0.95)
    assert -1 < interval.lower[0] < interval.upper[0] < 1
    assert beta_difference_exceeds(active, control, interval.lower)[0] == pytest.approx(0.975, abs=1e-7)
    assert beta_difference_exceeds(active, control, interval.upper)[0] == pytest.approx(0.025, abs=1e-7)
