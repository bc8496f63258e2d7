"""Beta-binomial model of two arms over studies: risks of an arm vary between studies with one correlation, arms of a study as if independent.

Events y of n patients in arm j have mean n p_j and variance n p_j (1 - p_j) (1 + (n - 1) rho). With odds g = rho / (1 - rho) the likelihood is

    prod_{r < y} (p + r g) prod_{r < n - y} (1 - p + r g) / prod_{r < n} (1 + r g),

which is regular at g = 0, the binomial, and over many studies needs only how many have y > r, n - y > r and n > r. There are as many risks as
arms, so that the link does not matter: one maximum gives the log odds ratio, the log risk ratio and the risk difference.

Letters in comments: S studies, J the two arms.
"""

from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_status import MetaStatus

STARTS = (0.003, 0.03, 0.2)
"""Correlations from which the search starts, besides that of moments at the boundary: the likelihood may have two maxima."""
MAX_STEPS = 100
LARGEST_CORRELATION = 0.999999
NEGLIGIBLE = 1e-12
"""Gain of log-likelihood that a Newton step promises where it stops."""
NOT_CONVERGED, SINGLE_STUDY = int(MetaStatus.NOT_CONVERGED), int(MetaStatus.SINGLE_STUDY)
TOO_FEW_STUDIES, EMPTY_CELL = int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.EMPTY_CELL)
LOG_RATIO, DIFFERENCE, LOG_ODDS = 0, 1, 2
MEASURES = {"RR": LOG_RATIO, "RD": DIFFERENCE, "OR": LOG_ODDS}


class BetaBinomial(NamedTuple):
    """Effect of active against control and correlation, (replicate,) each."""

    estimate: FloatArray
    std_error: FloatArray
    rho: FloatArray
    """correlation of two patients of the same arm of a study; 0 where the binomial fits best, whose standard error then is given"""
    log_likelihood: FloatArray
    """with the binomial coefficients"""
    risk_active: FloatArray
    risk_control: FloatArray
    n_studies: IntArray
    status: IntArray


@kernel
def _more_than(counts: FloatArray, k: int, out: FloatArray) -> int:
    """How many of the first k counts exceed r = 0, 1, ..., in `out`; returns the largest count."""
    top = 0
    for s in range(k):
        top = max(top, int(counts[s]))
    for r in range(top + 1):
        out[r] = 0.0
    for s in range(k):
        out[int(counts[s])] += 1.0
    above = 0.0
    for r in range(top, -1, -1):
        here = out[r]
        out[r] = above
        above += here
    return top


@kernel
def _rising(weights: FloatArray, top: int, p: float, g: float, sums: FloatArray) -> None:
    """Weighted sum of log(p + r g) over r < top, with its derivatives: by p, by g, by p twice, by p and g, by g twice."""
    value, by_p, by_g, by_pp, by_pg, by_gg = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for r in range(top):
        x = p + r * g
        slope = weights[r] / x
        value += weights[r] * np.log(x)
        by_p += slope
        by_g += slope * r
        bent = slope / x
        by_pp -= bent
        by_pg -= bent * r
        by_gg -= bent * r * r
    sums[0], sums[1], sums[2], sums[3], sums[4], sums[5] = value, by_p, by_g, by_pp, by_pg, by_gg


@kernel
def _derivatives(more: FloatArray, tops: IntArray, x: FloatArray, gradient: FloatArray, hessian: FloatArray, sums: FloatArray) -> float:
    """Log-likelihood at x = logits of both risks and of the correlation (minus infinity: 0), less its binomial coefficients.

    `more` (5, r): events and non-events of active, of control, patients of both. At a correlation of 0 the third derivatives are those by g.
    """
    rho = 1.0 / (1.0 + np.exp(-x[2]))
    g = np.exp(x[2])
    value, by_g, by_gg = 0.0, 0.0, 0.0
    for j in range(2):
        p = 1.0 / (1.0 + np.exp(-x[j]))
        q = 1.0 / (1.0 + np.exp(x[j]))
        _rising(more[2 * j], tops[2 * j], p, g, sums[0])
        _rising(more[2 * j + 1], tops[2 * j + 1], q, g, sums[1])
        value += sums[0, 0] + sums[1, 0]
        by_g += sums[0, 2] + sums[1, 2]
        by_gg += sums[0, 5] + sums[1, 5]
        by_p, by_pp, by_pg = sums[0, 1] - sums[1, 1], sums[0, 3] + sums[1, 3], sums[0, 4] - sums[1, 4]
        slope = p * q
        gradient[j] = by_p * slope
        hessian[j, j] = by_pp * slope * slope + by_p * slope * (q - p)
        hessian[2, j] = by_pg * slope
    _rising(more[4], tops[4], 1.0, g, sums[0])
    value -= sums[0, 0]
    by_g -= sums[0, 2]
    by_gg -= sums[0, 5]
    gradient[2], hessian[2, 2], hessian[0, 1] = by_g, by_gg, 0.0
    if g > 0.0:  # d g / d logit rho = g
        gradient[2] = by_g * g
        hessian[2, 2] = by_gg * g * g + by_g * g
        hessian[2, 0] *= g
        hessian[2, 1] *= g
    hessian[0, 2], hessian[1, 2], hessian[1, 0] = hessian[2, 0], hessian[2, 1], 0.0
    return value if rho < 1.0 else -np.inf


