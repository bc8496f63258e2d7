"""Binomial-normal models against R's lme4 1.1 (R 4.2.2) at tolerances that let it reach the maximum.

    control <- glmerControl(optimizer = "bobyqa", tolPwrss = tolerance, optCtrl = list(rhoend = 1e-10, maxfun = 1e6))
    random studies:    glmer(cbind(events, others) ~ 1 + active + (1 | study) + (0 + half | study), binomial, nAGQ = 1, control = control)
    study intercepts:  glmer(cbind(events, others) ~ 0 + active + study + (0 + half | study), binomial, nAGQ = 7, control = control)

with half = 1/2 under active and -1/2 under control. Numbers are compared within 1e-5: the noise of lme4's likelihood and its differences.
"""

import numpy as np
import pytest
from meta_methods.counts import counts
from scipy.special import gammaln

from simtrials.stats.count_glmm import count_glmm

ROWS = [
    ("bcg", "random_study", 1e-11, -0.7616489548, 0.1821413425, 0.319859745, 252.5925546),
    ("li2007", "random_study", 1e-9, -0.5881947435, 0.1661899649, 0.1920418385, 271.2097854),
    ("li2007", "unconditional", 1e-10, -0.5797656939, 0.1657092850, 0.1744079716, None),
]


@pytest.mark.parametrize(("name", "model", "tolerance", "estimate", "std_error", "tau2", "deviance"), ROWS)
def test_the_maximum_is_that_of_lme4_at_a_tight_tolerance(name, model, tolerance, estimate, std_error, tau2, deviance):
    tables = counts(name)
    fit = count_glmm(*tables, model)
    assert np.abs([fit.estimate[0] - estimate, fit.std_error[0] - std_error, fit.tau2[0] - tau2]).max() < 1e-5
    if deviance is not None:
        a, n1, c, n0 = tables
        coefficients = sum((gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)).sum() for y, n in ((a, n1), (c, n0)))
        assert abs(-2 * (fit.log_likelihood[0] + coefficients) - deviance) < 1e-5
