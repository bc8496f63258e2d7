"""Bayesian analyses against integrals computed with R (see make_marginal.R) and a published trial."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.stats.bayes import (
    BetaMixture,
    NormalMixture,
    beta_difference_exceeds,
    beta_effect,
    beta_posterior,
    beta_sample_size,
    decide,
    normal_sample_size,
    student_effect,
)
from simtrials.stats.means import Moments

HERE = Path(__file__).parent
BETAS = pd.read_csv(HERE / "marginal_betas.csv")
VALUES = pd.read_csv(HERE / "marginal_values.csv").set_index(["data", "method", "quantity"])["value"].sort_index()
MIXTURE = BetaMixture.of((0.3, 3, 4), (0.7, 11, 32))


@pytest.mark.parametrize("row", range(len(BETAS)))
def test_the_probability_of_a_difference_is_rs_integral(row):
    case = BETAS.iloc[row]
    active, control = (BetaMixture(np.ones((1, 1)), np.array([[a]]), np.array([[b]])) for a, b in ((case.a1, case.b1), (case.a0, case.b0)))
    tolerance = 1e-12 if case.a0 + case.b0 < 1000 else 2e-11  # the rounding of a log-gamma function of ten thousand, 8e4 times 2e-16
    assert_allclose(beta_difference_exceeds(active, control, case.threshold)[0], case.probability, rtol=0, atol=tolerance)


def test_effective_sample_sizes_are_rs_integrals():
    assert_allclose(beta_sample_size(MIXTURE), VALUES["betas", "elir", "sample_size"], rtol=1e-10)
    assert_allclose(normal_sample_size(NormalMixture.of((0.4, -1, 2), (0.6, 2, 0.8)), 6.0), VALUES["normals", "elir", "sample_size"], rtol=1e-10)
    assert abs(beta_sample_size(MIXTURE, "moment") / VALUES["betas", "elir", "sample_size"] - 1) > 0.1


def test_weights_are_updated_by_rs_evidence():
    weight = beta_posterior(MIXTURE, [9], [20]).weight[0, 0]
    assert_allclose(weight, VALUES["betas", "posterior", "weight_of_first"], rtol=1e-12)
    assert abs(weight - 0.3) > 0.1


def test_sleep_with_the_reference_prior_is_rs_t_test():
    groups = [[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]]
    values = np.array(groups)
    squares = ((values - values.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    found = student_effect(Moments(np.array([[10.0, 10.0]]), values.mean(axis=1)[np.newaxis], squares[np.newaxis]))
    assert_allclose(1 - found.probability[0], VALUES["sleep", "t", "p_value"], rtol=1e-12)


def test_secukinumab_in_ankylosing_spondylitis():
    """Baeten et al. (2013), Lancet 382, 1705-1713: responses of 59 % and 24 % expected, superior to placebo with a probability of 99.8 %.

    14 of 23 and 1 of 6 patients responded; the priors are Beta(0.5, 1), and for placebo Beta(11, 32), from eight earlier trials.
    """
    active, control = BetaMixture.of((1, 0.5, 1)), BetaMixture.of((1, 11, 32))
    found = beta_effect(14, 23, 1, 6, active, control)
    assert round(beta_posterior(active, 14, 23).moments[0][0], 2) == 0.59
    assert round(beta_posterior(control, 1, 6).moments[0][0], 2) == 0.24
    assert round(found.probability[0], 3) == 0.998
    assert decide(found.probability)[0] == 1
    vague = beta_effect(14, 23, 1, 6, active, BetaMixture.of((1, 1, 1)))
    assert round(vague.probability[0], 3) != 0.998
