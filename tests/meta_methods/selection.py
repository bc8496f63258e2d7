"""Selection models of the reference cases."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from meta_methods.cases import METHODS, Z, numbers_in, offers, studies
from simtrials.stats.quantiles import normal_p_value
from simtrials.stats.selection_models import published, step_log_likelihood, step_selection

# ---- step selection models


def steps_and_side(inputs: str) -> tuple[tuple[float, ...], str]:
    before, after = inputs.split("; alternative=")
    return numbers_in(before), after


def differentiated_across_zero(log_likelihood: Callable[[float], float]) -> float:
    """Standard error of a tau^2 of 0 as metafor has it: second differences over a likelihood that is made constant below 0.

    numDeriv's Richardson extrapolation with its settings there: steps of 1e-4, halved five times.
    """
    at_zero = log_likelihood(0.0)
    table = [-(log_likelihood(step) - at_zero) / step**2 for step in 1e-4 / 2.0 ** np.arange(6)]
    for order in range(1, 6):
        table = [(4**order * fine - coarse) / (4**order - 1) for coarse, fine in pairwise(table)]
    return table[0] ** -0.5


def step_model(name: str, inputs: str) -> dict[str, float]:
    steps, side = steps_and_side(inputs)
    y, v = studies(name)
    fit = step_selection(y, v, steps, side)
    beta, se, se_tau2 = fit.estimate[0], fit.std_error[0], fit.tau2_std_error[0]
    if fit.tau2_is_zero[0]:
        se_tau2 = differentiated_across_zero(lambda tau2: step_log_likelihood(y, v, fit.estimate, tau2, fit.weight, steps, side)[0])
    found = {"beta": beta, "se": se, "pval": normal_p_value(beta / se), "ci_lb": beta - Z * se, "ci_ub": beta + Z * se, "tau2": fit.tau2[0]}
    found |= {"se_tau2": se_tau2, "LRT": fit.statistic[0], "LRTp": fit.p_value[0], "logLik": fit.log_likelihood[0]}
    for j in range(1, len(steps) + 1):
        found |= {f"delta{j + 1}": fit.weight[0, j], f"se_delta{j + 1}": fit.weight_std_error[0, j]}
    return found


STEP_QUANTITIES = ["beta", "se", "pval", "ci_lb", "ci_ub", "tau2", "se_tau2", "LRT", "LRTp", "logLik"]
STEP_QUANTITIES += [f"{kind}{j}" for kind in ("delta", "se_delta") for j in (2, 3, 4, 5)]
for parameters in (3, 4, 5, 6):
    for origin in ("selmodel", "multistart"):
        offers(f"{parameters}PSM_{origin}", *STEP_QUANTITIES)(step_model)


def setting(name: str) -> tuple[float, float]:
    """Share published and mean of the published, from 'step selection mu=0 tau=0 n/arm=15 w=0'."""
    mu, tau, n, w = numbers_in(name)
    return published(mu, tau**2, 2 / n, (1.0, w))


METHODS["fraction_published"] = lambda name, inputs: float(setting(name)[0])
METHODS["mean_published"] = lambda name, inputs: float(setting(name)[1])
