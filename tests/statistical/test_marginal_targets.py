"""Marginal effects of response: each variance covers the truth that it is about.

Ge et al. (2011) hold the covariates of the trial fixed: the target is the effect in these patients, and differs between trials. Ye et al. (2023) is
about the population that the trial is drawn from.
"""

import numpy as np
import pytest
from statistical.cases_missing import NORMAL, scenario
from statistical.helpers import prepared, simulate, standard_error_under

from simtrials.engine.truth import references, truths

N = 20_480
ENDPOINT = NORMAL | {
    "scale": NORMAL["scale"] | {"remission_cut": -60.0},
    "correlation": {"kind": "compound_symmetry", "rho": 0.95},
    "effects": {"active": {"kind": "constant", "points": 60.0}},
}
"""Remission hangs on the baseline: risks from near 0 to near 1, so that patients differ in what the drug can do for them."""
ANALYSES = {way: {"kind": "standardization", "outcome": "remission", "variance": way} for way in ("conditional", "superpopulation")}


@pytest.fixture(scope="module")
def found():
    made = scenario("marginal targets", ENDPOINT, {}, ANALYSES, 400)
    simulation = prepared(made)
    own = references(made, simulation.trial)
    population = truths(made, simulation.trial)["superpopulation"]
    trial_truths = [made.analyses["conditional"].own_truth(simulation.trials(block).data, own["conditional"]) for block in range(N // 256)]
    return simulate(made, N), np.concatenate(trial_truths), population


def covered(judged, truth):
    return float(((judged.lower < truth) & (truth < judged.upper)).mean())


def test_each_variance_covers_its_own_truth_and_not_that_of_the_other(found):
    """The conditional variance trusts the logistic model, which is not quite that of a latent normal: it is told apart, not held to .95."""
    judged, own, population = found
    error = standard_error_under(0.95, N)
    assert abs(own.mean() - population.value) < 4 * np.hypot(own.std() / np.sqrt(N), population.std_error)
    conditional, superpopulation = judged["conditional"], judged["superpopulation"]
    assert abs(covered(superpopulation, population.value) - 0.95) < 4 * error
    assert covered(superpopulation, own) - 0.95 > 8 * error
    assert 0.95 - covered(conditional, population.value) > 8 * error
    assert abs(covered(conditional, own) - 0.95) < 0.2 * (0.95 - covered(conditional, population.value))
    assert conditional.std_error.mean() < 0.9 * superpopulation.std_error.mean()


def test_the_estimates_have_no_bias_against_either_truth(found):
    judged, own, population = found
    estimate = judged["conditional"].estimate
    np.testing.assert_array_equal(estimate, judged["superpopulation"].estimate)
    apart = estimate - own
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(N)
    assert abs(estimate.mean() - population.value) < 4 * np.hypot(estimate.std() / np.sqrt(N), population.std_error)
    assert apart.std() < 0.9 * estimate.std()  # its own truth takes part of the variation away