@kernel
def _solved(hessian: FloatArray, gradient: FloatArray, damping: float, step: FloatArray) -> bool:
    """Newton's step of ascent with a damped Hessian, whose first two rows are not coupled; whether that Hessian is negative definite."""
    a, b, c = damping - hessian[0, 0], damping - hessian[1, 1], damping - hessian[2, 2]
    u, v = -hessian[2, 0], -hessian[2, 1]
    if a <= 0.0 or b <= 0.0:
        return False
    schur = c - u * u / a - v * v / b
    if schur <= 1e-14 * abs(c):
        return False
    step[2] = (gradient[2] - u * gradient[0] / a - v * gradient[1] / b) / schur
    step[0] = (gradient[0] - u * step[2]) / a
    step[1] = (gradient[1] - v * step[2]) / b
    return True


@kernel
def _climb(more: FloatArray, tops: IntArray, x: FloatArray, gradient: FloatArray, hessian: FloatArray, sums: FloatArray) -> tuple[float, bool]:
    """From x to a maximum, with x replaced; the log-likelihood there and whether the search has converged.

    Correlations that fall below 1e-9 have converged: the boundary is compared by the caller.
    """
    step, tried = np.empty(3), np.empty(3)
    highest = np.log(LARGEST_CORRELATION / (1.0 - LARGEST_CORRELATION))
    value = _derivatives(more, tops, x, gradient, hessian, sums)
    for _ in range(MAX_STEPS):
        damping = 0.0
        while not _solved(hessian, gradient, damping, step):
            damping = max(2.0 * damping, 1e-3 * (abs(hessian[0, 0]) + abs(hessian[1, 1]) + abs(hessian[2, 2])), 1e-8)
        promised = gradient[0] * step[0] + gradient[1] * step[1] + gradient[2] * step[2]
        if promised <= NEGLIGIBLE and damping == 0.0:
            return value, True
        if x[2] < -20.7:
            return value, True
        size = 1.0
        for c in range(3):
            if abs(step[c]) > 2.0:
                size = min(size, 2.0 / abs(step[c]))
        found = False
        for _ in range(30):
            for c in range(3):
                tried[c] = x[c] + size * step[c]
            tried[2] = min(tried[2], highest)
            new = _derivatives(more, tops, tried, gradient, hessian, sums)
            if new >= value + 1e-4 * size * promised or (promised <= 1e-8 and new >= value - 1e-9 * (1.0 + abs(value))):
                found = True
                break
            size *= 0.5
        if not found:
            _derivatives(more, tops, x, gradient, hessian, sums)
            return value, promised <= 1e-7
        x[:] = tried
        value = new
        if x[2] >= highest:
            return value, False
    return value, False


@kernel
def _contrast(p: float, q: float, measure: int) -> tuple[float, float]:
    """The risk on the scale of the measure, and its slope by the logit."""
    if measure == LOG_RATIO:
        return np.log(p), q
    if measure == DIFFERENCE:
        return p, p * q
    return np.log(p / q), 1.0


@kernel
def _report(x: FloatArray, hessian: FloatArray, measure: int, bound: bool, out: FloatArray) -> None:
    """Estimate, standard error and both risks from logits and Hessian; the correlation is known where it is bound to 0."""
    p1, p0, q1, q0 = 1.0 / (1.0 + np.exp(-x[0])), 1.0 / (1.0 + np.exp(-x[1])), 1.0 / (1.0 + np.exp(x[0])), 1.0 / (1.0 + np.exp(x[1]))
    (active, up), (control, down) = _contrast(p1, q1, measure), _contrast(p0, q0, measure)
    variance = -up * up / hessian[0, 0] - down * down / hessian[1, 1]
    if not bound:
        # inverse of an arrow matrix: what the uncertain correlation adds
        along = up * hessian[2, 0] / hessian[0, 0] - down * hessian[2, 1] / hessian[1, 1]
        schur = hessian[2, 2] - hessian[2, 0] ** 2 / hessian[0, 0] - hessian[2, 1] ** 2 / hessian[1, 1]
        variance -= along * along / schur
    out[0], out[1], out[4], out[5] = active - control, np.sqrt(variance), p1, p0


