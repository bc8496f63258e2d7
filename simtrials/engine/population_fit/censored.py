"""Normal regression of a logarithm that is known only to lie below a limit in some people."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.engine.population_fit.survey import SurveyDesign

MAX_ITERATIONS = 100


@dataclass(frozen=True, slots=True)
class CensoredFit:
    """Coefficients (k,), residual SD, and the design-based standard errors of both, (k + 1,)."""

    coefficients: FloatArray
    sd: float
    std_errors: FloatArray


def fit_censored(y: FloatArray, below: BoolArray, x: FloatArray, weight: FloatArray, used: BoolArray, design: SurveyDesign) -> CensoredFit:
    """Weighted maximum likelihood; where `below`, `y` is the limit and the likelihood is that of lying under it.

    y, below, weight, used : (n,); x : (n, k), the regressors with a column of ones. Without values below the limit this is weighted least
    squares, with the residual SD over n. The likelihood is concave in (coefficients / sd, 1 / sd), so Newton's method finds its maximum.
    Standard errors are those of estimating equations under the survey design.

    Source: Tobin 1958, Econometrica 26:24; Olsen 1978, Econometrica 46:1211 (parameters); Binder 1983, International Statistical Review 51:279.
    """
    share = weight[used] / weight[used].sum()
    y, below, x = y[used], below[used], x[used]
    across = np.column_stack([-x, y])
    theta = _start(y, x, share)
    value = _log_likelihood(theta, across, below, share)
    for _ in range(MAX_ITERATIONS):
        scores, curvature = _derivatives(theta, across, below)
        information = (curvature * share[:, np.newaxis]).T @ across
        information[-1, -1] += share[~below].sum() / theta[-1] ** 2
        step = np.linalg.solve(information, share @ scores)
        theta, value, moved = _stepped(theta, step, value, across, below, share)
        if moved < 1e-10:
            break
    else:
        raise SimtrialsError("the regression of ln CRP did not converge; too many values lie below the limit of detection")
    influence = np.zeros((used.size, theta.size))
    influence[used] = (share[:, np.newaxis] * scores) @ np.linalg.inv(information)
    sd = 1 / theta[-1]
    change = np.zeros((theta.size, theta.size))  # derivative of (coefficients, sd) by (coefficients / sd, 1 / sd)
    change[:-1, :-1] = np.eye(theta.size - 1) * sd
    change[:-1, -1], change[-1, -1] = -theta[:-1] * sd**2, -(sd**2)
    covariance = change @ design.covariance(influence) @ change.T
    return CensoredFit(theta[:-1] * sd, float(sd), np.sqrt(np.diag(covariance)))


def _start(y: FloatArray, x: FloatArray, share: FloatArray) -> FloatArray:
    """The estimates if a value below the limit were the limit."""
    beta = np.linalg.solve((x * share[:, np.newaxis]).T @ x, x.T @ (share * y))
    h = 1 / np.sqrt((share * (y - x @ beta) ** 2).sum())
    return np.append(beta * h, h)


def _log_likelihood(theta: FloatArray, across: FloatArray, below: BoolArray, share: FloatArray) -> float:
    if theta[-1] <= 0:
        return -np.inf
    u = across @ theta
    return float((share * np.where(below, log_ndtr(u), np.log(theta[-1]) - u**2 / 2)).sum())


def _derivatives(theta: FloatArray, across: FloatArray, below: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Score of each person (n, k + 1), and minus the second derivative along `across` times `across`."""
    u = across @ theta
    mills = np.exp(-(u**2) / 2 - np.log(2 * np.pi) / 2 - log_ndtr(u))
    first = np.where(below, mills, -u)
    second = np.where(below, mills * (u + mills), 1.0)
    scores = first[:, np.newaxis] * across
    scores[:, -1] += np.where(below, 0.0, 1 / theta[-1])
    return scores, second[:, np.newaxis] * across


def _stepped(
    theta: FloatArray, step: FloatArray, value: float, across: FloatArray, below: BoolArray, share: FloatArray
) -> tuple[FloatArray, float, float]:
    """One step uphill, halved until the likelihood does not fall; how far it went."""
    for _ in range(40):
        reached = _log_likelihood(theta + step, across, below, share)
        if reached >= value - 1e-14:
            return theta + step, reached, float(np.abs(step).max())
        step = step / 2
    return theta, value, 0.0
