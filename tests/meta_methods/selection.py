"""Selection models of the reference cases."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from meta_methods.cases import METHODS, Z, numbers_in, offers, studies
from simtrials.stats.quantiles import normal_p_value
from simtrials.stats.selection_likelihood import published, step_log_likelihood
from simtrials.stats.selection_models import step_selection

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


def metafor_std_errors(log_likelihood: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """Standard errors of (mu, tau^2, weights but the first) where tau^2 is 0.

    Differences over a likelihood that is constant below 0 halve the curvatures between tau^2 and the others.
    """
    step = np.maximum(1e-3 * np.abs(at), 1e-4)
    step[1] = 1e-6
    n = len(at)
    information = np.empty((n, n))
    for a in range(n):
        for b in range(n):
            moved = np.zeros(n)
            corners = []
            for i, j in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                moved[:] = 0.0
                moved[a] += i * step[a]
                moved[b] += j * step[b]
                corners.append(log_likelihood(at + np.maximum(moved, -at) if a == 1 or b == 1 else at + moved))
            width = step[a] * step[b] * (2 if 1 in (a, b) else 4)
            information[a, b] = -(corners[0] - corners[1] - corners[2] + corners[3]) / width
            if (a == 1) != (b == 1):
                information[a, b] /= 2
    information[1, 1] = differentiated_across_zero(lambda tau2: log_likelihood(np.concatenate([at[:1], [tau2], at[2:]])))
    return np.sqrt(np.diag(np.linalg.inv(information)))


def step_model(name: str, inputs: str) -> dict[str, float]:
    steps, side = steps_and_side(inputs)
    y, v = (rows[0] for rows in studies(name))
    fit = step_selection(y, v, steps, side)
    errors = np.concatenate([[fit.std_error, fit.tau2_std_error], fit.weight_std_error[1:]])
    if fit.tau2_is_zero:
        at = np.concatenate([[fit.estimate, 0.0], fit.weight[1:]])
        errors = metafor_std_errors(lambda x: float(step_log_likelihood(y, v, x[0], x[1], [1.0, *x[2:]], steps, side)), at)
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
