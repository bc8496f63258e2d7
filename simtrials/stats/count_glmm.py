"""Binomial-normal models of two arms over studies: log odds ratios that vary normally between studies, without corrections of zero cells.

| model | studies | random effects | likelihood |
|---|---|---|---|
| unconditional | an intercept for each study | of treatment, one half of it in each arm | adaptive quadrature, 7 points |
| conditional | given the total number of events, approximately binomial (few events) | of treatment | adaptive quadrature, 7 points |
| random_study | normal intercepts | of treatment, one half in each arm, and of studies, independent | Laplace's approximation |

These are the models UM.FS, CM.AL and UM.RS of R's metafor::rma.glmm with the coding 1/2. Standard errors come from the Hessian in all parameters.
"""

from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.arrow_newton import Arrow, arrow_for, arrow_maximum, solve_factored
from simtrials.stats.count_glmm_kernels import CONDITIONAL, RANDOM_STUDY, UNCONDITIONAL
from simtrials.stats.meta_status import MetaStatus

MODELS = {"unconditional": UNCONDITIONAL, "conditional": CONDITIONAL, "random_study": RANDOM_STUDY}
N_NODES = 7
START_SIGMAS = (0.11, 0.32, 0.73, 1.57)
BOUNDARY_GAIN = 1e-9
"""A variance whose log-likelihood is not higher than that of 0 by more than this is 0."""
LARGEST_SIGMA = 30.0
BETA, SE, TAU2, OMEGA2, Q_LRT, Q_WALD, LOG_LIKELIHOOD = range(7)
NOT_CONVERGED, SINGLE_STUDY = int(MetaStatus.NOT_CONVERGED), int(MetaStatus.SINGLE_STUDY)
TOO_FEW_STUDIES, EMPTY_CELL = int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.EMPTY_CELL)


class CountGlmm(NamedTuple):
    """Mean log odds ratio and variance between studies, (replicate,) each."""

    estimate: FloatArray
    std_error: FloatArray
    tau2: FloatArray
    study_variance: FloatArray
    """of the intercepts in the model of random studies, else NaN"""
    q: FloatArray
    """likelihood-ratio test of one odds ratio in all studies against one for each"""
    q_wald: FloatArray
    """Wald's test of the same; studies in which an odds ratio is 0 or infinite count for nothing"""
    log_likelihood: FloatArray
    """without the binomial coefficients"""
    n_studies: IntArray
    status: IntArray


@kernel
def _saturated(cells: FloatArray, k: int, model: int) -> float:
    """Log-likelihood of a separate effect for each study."""
    value = 0.0
    for s in range(k):
        for arm in range(1 if model == CONDITIONAL else 2):
            y, n = cells[s, 2 * arm], cells[s, 2 * arm + 1]
            if 0.0 < y < n:
                value += y * np.log(y / n) + (n - y) * np.log(1.0 - y / n)
    return value


@kernel
def _wald_of_studies(cells: FloatArray, k: int, model: int) -> float:
    """Q of the effects of single studies without correction, weighted by their inverse variances."""
    total, first, second = 0.0, 0.0, 0.0
    for s in range(k):
        a, b, c, d = cells[s, 0], cells[s, 1] - cells[s, 0], cells[s, 2], cells[s, 3] - cells[s, 2]
        if a > 0.0 and b > 0.0 and (model == CONDITIONAL or (c > 0.0 and d > 0.0)):
            effect = np.log(a / b) - (cells[s, 4] if model == CONDITIONAL else np.log(c / d))
            weight = 1.0 / (1.0 / a + 1.0 / b if model == CONDITIONAL else 1.0 / a + 1.0 / b + 1.0 / c + 1.0 / d)
            total += weight
            first += weight * effect
            second += weight * effect * effect
    return max(0.0, second - first * first / total) if total > 0.0 else 0.0


@kernel
def _separated(cells: FloatArray, k: int, model: int) -> bool:
    """Whether the mean log odds ratio is infinite (or unknown)."""
    up, down = 0.0, 0.0
    sums = np.zeros(4)
    for s in range(k):
        a, b, c, d = cells[s, 0], cells[s, 1] - cells[s, 0], cells[s, 2], cells[s, 3] - cells[s, 2]
        up += a if model == CONDITIONAL else a * d
        down += b if model == CONDITIONAL else b * c
        sums[0] += a
        sums[1] += b
        sums[2] += c
        sums[3] += d
    return sums.min() == 0.0 if model == RANDOM_STUDY else min(up, down) == 0.0