@kernel
def _fit_one(data: FloatArray, k: int, measure: int, more: FloatArray, tops: IntArray, out: FloatArray) -> int:
    """One meta-analysis: `data` (5, S) events and non-events of active, of control, as `more`; the status."""
    total = np.empty(4)
    for j in range(4):
        total[j] = data[j, :k].sum()
        tops[j] = _more_than(data[j], k, more[j])
    for s in range(k):
        data[4, s], data[4, k + s] = data[0, s] + data[1, s], data[2, s] + data[3, s]
    tops[4] = _more_than(data[4], 2 * k, more[4])
    out[:] = np.nan
    if total.min() == 0.0:
        return EMPTY_CELL
    gradient, hessian, sums = np.empty(3), np.empty((3, 3)), np.empty((2, 6))
    x, best = np.empty(3), np.empty(3)
    best[0], best[1], best[2] = np.log(total[0] / total[1]), np.log(total[2] / total[3]), -np.inf
    at_zero = _derivatives(more, tops, best, gradient, hessian, sums)
    highest, converged, bound = at_zero, True, True
    if k > 1:
        for rho in STARTS:
            x[0], x[1], x[2] = np.log(total[0] / total[1]), np.log(total[2] / total[3]), np.log(rho / (1.0 - rho))
            value, settled = _climb(more, tops, x, gradient, hessian, sums)
            if value > highest + 1e-9 and x[2] > -20.7:
                highest, converged, bound = value, settled, False
                best[:] = x
    if not converged:
        return NOT_CONVERGED
    _derivatives(more, tops, best, gradient, hessian, sums)
    _report(best, hessian, measure, bound, out)
    out[2], out[3] = 0.0 if bound else 1.0 / (1.0 + np.exp(-best[2])), highest
    if k == 1:
        out[2] = np.nan
        return SINGLE_STUDY
    return 0


@kernel
def _fit(cells: FloatArray, measure: int, longest: int, out: FloatArray, n_studies: IntArray, status: IntArray) -> None:
    """All meta-analyses: `cells` (4, replicate, S), `out` (replicate, 6)."""
    size = cells.shape[2]
    data, more, tops = np.empty((5, 2 * size)), np.empty((5, longest + 1)), np.empty(5, dtype=np.int64)
    for replicate in range(cells.shape[1]):
        k = 0
        for s in range(size):
            if cells[0, replicate, s] == cells[0, replicate, s]:
                for j in range(4):
                    data[j, k] = cells[j, replicate, s]
                k += 1
        n_studies[replicate] = k
        if k == 0:
            out[replicate] = np.nan
            status[replicate] = TOO_FEW_STUDIES
        else:
            status[replicate] = _fit_one(data, k, measure, more, tops, out[replicate])


def beta_binomial(cells: FloatArray, measure: str = "OR") -> BetaBinomial:
    """Maximum likelihood of the beta-binomial model with a risk for each arm and one correlation.

    Parameters
    ----------
    cells : (4, replicate, study) whole numbers: active with and without the event, control with and without; NaN for an absent study
    measure : "OR" log odds ratio, "RR" log risk ratio, "RD" risk difference

    Returns
    -------
    BetaBinomial. EMPTY_CELL where an arm has no events, or events only, in all studies; NOT_CONVERGED where the search fails or the correlation
    runs to 1, as where in every arm all patients have the same outcome; SINGLE_STUDY is the binomial, without a correlation

    Source: Griffiths (1973), Biometrics 29, 637-648; Kuss (2015), Statistics in Medicine 34, 1097-1116.
    """
    from scipy.special import gammaln

    known = ~np.isnan(cells).any(axis=0)
    whole = np.ascontiguousarray(np.where(known, np.rint(cells), np.nan))
    n_replicates = whole.shape[1]
    totals = np.stack([whole[0] + whole[1], whole[2] + whole[3]])
    longest = int(np.nanmax(totals, initial=0.0))
    out, n_studies, status = np.empty((n_replicates, 6)), np.zeros(n_replicates, dtype=np.int64), np.zeros(n_replicates, dtype=np.int64)
    _fit(whole, MEASURES[measure], longest, out, n_studies, status)
    coefficients = gammaln(totals + 1) - gammaln(whole[[0, 2]] + 1) - gammaln(whole[[1, 3]] + 1)
    log_likelihood = out[:, 3] + np.nansum(coefficients, axis=(0, 2))
    return BetaBinomial(out[:, 0], out[:, 1], out[:, 2], log_likelihood, out[:, 4], out[:, 5], n_studies, status)
