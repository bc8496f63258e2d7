"""Selection models of the reference cases."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from meta_methods.cases import METHODS, Z, numbers_in, offers, studies
from simtrials.stats.quantiles import normal_p_value
from simtrials.stats.selection_kernels import log_likelihood_of
from simtrials.stats.selection_likelihood import critical_values, published, step_log_likelihood
from simtrials.stats.selection_models import SelectionFit, step_selection

# ---- step selection models


def steps_and_side(inputs: str) -> tuple[tuple[float, ...], str]:
    before, after = inputs.split("; alternative=")
    return numbers_in(before), after


def differentiated_across_zero(log_likelihood: Callable[[float], float]) -> float:
    """Curvature in a tau^2 of 0 as metafor has it: second differences over a likelihood that is made constant below 0.

    numDeriv's Richardson extrapolation with its settings there: steps of 1e-4, halved five times.
    """
    at_zero = log_likelihood(0.0)
    table = [-(log_likelihood(step) - at_zero) / step**2 for step in 1e-4 / 2.0 ** np.arange(6)]
    for order in range(1, 6):
        table = [(4**order * fine - coarse) / (4**order - 1) for coarse, fine in pairwise(table)]
    return table[0]


def metafor_std_errors(y: np.ndarray, v: np.ndarray, fit: SelectionFit, steps: tuple[float, ...], side: str) -> np.ndarray:
    """Standard errors of (mu, tau^2, weights but the first) where tau^2 is 0.

    Differences over a likelihood that is constant below 0 halve the curvatures between tau^2 and the others.
    """
    critical, n = critical_values(steps), 2 + len(steps)
    signed = y if side == "greater" else -y
    mean = fit.estimate if side == "greater" else -fit.estimate
    bins = (signed[:, np.newaxis] < critical * np.sqrt(v)[:, np.newaxis]).sum(axis=1)
    curvature = np.empty((n, n))
    log_likelihood_of(signed, v, bins, critical, np.concatenate([[mean, 0.0], np.log(fit.weight[1:])]), np.empty(n), curvature)
    information = -(np.tril(curvature) + np.tril(curvature, -1).T)
    information[1] /= 2
    information[:, 1] /= 2
    information[1, 1] = differentiated_across_zero(lambda tau2: step_log_likelihood(y, v, fit.estimate, tau2, fit.weight, steps, side))
    return np.sqrt(np.diag(np.linalg.inv(information))) * np.concatenate([[1, 1], fit.weight[1:]])


def step_model(name: str, inputs: str) -> dict[str, float]:
    steps, side = steps_and_side(inputs)
    y, v = (rows[0] for rows in studies(name))
    fit = step_selection(y, v, steps, side)
    errors = np.concatenate([[fit.std_error, fit.tau2_std_error], fit.weight_std_error[1:]])
    if fit.tau2_is_zero:
        errors = metafor_std_errors(y, v, fit, steps, side)
    beta, se = fit.estimate, errors[0]
    found = {"beta": beta, "se": se, "pval": normal_p_value(beta / se), "ci_lb": beta - Z * se, "ci_ub": beta + Z * se, "tau2": fit.tau2}
    found |= {"se_tau2": errors[1], "LRT": fit.selection_statistic, "LRTp": fit.selection_p_value, "logLik": fit.log_likelihood}
    for j in range(1, len(steps) + 1):
        found |= {f"delta{j + 1}": fit.weight[j], f"se_delta{j + 1}": errors[j + 1]}
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