@kernel
def _start(cells: FloatArray, k: int, model: int, x: FloatArray, w: Arrow) -> None:
    """Crude odds ratio; logits of studies halfway between their arms."""
    a, b, c, d = 0.5, 0.5, 0.5, 0.5
    for s in range(k):
        a += cells[s, 0]
        b += cells[s, 1] - cells[s, 0]
        c += cells[s, 2]
        d += cells[s, 3] - cells[s, 2]
        w.modes[s] = 0.0
        up = np.log((cells[s, 0] + 0.5) / (cells[s, 1] - cells[s, 0] + 0.5))
        w.own[s, 0] = 0.5 * (up + np.log((cells[s, 2] + 0.5) / (cells[s, 3] - cells[s, 2] + 0.5)))
    x[:] = 0.0
    if model == CONDITIONAL:
        x[1] = np.log(a / b) - cells[:k, 4].mean()
    else:
        x[1] = np.log(a / b) - np.log(c / d)
    if model == RANDOM_STUDY:
        x[0], x[3] = np.log(c / d), 0.47


@kernel
def _better_start(cells: FloatArray, k: int, model: int, own: int, free: BoolArray, none: BoolArray, x: FloatArray, w: Arrow) -> None:
    """The between-study SD among a few that is most likely with all other parameters where they are."""
    best, chosen = -np.inf, 0.0
    nothing = np.zeros(len(x), dtype=np.bool_)
    for sigma in START_SIGMAS:
        x[2] = sigma
        value, _ = arrow_maximum(cells, k, model, own, nothing, none, x, w)
        if value > best:
            best, chosen = value, sigma
    x[2] = chosen


@kernel
def _random_study_heterogeneity(cells: FloatArray, k: int, x: FloatArray, common: float, w: Arrow, out: FloatArray) -> bool:
    """Tests of one odds ratio against one for each study, both with random studies; whether the larger model converged.

    An active arm with no events, or events only, is fitted perfectly by an infinite odds ratio, and is left out with it.
    """
    n = len(x)
    free, active = np.zeros(n, dtype=np.bool_), np.zeros(k, dtype=np.bool_)
    free[0] = free[3] = True
    own_cells = cells[:k].copy()
    for s in range(k):
        active[s] = 0.0 < cells[s, 0] < cells[s, 1]
        w.own[s, 0] = 0.0
        if active[s]:
            up = np.log(cells[s, 0] / (cells[s, 1] - cells[s, 0]))
            w.own[s, 0] = up - np.log((cells[s, 2] + 0.5) / (cells[s, 3] - cells[s, 2] + 0.5))
        else:
            own_cells[s, 0] = own_cells[s, 1] = 0.0
    x[2] = 0.0
    larger, converged = arrow_maximum(own_cells, k, RANDOM_STUDY, 1, free, active, x, w)
    if not converged:
        return False
    out[Q_LRT] = max(0.0, 2.0 * (larger - common))
    # information of the own effects, D - B C^-1 B' with D diagonal, C that of the shared parameters and B their coupling
    both = np.zeros((2, n))
    c = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            c[i, j] = -w.hessian[i, j]
    quadratic = np.zeros(3)
    for s in range(k):
        if active[s]:
            d = w.own_slope[s, 1]
            quadratic[0] += d * w.own[s, 0] ** 2
            quadratic[1] += d * w.own[s, 0]
            quadratic[2] += d
            for i in range(n):
                if free[i]:
                    both[0, i] += w.coupling[s, i] * w.own[s, 0]
                    both[1, i] += w.coupling[s, i]
    determinant = c[0, 0] * c[3, 3] - c[3, 0] ** 2
    inverse = (c[3, 3] / determinant, -c[3, 0] / determinant, c[0, 0] / determinant)
    if abs(x[3]) < 1e-7:  # the SD of studies is 0, and is not coupled
        inverse = (1.0 / c[0, 0], 0.0, 0.0)
    place = 0
    for e in range(2):
        for f in range(e, 2):
            left, right = both[e], both[f]
            cross = left[0] * right[3] + left[3] * right[0]
            quadratic[place] -= inverse[0] * left[0] * right[0] + inverse[1] * cross + inverse[2] * left[3] * right[3]
            place += 1
    out[Q_WALD] = max(0.0, quadratic[0] - quadratic[1] ** 2 / quadratic[2]) if quadratic[2] > 0.0 else 0.0
    return True


@kernel
def _variance_of_effect(free: BoolArray, w: Arrow) -> float:
    unit = np.zeros(len(free))
    unit[1] = 1.0
    solve_factored(w.information, free, unit)
    return float(unit[1])


