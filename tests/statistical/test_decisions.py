"""Assurance, decisions and pilots against integrals that were written down anew, each beside a named wrong version; and the error of an average
over a Latin hypercube against how averages vary over many hypercubes."""

import numpy as np
import pytest
from contracts.test_planning import TRIAL, trial
from scipy import stats
from scipy.special import ndtr

from simtrials.engine.decision import Decision, Pilot
from simtrials.planning.assurance import assurance
from simtrials.planning.decisions import decisions
from simtrials.planning.hypercube import drawn, mean_over, ratio_difference, ratio_over
from simtrials.planning.pilot import pilot_value
from simtrials.stats.closed_form import assurance_limit, assurance_normal_prior
from simtrials.trial.distributions import Normal

MEAN, SD, N, FEWER = 0.3, 0.3, 80, 24
RULE = Decision(analysis="t_test", lower_reference=0.1, target=0.5)
PRIOR = {"endpoints.score.effects.active.points": {"kind": "normal", "mean": MEAN, "sd": SD}}
TRIALS = trial(priors=PRIOR, design=TRIAL["design"] | {"n_patients": N})
HOW = {"n_draws": 80, "n_jobs": 1}
EFFECT = MEAN + SD * stats.norm.ppf((np.arange(4000) + 0.5) / 4000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("points")


@pytest.fixture(scope="module")
def decided(folder):
    return decisions(TRIALS, decision=RULE, out=folder, **HOW)


@pytest.fixture(scope="module")
def piloted(folder):
    return pilot_value(TRIALS, pilot=Pilot(n_patients=FEWER, decision=RULE), analyses=["t_test"], out=folder, **HOW)


def by_estimated_error(n):
    """(S,) standard errors as a trial of n patients estimates them, each as likely as any other, the true one, and the degrees of freedom."""
    true = np.sqrt(4 / n)
    return true * np.sqrt(stats.chi2(n - 2).ppf((np.arange(400) + 0.5) / 400) / (n - 2)), true, n - 2


def chances(effect, n, rule, quantiles=None):
    """Go and stop at each effect: the estimate is normal, its standard error independent of it."""
    errors, true, df = by_estimated_error(n)
    q_go, q_stop = quantiles or stats.t(df).ppf([1 - rule.false_go, 1 - rule.false_stop])
    stop_below = rule.target - q_stop * errors
    go_above = np.maximum(stop_below, rule.lower_reference + q_go * errors)
    z = (np.stack([go_above, stop_below])[:, np.newaxis] - np.asarray(effect)[:, np.newaxis]) / true
    return 1 - ndtr(z[0]).mean(axis=1), ndtr(z[1]).mean(axis=1)


def power(effect, n):
    errors, true, df = by_estimated_error(n)
    return ndtr((np.asarray(effect)[:, np.newaxis] - stats.t(df).ppf(0.975) * errors) / true).mean(axis=1)


def test_assurance_is_the_closed_form_within_the_smaller_error(folder):
    found = assurance(TRIALS, analyses=["t_test"], out=folder, **HOW).analyses["t_test"]
    exact = float(assurance_normal_prior(MEAN, SD, n_active=N // 2, n_control=N // 2, test="t"))
    assert exact == pytest.approx(power(EFFECT, N).mean(), abs=1e-4)
    assert abs(found.value - exact) < 4 * found.mcse
    without = float(assurance_normal_prior(MEAN, 0.0, n_active=N // 2, n_control=N // 2, test="t"))
    assert abs(found.value - without) > 8 * found.mcse, "a version without the prior would have been seen"
    assert found.mcse < 0.4 * found.powers.std(ddof=1) / np.sqrt(found.powers.size)


def test_with_thousands_of_patients_assurance_is_the_probability_that_the_effect_is_above_0(folder):
    large = trial(priors=PRIOR, design=TRIAL["design"] | {"n_patients": 4000})
    result = assurance(large, analyses=["t_test"], n_draws=40, n_replicates=256, n_jobs=1, out=folder)
    found, limit = result.analyses["t_test"], float(assurance_limit(MEAN, SD))
    exact = float(assurance_normal_prior(MEAN, SD, n_active=2000, n_control=2000, test="t"))
    assert abs(found.value - exact) < 4 * found.mcse
    assert abs(found.value - limit) < 4 * found.mcse + (limit - exact)
    missing = ndtr((1.96 * np.sqrt(4 / 4000) - MEAN) / SD) - (1 - limit)
    assert limit - exact == pytest.approx(missing, abs=0.003), "what is missing are effects above 0 that so many patients do not yet show"
    assert result.nothing_or_harm == pytest.approx(1 - limit, abs=1 / 40)
    assert found.declared.value > limit + 8 * found.mcse, "the power at the declared value is not the limit"


def test_go_and_stop_are_those_of_normal_theory(decided):
    go, stop = (one.mean() for one in chances(EFFECT, N, RULE))
    for outcome, exact in (("go", go), ("stop", stop), ("consider", 1 - go - stop)):
        found = decided.average(outcome)
        assert abs(found.value - exact) < 4 * found.mcse
    swapped = Decision(lower_reference=0.1, target=0.5, false_go=RULE.false_stop, false_stop=RULE.false_go)
    wrong = [one.mean() for one in chances(EFFECT, N, swapped)]
    assert abs(decided.average("stop").value - wrong[1]) > 8 * decided.average("stop").mcse, "swapped error rates would have been seen"


@pytest.mark.parametrize("outcome", ["go", "stop"])
@pytest.mark.parametrize(("name", "low", "high"), [("at_target", 0.5, 9.0), ("between", 0.1, 0.5), ("at_lower_reference", -9.0, 0.1)])
def test_decisions_given_the_true_effect_are_those_of_normal_theory(decided, outcome, name, low, high):
    within = EFFECT[np.clip(EFFECT, low, high) == EFFECT]
    exact = dict(zip(("go", "stop"), chances(within, N, RULE), strict=True))[outcome].mean()
    found = decided.given(outcome, name)
    assert abs(found.value - exact) < 4 * found.mcse
    assert abs(decided.members[name].mean() - within.size / EFFECT.size) < 2 / 80


def test_at_the_reference_values_the_errors_are_the_tolerated_ones_at_most():
    """Go at the lower reference value at most false_go, stop at the target exactly false_stop: what the two rates mean."""
    (go, _), (at_target, stop) = (chances([value], N, RULE) for value in (RULE.lower_reference, RULE.target))
    assert go[0] <= RULE.false_go + 1e-3
    assert stop[0] == pytest.approx(RULE.false_stop, abs=1e-3)
    assert at_target[0] > 0.5


def test_a_pilot_is_the_double_integral(piloted):
    go_on = 1 - chances(EFFECT, FEWER, RULE)[1]
    shown = power(EFFECT, N)
    both = piloted.success("t_test")
    for found, exact in ((both.at_once, shown.mean()), (both.pilot_first, (go_on * shown).mean()), (piloted.run, go_on.mean())):
        assert abs(found.value - exact) < 4 * found.mcse
    assert abs(both.difference.value - (go_on * shown - shown).mean()) < 4 * both.difference.mcse
    apart = go_on.mean() * shown.mean()
    assert abs(both.pilot_first.value - apart) > 8 * both.pilot_first.mcse, "pilot and trial as if their drugs were not the same would have been seen"
    harm = EFFECT <= 0
    for found, exact in (
        (piloted.avoided, (1 - go_on)[harm].mean()),
        (piloted.not_run, (1 - go_on)[~harm].mean()),
        (piloted.lost("t_test"), ((1 - go_on) * shown)[~harm].mean()),
    ):
        assert abs(found.value - exact) < 4 * found.mcse
    each = piloted.patients_per_success("t_test")
    ratios = N / shown.mean(), (FEWER + N * go_on.mean()) / (go_on * shown).mean()
    for found, exact in zip((each.at_once, each.pilot_first, each.difference), (*ratios, ratios[1] - ratios[0]), strict=True):
        assert abs(found.value - exact) < 4 * found.mcse


SURFACES = {
    "one prior": (("a",), lambda d: ndtr(1.5 * d["a"] - 0.3)),
    "one steep prior": (("a",), lambda d: ndtr(6 * d["a"] - 1)),
    "two priors": (("a", "b"), lambda d: ndtr(1.5 * d["a"] * np.exp(0.3 * d["b"]) - 0.3)),
    "two that only act together": (("a", "b"), lambda d: ndtr(2 * d["a"] * d["b"])),
}


@pytest.mark.parametrize("name", SURFACES)
def test_the_error_of_an_average_is_how_averages_vary_over_hypercubes(name):
    """600 hypercubes of 60 draws with 64 trials at each. The estimated variance may be too large, where a power is steep or fields act together,
    and too small by no more than its own error: the standard error of a variance of 600 averages is 6%."""
    fields, surface = SURFACES[name]
    priors, rng = {field: Normal(mean=0.0, sd=1.0) for field in fields}, np.random.default_rng(8)
    averages, variances, naive = [], [], []
    for seed in range(600):
        draws = drawn(priors, 60, seed)
        shares = rng.binomial(64, surface(draws)) / 64
        found = mean_over(shares, draws, 64)
        averages.append(found.value)
        variances.append(found.mcse**2)
        naive.append(shares.var(ddof=1) / shares.size)
    seen = float(np.var(averages, ddof=1))
    assert np.mean(variances) > (1 - 4 * 0.06) * seen
    assert np.mean(variances) < 1.5 * seen
    assert np.mean(naive) > np.mean(variances) * (1.0 if name.startswith("two that") else 3.0), "the error of independent draws is far too large"


def test_the_errors_of_ratios_and_of_their_difference_are_how_they_vary():
    prior, rng = {"a": Normal(mean=0.5, sd=0.7)}, np.random.default_rng(9)
    values, variances = [], []
    for seed in range(600):
        draws = drawn(prior, 60, seed)
        shown, run = (rng.binomial(64, ndtr(slope * draws["a"])) / 64 for slope in (1.5, 0.8))
        pairs = (np.full(60, 100.0), shown), (20 + 100 * run, run * shown)
        found = ratio_over(*pairs[0], draws), ratio_over(*pairs[1], draws), ratio_difference(pairs[1], pairs[0], draws)
        values.append([one.value for one in found])
        variances.append([one.mcse**2 for one in found])
    ratio = np.mean(variances, axis=0) / np.var(values, axis=0, ddof=1)
    assert (ratio > 1 - 4 * 0.06).all()
    assert (ratio < 1.5).all()
