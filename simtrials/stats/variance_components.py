"""The maximum of a (restricted) likelihood over variance components: derivatives from sums over independent blocks, and damped Newton steps.

Effects are normal with a covariance that is linear in the components, V = V0 + sum_m t_m G_m, in blocks (clusters, studies, trials). With the
design X made orthonormal (X'X = I), e the residuals of ordinary least squares and A = [X e], blocks add up

    A'V^-1 A,  A'V^-1 G_m V^-1 A,  A'V^-1 G_m V^-1 G_n V^-1 A,  tr V^-1 G_m,  tr V^-1 G_m V^-1 G_n,  log|V|

and everything else follows (Harville 1977, Journal of the American Statistical Association 72, 320-338): with P = V^-1 - V^-1 X K X'V^-1 and
K = (X'V^-1 X)^-1 the restricted likelihood has the slopes (y'P G_m P y - tr P G_m) / 2 and the curvatures tr P G_m P G_n / 2 - y'P G_m P G_n P y.
Letters in comments: C coefficients, M components.
"""

import math

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.kernels import kernel

MAX_STEPS = 200
CONVERGED_BELOW = 1e-12
"""Squared length, in standard errors, of a Newton step after which the error is its square; that step is still taken."""

FLAT = 1e-7
"""Share of the diagonal added to a curvature that is singular, as where two components cannot be told apart."""

SINGULAR_BELOW = 1e-11
ROUNDING_OF_SUM = 1e-13
GO_ON, CONVERGED, FAILED = 0, 1, 2
HEIGHT, DAMPING, N_STEPS, LAST = 0, 1, 2, 3
"""Places in the memory of a climb: log-likelihood reached, damping, steps tried, 1 when the step under way is the last."""

LOG_2PI = math.log(2.0 * math.pi)


@kernel
def factorise(matrix: FloatArray, n: int, factor: FloatArray) -> bool:
    """Lower Cholesky factor of the first n rows; whether there is one."""
    for a in range(n):
        for b in range(a + 1):
            value = matrix[a, b]
            for c in range(b):
                value -= factor[a, c] * factor[b, c]
            if b < a:
                factor[a, b] = value / factor[b, b]
            elif value > SINGULAR_BELOW * matrix[a, a]:
                factor[a, a] = math.sqrt(value)
            else:
                return False
    return True


@kernel
def invert_factored(factor: FloatArray, n: int, inverse: FloatArray) -> None:
    """Inverse of the matrix whose lower Cholesky factor is given."""
    for column in range(n):
        for a in range(n):
            value = 1.0 if a == column else 0.0
            for c in range(a):
                value -= factor[a, c] * inverse[c, column]
            inverse[a, column] = value / factor[a, a]
        for a in range(n - 1, -1, -1):
            value = inverse[a, column]
            for c in range(a + 1, n):
                value -= factor[c, a] * inverse[c, column]
            inverse[a, column] = value / factor[a, a]


@kernel
def likelihood_of_sums(
    base: FloatArray,
    first: FloatArray,
    second: FloatArray,
    trace: FloatArray,
    traces: FloatArray,
    log_determinant: float,
    restricted: bool,
    g: FloatArray,
    h: FloatArray,
    inverse: FloatArray,
    coefficients: FloatArray,
) -> float:
    """Log-likelihood without its constant; slopes g (M), curvatures h (M, M), K (C, C) and the coefficients of e on X.

    `base` (C + 1, C + 1), `first` (M, C + 1, C + 1), `second` (M, M, C + 1, C + 1; filled where m <= n), `trace` (M), `traces` (M, M) are the sums
    of the module's formula. -inf where X'V^-1 X is singular. Under ML the coefficients are profiled out and traces are those of V^-1.
    """
    p, n = inverse.shape[0], g.size
    factor, c = np.empty((p, p)), np.empty(p + 1)
    if not factorise(base, p, factor):
        return -np.inf
    invert_factored(factor, p, inverse)
    c[p] = 1.0
    rss = base[p, p]
    log_k = 0.0
    for a in range(p):
        coefficients[a] = 0.0
        for b in range(p):
            coefficients[a] += inverse[a, b] * base[b, p]
        c[a] = -coefficients[a]
        rss -= coefficients[a] * base[a, p]
        log_k += 2.0 * math.log(factor[a, a])
    along, scaled = np.zeros((n, p + 1)), np.zeros((n, p, p))
    for m in range(n):
        square = 0.0
        for a in range(p + 1):
            for b in range(p + 1):
                along[m, a] += first[m, a, b] * c[b]
            square += along[m, a] * c[a]
        fall = trace[m]
        for a in range(p):
            for b in range(p):
                for d in range(p):
                    scaled[m, a, b] += inverse[a, d] * first[m, d, b]
            fall -= scaled[m, a, a] if restricted else 0.0
        g[m] = 0.5 * (square - fall)
    for m in range(n):
        for o in range(m, n):
            square, fall = 0.0, traces[m, o]
            for a in range(p + 1):
                for b in range(p + 1):
                    square += c[a] * second[m, o, a, b] * c[b]
            for a in range(p):
                for b in range(p):
                    square -= along[m, a] * inverse[a, b] * along[o, b]
                    if restricted:
                        fall += scaled[m, a, b] * scaled[o, b, a] - 2.0 * inverse[a, b] * second[m, o, a, b]
            h[m, o] = 0.5 * fall - square
            h[o, m] = h[m, o]
    return float(-0.5 * (log_determinant + rss + (log_k if restricted else 0.0)))