@kernel
def _fit_one(cells: FloatArray, k: int, model: int, w: Arrow, out: FloatArray) -> int:
    """One meta-analysis of k >= 1 studies, `cells` (S, 5): events, patients of active, of control, offset; the status."""
    out[:] = np.nan
    if _separated(cells, k, model):
        return EMPTY_CELL
    used = UNCONDITIONAL if model == RANDOM_STUDY and k == 1 else model
    own = 0 if used == UNCONDITIONAL else -1
    n = len(w.gradient)
    x, free, active = np.zeros(n), np.zeros(n, dtype=np.bool_), np.ones(k, dtype=np.bool_)
    free[1] = True
    if model == RANDOM_STUDY:
        free[0] = free[3] = k > 1
    _start(cells, k, used, x, w)
    common, converged = arrow_maximum(cells, k, used, own, free, active, x, w)
    if not converged:
        return NOT_CONVERGED
    out[BETA], out[SE], out[LOG_LIKELIHOOD] = x[1], np.sqrt(_variance_of_effect(free, w)), common
    if k == 1:
        return SINGLE_STUDY
    settled = x.copy()
    out[TAU2] = 0.0
    if model == RANDOM_STUDY:
        out[OMEGA2] = x[3] ** 2
    free[2] = True
    _better_start(cells, k, model, own, free, np.zeros(k, dtype=np.bool_), x, w)
    value, converged = arrow_maximum(cells, k, model, own, free, active, x, w)
    if not converged or abs(x[2]) > LARGEST_SIGMA:
        out[:] = np.nan
        return NOT_CONVERGED
    if value > common + BOUNDARY_GAIN:
        out[BETA], out[SE], out[TAU2], out[LOG_LIKELIHOOD] = x[1], np.sqrt(_variance_of_effect(free, w)), x[2] ** 2, value
        if model == RANDOM_STUDY:
            out[OMEGA2] = x[3] ** 2
    if model == RANDOM_STUDY:
        _random_study_heterogeneity(cells, k, settled, common, w, out)
    else:
        out[Q_LRT] = max(0.0, 2.0 * (_saturated(cells, k, model) - common))
        out[Q_WALD] = _wald_of_studies(cells, k, model)
    return 0


@kernel
def _fit(tables: FloatArray, model: int, w: Arrow, out: FloatArray, n_studies: IntArray, status: IntArray) -> None:
    """All meta-analyses: `tables` (4, replicate, S) events and patients of active, of control; `out` (replicate, 7)."""
    size = tables.shape[2]
    cells = np.zeros((size, 5))
    for replicate in range(tables.shape[1]):
        k = 0
        for s in range(size):
            if tables[0, replicate, s] == tables[0, replicate, s]:
                for j in range(4):
                    cells[k, j] = tables[j, replicate, s]
                if model == CONDITIONAL:
                    cells[k, 4] = np.log(cells[k, 1] / cells[k, 3])
                    cells[k, 1] = cells[k, 0] + cells[k, 2]
                    cells[k, 2] = cells[k, 3] = 0.0
                k += 1
        n_studies[replicate] = k
        if k == 0:
            out[replicate] = np.nan
            status[replicate] = TOO_FEW_STUDIES
        else:
            status[replicate] = _fit_one(cells, k, model, w, out[replicate])


def count_glmm(
    events_active: FloatArray, n_active: FloatArray, events_control: FloatArray, n_control: FloatArray, model: str, n_nodes: int = N_NODES
) -> CountGlmm:
    """Maximum likelihood of a binomial-normal model.

    Parameters
    ----------
    events_active, n_active, events_control, n_control : (replicate, study), NaN for an absent study
    model : "unconditional", "conditional" or "random_study"; the last one is by Laplace's approximation whatever `n_nodes`
    n_nodes : of the adaptive quadrature; 1 is Laplace's approximation

    Returns
    -------
    CountGlmm. EMPTY_CELL where the odds ratio is 0 or infinite; NOT_CONVERGED where the search fails; SINGLE_STUDY has no heterogeneity. A study in
    which nobody, or everybody, has the event says nothing in the first two models unless given its total everybody has it

    Source: Stijnen, Hamza and Ozdemir (2010), Statistics in Medicine 29, 3046-3067; Jackson, Law, Stijnen, Viechtbauer and White (2018), ibid. 37,
    1059-1085, models 4 (coding of the random effect), 5 and 7.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    tables = np.ascontiguousarray(np.broadcast_arrays(events_active, n_active, events_control, n_control), dtype=np.float64)
    tables = np.where(np.isnan(tables).any(axis=0), np.nan, tables)
    if model == "unconditional":
        events, n = tables[0] + tables[2], tables[1] + tables[3]
        tables = np.where((events == 0) | (events == n), np.nan, tables)
    code = MODELS[model]
    n_replicates, size = tables.shape[1:]
    work = arrow_for(size, 4 if code == RANDOM_STUDY else 3, nodes, np.log(weights / weights.sum()))
    out, n_studies, status = np.empty((n_replicates, 7)), np.zeros(n_replicates, dtype=np.int64), np.zeros(n_replicates, dtype=np.int64)
    _fit(tables, code, work, out, n_studies, status)
    return CountGlmm._make([*(np.ascontiguousarray(column) for column in out.T), n_studies, status])
