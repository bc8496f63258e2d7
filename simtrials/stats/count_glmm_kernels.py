"""Likelihood of one study in binomial-normal models, with first and second derivatives by every parameter.

A study has two binomials, active and control, with logits m + D/2 and m - D/2, or one (given its total number of events) with logit D plus an
offset. D = theta + sigma u and, in the model of random studies, m = mu + theta/2 + omega v with u, v standard normal: these are integrated by
adaptive Gauss-Hermite quadrature over u, or by Laplace's approximation over u and v, centered and scaled at the mode of the integrand.

The mode and the scale depend on the parameters. Derivatives are exact because all arithmetic is done on jets: arrays (1 + P, 1 + P) of a value,
its gradient (first row) and its Hessian (above the diagonal), P parameters. At the mode two steps of Newton's iteration on jets, with the slope
held fixed, add the first and then the second derivatives of the mode.

Source: Pinheiro and Bates (1995), Journal of Computational and Graphical Statistics 4, 12-35 (adaptive quadrature); Stijnen, Hamza and Ozdemir
(2010), Statistics in Medicine 29, 3046-3067 (the models); Jackson, Law, Stijnen, Viechtbauer and White (2018), ibid. 37, 1059-1085.
"""

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.kernels import kernel

N_JETS = 16
"""Jets in the work space of a study."""
UNCONDITIONAL, CONDITIONAL, RANDOM_STUDY = 0, 1, 2
"""Models: parameters (m, theta, sigma), m being unused when conditional; or (mu, theta, sigma, omega)."""
MODE_STEPS = 60


@kernel
def _constant(value: float, out: FloatArray) -> None:
    out[:] = 0.0
    out[0, 0] = value