@kernel
def begin(memory: FloatArray) -> None:
    """A climb that has seen nothing."""
    memory[HEIGHT], memory[DAMPING], memory[N_STEPS], memory[LAST] = -np.inf, 0.0, 0.0, 0.0


@kernel
def _solve(h: FloatArray, damping: float, g: FloatArray, shifted: FloatArray, factor: FloatArray, step: FloatArray) -> float:
    """Solve (-h + damping |diagonal|) step = g; squared length of the step in standard errors, -1 where there is no maximum."""
    n, largest, squared = g.size, 0.0, 0.0
    for a in range(n):
        largest = max(largest, abs(h[a, a]))
    for a in range(n):
        for b in range(n):
            shifted[a, b] = -h[a, b]
        shifted[a, a] += damping * (abs(h[a, a]) + 1e-6 * largest)
    if not factorise(shifted, n, factor):
        return -1.0
    for a in range(n):
        step[a] = g[a]
        for c in range(a):
            step[a] -= factor[a, c] * step[c]
        step[a] /= factor[a, a]
        squared += step[a] * step[a]
    for a in range(n - 1, -1, -1):
        for c in range(a + 1, n):
            step[a] -= factor[c, a] * step[c]
        step[a] /= factor[a, a]
    return squared


@kernel
def next_point(
    height: float, g: FloatArray, h: FloatArray, there: FloatArray, memory: FloatArray, here: FloatArray, g_here: FloatArray, h_here: FloatArray
) -> int:
    """Take in the log-likelihood, slopes and curvatures at `there`, and replace it by the next point to look at.

    Returns CONVERGED when `here` is a maximum, FAILED after too many steps. Newton's step where the likelihood is concave, else one damped as
    Marquardt has it; a step that leads down is not taken, and is tried shorter.
    """
    n = g.size
    risen = height >= memory[HEIGHT] - ROUNDING_OF_SUM * (1.0 + abs(memory[HEIGHT]))
    if memory[N_STEPS] == 0.0:
        risen = height > -np.inf
    if risen:
        memory[HEIGHT] = height
        for a in range(n):
            here[a], g_here[a] = there[a], g[a]
            for b in range(n):
                h_here[a, b] = h[a, b]
        memory[DAMPING] = 0.0 if memory[DAMPING] < 0.02 else memory[DAMPING] / 8.0
    else:
        memory[DAMPING] = max(0.03, 6.0 * memory[DAMPING])
    if memory[LAST] == 1.0:
        return CONVERGED
    memory[N_STEPS] += 1.0
    if memory[N_STEPS] > MAX_STEPS or memory[HEIGHT] == -np.inf:
        return FAILED
    shifted, factor, step = np.empty((n, n)), np.empty((n, n)), np.empty(n)
    length = _solve(h_here, memory[DAMPING], g_here, shifted, factor, step)
    if length < 0.0 and memory[DAMPING] == 0.0:
        memory[DAMPING] = FLAT
        length = _solve(h_here, FLAT, g_here, shifted, factor, step)
    while length < 0.0 and memory[DAMPING] < 1e8:
        memory[DAMPING] = max(0.03, 6.0 * memory[DAMPING])
        length = _solve(h_here, memory[DAMPING], g_here, shifted, factor, step)
    if length < 0.0:
        return FAILED
    memory[LAST] = 1.0 if length < CONVERGED_BELOW and memory[DAMPING] <= FLAT else 0.0
    for a in range(n):
        there[a] = here[a] + step[a]
    return GO_ON