@kernel
def _product(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """out = x y; `out` is neither of them."""
    n = x.shape[0]
    out[0, 0] = x[0, 0] * y[0, 0]
    for i in range(1, n):
        out[0, i] = x[0, 0] * y[0, i] + y[0, 0] * x[0, i]
        for j in range(i, n):
            out[i, j] = x[0, 0] * y[i, j] + y[0, 0] * x[i, j] + x[0, i] * y[0, j] + x[0, j] * y[0, i]


@kernel
def _function(x: FloatArray, value: float, slope: float, bend: float, out: FloatArray) -> None:
    """out = f(x), given f and its two derivatives at the value of x; `out` may be x."""
    n = x.shape[0]
    for i in range(1, n):
        for j in range(i, n):
            out[i, j] = slope * x[i, j] + bend * x[0, i] * x[0, j]
    for i in range(1, n):
        out[0, i] = slope * x[0, i]
    out[0, 0] = value


@kernel
def _add(x: FloatArray, times: float, out: FloatArray) -> None:
    """out += times * x"""
    for i in range(x.shape[0]):
        for j in range(i, x.shape[0]):
            out[i, j] += times * x[i, j]


@kernel
def _scaled_normal(x: FloatArray, center: int, scale: int, share: float, first: FloatArray, out: FloatArray) -> None:
    """out = x[center] + share * x[scale] * first, parameters counted from 0; `first` a jet of a standard normal value. No center is -1."""
    spread = share * x[scale]
    n = out.shape[0]
    for i in range(n):
        for j in range(i, n):
            out[i, j] = spread * first[i, j]
    s = scale + 1
    for i in range(1, n):
        out[min(i, s), max(i, s)] += share * first[0, i] * (2.0 if i == s else 1.0)
    out[0, s] += share * first[0, 0]
    if center >= 0:
        out[0, 0] += x[center]
        out[0, center + 1] += 1.0


@kernel
def binomial_terms(events: float, n: float, eta: float) -> tuple[float, float, float, float, float]:
    """Log-likelihood of a logit and its derivatives: residual, minus variance, minus third and minus fourth cumulant."""
    small = np.exp(-abs(eta))
    p = 1.0 / (1.0 + small) if eta >= 0.0 else small / (1.0 + small)
    q = small / (1.0 + small) if eta >= 0.0 else 1.0 / (1.0 + small)
    value = events * eta - n * (np.log1p(small) + max(eta, 0.0))
    residual = events * q - (n - events) * p
    v = n * p * q
    return value, residual, -v, -v * (q - p), -v * (1.0 - 6.0 * p * q)


@kernel
def _logits(cells: FloatArray, model: int, m: float, d: float) -> tuple[float, float]:
    return (cells[4] + d, 0.0) if model == CONDITIONAL else (m + 0.5 * d, m - 0.5 * d)


@kernel
def _slopes(cells: FloatArray, model: int, m: float, d: float) -> tuple[float, float, float, float, float]:
    """Derivatives of a study's log-likelihood: by m, by d, by m twice, by m and d, by d twice."""
    up, down = _logits(cells, model, m, d)
    _, r1, h1, _, _ = binomial_terms(cells[0], cells[1], up)
    if model == CONDITIONAL:
        return 0.0, r1, 0.0, 0.0, h1
    _, r0, h0, _, _ = binomial_terms(cells[2], cells[3], down)
    return r1 + r0, 0.5 * (r1 - r0), h1 + h0, 0.5 * (h1 - h0), 0.25 * (h1 + h0)


@kernel
def _log_integrand(cells: FloatArray, model: int, m: float, d: float) -> float:
    up, down = _logits(cells, model, m, d)
    value = binomial_terms(cells[0], cells[1], up)[0]
    return value if model == CONDITIONAL else value + binomial_terms(cells[2], cells[3], down)[0]


@kernel
def _mode(cells: FloatArray, model: int, x: FloatArray, at: FloatArray) -> None:
    """Most likely u (and v) given the parameters, from where they are in `at`: Newton with halving, the integrand being log-concave."""
    two = model == RANDOM_STUDY
    omega = x[3] if two else 0.0
    base = x[0] + 0.5 * x[1] if two else x[0]
    theta, sigma = x[1], x[2]
    value = _log_integrand(cells, model, base + omega * at[1], theta + sigma * at[0]) - 0.5 * (at[0] ** 2 + at[1] ** 2)
    for _ in range(MODE_STEPS):
        by_m, by_d, by_mm, by_md, by_dd = _slopes(cells, model, base + omega * at[1], theta + sigma * at[0])
        gu, gv = sigma * by_d - at[0], omega * by_m - at[1]
        a, b, c = 1.0 - sigma * sigma * by_dd, -sigma * omega * by_md, 1.0 - omega * omega * by_mm
        determinant = a * c - b * b
        du, dv = (c * gu - b * gv) / determinant, (a * gv - b * gu) / determinant
        small = gu * du + gv * dv
        if small < 1e-6:
            at[0] += du
            at[1] += dv
            if small < 1e-22:
                return
            value = _log_integrand(cells, model, base + omega * at[1], theta + sigma * at[0]) - 0.5 * (at[0] ** 2 + at[1] ** 2)
            continue
        size = 1.0
        for _ in range(40):
            u, v = at[0] + size * du, at[1] + size * dv
            new = _log_integrand(cells, model, base + omega * v, theta + sigma * u) - 0.5 * (u * u + v * v)
            if new >= value:
                break
            size *= 0.5
        at[0], at[1], value = u, v, new


@kernel
def _predictors(
    model: int, x: FloatArray, u: FloatArray, v: FloatArray, cells: FloatArray, work: FloatArray, up: FloatArray, down: FloatArray
) -> None:
    """Jets of the logits of both arms at jets u and v of the random effects; uses the first two jets of `work`."""
    d, m = work[0], work[1]
    _scaled_normal(x, 1, 2, 1.0, u, d)
    if model == CONDITIONAL:
        up[:] = d
        up[0, 0] += cells[4]
        return
    if model == RANDOM_STUDY:
        _scaled_normal(x, 0, 3, 1.0, v, m)
        m[0, 0] += 0.5 * x[1]
        m[0, 2] += 0.5
    else:
        _constant(x[0], m)
        m[0, 1] = 1.0
    up[:] = m
    down[:] = m
    _add(d, 0.5, up)
    _add(d, -0.5, down)


@kernel
def _slope_jets(model: int, order: int, cells: FloatArray, up: FloatArray, down: FloatArray, work: FloatArray) -> None:
    """Jets of the residuals (order 1) or of minus the variances (order 2) of both arms, in the first two jets of `work`."""
    for arm in range(1 if model == CONDITIONAL else 2):
        eta = up if arm == 0 else down
        _, r, h, third, fourth = binomial_terms(cells[2 * arm], cells[2 * arm + 1], eta[0, 0])
        if order == 1:
            _function(eta, r, h, third, work[arm])
        else:
            _function(eta, h, third, fourth, work[arm])


@kernel
def _curvature(model: int, x: FloatArray, cells: FloatArray, up: FloatArray, down: FloatArray, work: FloatArray, out: FloatArray) -> None:
    """Jet of minus the second derivative by u of the log integrand, 1 + sigma^2 times the variance of D's score. Uses jets 0 to 3 of `work`."""
    _slope_jets(model, 2, cells, up, down, work)
    total = work[0]
    if model != CONDITIONAL:
        _add(work[1], 1.0, total)
        _function(total, 0.25 * total[0, 0], 0.25, 0.0, total)
    square = work[2]
    _constant(x[2] * x[2], square)
    square[0, 3], square[3, 3] = 2.0 * x[2], 2.0
    _product(square, total, out)
    _function(out, 1.0 - out[0, 0], -1.0, 0.0, out)


@kernel
def quadrature(cells: FloatArray, model: int, x: FloatArray, at: FloatArray, nodes: FloatArray, log_weights: FloatArray, work: FloatArray) -> None:
    """Jet, in `work[15]`, of a study's log-likelihood by adaptive Gauss-Hermite quadrature over u; `at` keeps the mode for the next call.

    `nodes` and the logarithms of their weights are those of the standard normal; x is (m, theta, sigma), the offset of a conditional study is
    `cells[4]`.
    """
    out, u, up, down, s, t = work[15], work[4], work[5], work[6], work[7], work[8]
    if x[2] == 0.0:
        at[0] = 0.0
    _mode(cells, model, x, at)
    _constant(at[0], u)
    _predictors(model, x, u, u, cells, work, up, down)
    _curvature(model, x, cells, up, down, work, s)
    slope = s[0, 0]
    for _ in range(2):
        _predictors(model, x, u, u, cells, work, up, down)
        _slope_jets(model, 1, cells, up, down, work)
        by_d = work[0]
        if model != CONDITIONAL:
            _add(work[1], -1.0, by_d)
            _function(by_d, 0.5 * by_d[0, 0], 0.5, 0.0, by_d)
        _scaled_normal(x, -1, 2, 1.0, by_d, t)
        _add(u, -1.0, t)
        _add(t, 1.0 / slope, u)
    _predictors(model, x, u, u, cells, work, up, down)
    _curvature(model, x, cells, up, down, work, s)
    root = 1.0 / np.sqrt(s[0, 0])
    _function(s, root, -0.5 * root / s[0, 0], 0.75 * root / s[0, 0] ** 2, s)
    n = out.shape[0]
    mean, node = work[9], work[10]
    mean[:] = 0.0
    top, mass = -np.inf, 0.0
    for q in range(len(nodes)):
        t[:] = u
        _add(s, nodes[q], t)
        _predictors(model, x, t, t, cells, work, up, down)
        _, r, h, _, _ = binomial_terms(cells[0], cells[1], up[0, 0])
        value = _log_integrand(cells, model, x[0], x[1] + x[2] * t[0, 0])
        _function(up, value, r, h, node)
        if model != CONDITIONAL:
            _, r, h, _, _ = binomial_terms(cells[2], cells[3], down[0, 0])
            _function(down, 0.0, r, h, down)
            _add(down, 1.0, node)
        _function(t, 0.5 * t[0, 0] ** 2, t[0, 0], 1.0, t)
        _add(t, -1.0, node)
        node[0, 0] += 0.5 * nodes[q] ** 2 + log_weights[q]
        if node[0, 0] > top:
            shrink = np.exp(top - node[0, 0])
            mass *= shrink
            for i in range(n):
                for j in range(i, n):
                    mean[i, j] *= shrink
            top = node[0, 0]
        share = np.exp(node[0, 0] - top)
        mass += share
        for i in range(1, n):
            mean[0, i] += share * node[0, i]
            for j in range(i, n):
                mean[i, j] += share * (node[i, j] + node[0, i] * node[0, j])
    out[0, 0] = top + np.log(mass)
    for i in range(1, n):
        out[0, i] = mean[0, i] / mass
    for i in range(1, n):
        for j in range(i, n):
            out[i, j] = mean[i, j] / mass - out[0, i] * out[0, j]
    _function(s, np.log(s[0, 0]), 1.0 / s[0, 0], -1.0 / s[0, 0] ** 2, s)
    _add(s, 1.0, out)


@kernel
def laplace(cells: FloatArray, x: FloatArray, at: FloatArray, work: FloatArray) -> None:
    """Jet, in `work[15]`, of a study's log-likelihood by Laplace's approximation over u and v; x is (mu, theta, sigma, omega)."""
    model = RANDOM_STUDY
    out, u, v, up, down = work[15], work[4], work[12], work[5], work[6]
    _mode(cells, model, x, at)
    _constant(at[0], u)
    _constant(at[1], v)
    _, _, by_mm, by_md, by_dd = _slopes(cells, model, x[0] + 0.5 * x[1] + x[3] * v[0, 0], x[1] + x[2] * u[0, 0])
    a, b, c = 1.0 - x[2] ** 2 * by_dd, -x[2] * x[3] * by_md, 1.0 - x[3] ** 2 * by_mm
    determinant = a * c - b * b
    gu, gv, total, difference = work[7], work[8], work[9], work[10]
    for _ in range(2):
        _predictors(model, x, u, v, cells, work, up, down)
        _slope_jets(model, 1, cells, up, down, work)
        total[:], difference[:] = work[0], work[0]
        _add(work[1], 1.0, total)
        _add(work[1], -1.0, difference)
        _scaled_normal(x, -1, 2, 0.5, difference, gu)
        _scaled_normal(x, -1, 3, 1.0, total, gv)
        _add(u, -1.0, gu)
        _add(v, -1.0, gv)
        _add(gu, c / determinant, u)
        _add(gv, -b / determinant, u)
        _add(gv, a / determinant, v)
        _add(gu, -b / determinant, v)
    _predictors(model, x, u, v, cells, work, up, down)
    _, r, h, _, _ = binomial_terms(cells[0], cells[1], up[0, 0])
    value = _log_integrand(cells, model, x[0] + 0.5 * x[1] + x[3] * v[0, 0], x[1] + x[2] * u[0, 0])
    _function(up, value, r, h, out)
    _, r, h, _, _ = binomial_terms(cells[2], cells[3], down[0, 0])
    _function(down, 0.0, r, h, gu)
    _add(gu, 1.0, out)
    for effect in (u, v):
        _function(effect, 0.5 * effect[0, 0] ** 2, effect[0, 0], 1.0, gu)
        _add(gu, -1.0, out)
    _slope_jets(model, 2, cells, up, down, work)
    total[:], difference[:] = work[0], work[0]
    _add(work[1], 1.0, total)
    _add(work[1], -1.0, difference)
    # determinant of the curvature: (1 - sigma^2 T/4)(1 - omega^2 T) - (sigma omega E/2)^2 = 1 - (s/4 + w) T + s w (T^2 - E^2)/4, s = sigma^2
    squares, product = work[2], work[3]
    _product(total, total, gu)
    _product(difference, difference, gv)
    _add(gv, -1.0, gu)
    s2, w2 = x[2] ** 2, x[3] ** 2
    _constant(0.25 * s2 * w2, product)
    product[0, 3], product[0, 4] = 0.5 * x[2] * w2, 0.5 * s2 * x[3]
    product[3, 3], product[4, 4], product[3, 4] = 0.5 * w2, 0.5 * s2, x[2] * x[3]
    _product(product, gu, gv)
    _constant(0.25 * s2 + w2, squares)
    squares[0, 3], squares[0, 4], squares[3, 3], squares[4, 4] = 0.5 * x[2], 2.0 * x[3], 0.5, 2.0
    _product(squares, total, gu)
    _add(gu, -1.0, gv)
    d = 1.0 + gv[0, 0]
    _function(gv, np.log(d), 1.0 / d, -1.0 / (d * d), gv)
    _add(gv, -0.5, out)
