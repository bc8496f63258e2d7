"""Maximum likelihood with a few parameters shared by all studies and at most one of its own for each study, by Newton's iteration.

The Hessian is an arrow: own parameters are coupled with the shared ones only, and are eliminated study by study. A step that does not raise the
likelihood is halved; a Hessian that is not negative definite is damped. Letters in comments: S studies, P parameters of a study, of which one
may be its own and some may be fixed.
"""

from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.kernels import kernel
from simtrials.stats.count_glmm_kernels import N_JETS, RANDOM_STUDY, laplace, quadrature

MAX_STEPS = 200
LONGEST_STEP = 2.0
FIRST_SD, OFF_SADDLE = 2, 0.1
"""Parameters from this place on are standard deviations, in whose sign the likelihood is symmetric; the step away from a saddle at 0."""
NEGLIGIBLE = 1e-13
"""Gain of log-likelihood that a step promises where the iteration stops."""


class Arrow(NamedTuple):
    """Work space of a fit."""

    modes: FloatArray
    """(S, 2) where the integrands have their modes"""
    own: FloatArray
    """(S, 3): each study's own parameter, its value where a step is tried, its step"""
    own_slope: FloatArray
    """(S, 2): gradient and minus the second derivative of each own parameter"""
    coupling: FloatArray
    """(S, P) mixed derivatives of own and shared parameters"""
    gradient: FloatArray
    """(P,)"""
    hessian: FloatArray
    """(P, P)"""
    information: FloatArray
    """(P, P) minus the Hessian of the shared parameters once the own ones are eliminated, lower triangle; then its Cholesky factor"""
    jets: FloatArray
    nodes: FloatArray
    log_weights: FloatArray


def arrow_for(n_studies: int, n_parameters: int, nodes: FloatArray, log_weights: FloatArray) -> Arrow:
    """Work space for this many studies."""
    p = n_parameters
    per_study = np.zeros((n_studies, 2)), np.zeros((n_studies, 3)), np.zeros((n_studies, 2)), np.zeros((n_studies, p))
    return Arrow(*per_study, np.zeros(p), np.zeros((p, p)), np.zeros((p, p)), np.zeros((N_JETS, p + 1, p + 1)), nodes, log_weights)


@kernel
def _evaluate(cells: FloatArray, k: int, model: int, own: int, x: FloatArray, column: int, w: Arrow) -> float:
    """Log-likelihood at shared parameters x and the own ones in a column of `w.own`; gradients and Hessians go to `w`."""
    w.gradient[:], w.hessian[:] = 0.0, 0.0
    value = 0.0
    n = len(x)
    jet = w.jets[15]
    for s in range(k):
        if own >= 0:
            x[own] = w.own[s, column]
        if model == RANDOM_STUDY:
            laplace(cells[s], x, w.modes[s], w.jets)
        else:
            quadrature(cells[s], model, x, w.modes[s], w.nodes, w.log_weights, w.jets)
        value += jet[0, 0]
        for i in range(n):
            if i == own:
                w.own_slope[s, 0], w.own_slope[s, 1] = jet[0, i + 1], -jet[i + 1, i + 1]
            else:
                w.gradient[i] += jet[0, i + 1]
                w.coupling[s, i] = jet[min(i, own) + 1, max(i, own) + 1] if own >= 0 else 0.0
                for j in range(i + 1):
                    w.hessian[i, j] += jet[j + 1, i + 1]
    return value


@kernel
def _factored(a: FloatArray, free: BoolArray) -> bool:
    """Replace the lower triangle of `a` by its Cholesky factor over the free parameters; whether it is positive definite."""
    n = a.shape[0]
    for i in range(n):
        if free[i]:
            for j in range(i + 1):
                if free[j]:
                    total = a[i, j]
                    for c in range(j):
                        if free[c]:
                            total -= a[i, c] * a[j, c]
                    if i > j:
                        a[i, j] = total / a[j, j]
                    elif total <= 1e-13 * abs(a[i, i]):
                        return False
                    else:
                        a[i, i] = np.sqrt(total)
    return True


@kernel
def solve_factored(a: FloatArray, free: BoolArray, right: FloatArray) -> None:
    """Replace `right` by the solution for the factor of `_factored`; entries of parameters that are not free become 0."""
    n = a.shape[0]
    for i in range(n):
        if free[i]:
            for c in range(i):
                if free[c]:
                    right[i] -= a[i, c] * right[c]
            right[i] /= a[i, i]
        else:
            right[i] = 0.0
    for i in range(n - 1, -1, -1):
        if free[i]:
            for c in range(i + 1, n):
                if free[c]:
                    right[i] -= a[c, i] * right[c]
            right[i] /= a[i, i]


@kernel
def _direction(k: int, own: int, free: BoolArray, active: BoolArray, damping: float, w: Arrow, step: FloatArray) -> bool:
    """Step of the shared parameters in `step` and of the own ones in `w.own[:, 2]`; whether the damped information is positive definite.

    Own parameters of studies that are not `active` stay.
    """
    n = len(step)
    a = w.information
    for i in range(n):
        step[i] = w.gradient[i]
        for j in range(i + 1):
            a[i, j] = -w.hessian[i, j]
        a[i, i] += damping
    if own >= 0:
        for s in range(k):
            if active[s]:
                curved = w.own_slope[s, 1] + damping
                if curved <= 0.0:
                    return False
                for i in range(n):
                    if free[i]:
                        step[i] += w.coupling[s, i] * w.own_slope[s, 0] / curved
                        for j in range(i + 1):
                            a[i, j] -= w.coupling[s, i] * w.coupling[s, j] / curved
    if not _factored(a, free):
        return False
    solve_factored(a, free, step)
    for s in range(k):
        w.own[s, 2] = 0.0
        if own >= 0 and active[s]:
            total = w.own_slope[s, 0]
            for i in range(n):
                total += w.coupling[s, i] * step[i] if free[i] else 0.0
            w.own[s, 2] = total / (w.own_slope[s, 1] + damping)
    return True


@kernel
def arrow_maximum(cells: FloatArray, k: int, model: int, own: int, free: BoolArray, active: BoolArray, x: FloatArray, w: Arrow) -> tuple[float, bool]:
    """Maximize over the free shared parameters in x and the own ones in `w.own[:, 0]`, from where they are; value, and whether it converged.

    At the end gradients are those of the maximum, and `w.information` holds the factor of the information.

    Parameters
    ----------
    own : place of the parameter that each study has for itself, -1 for none; not free
    active : (S,) studies whose own parameter is sought
    """
    n = len(x)
    step, tried = np.zeros(n), np.zeros(n)
    value = _evaluate(cells, k, model, own, x, 0, w)
    for _ in range(MAX_STEPS):
        damping = 0.0
        while not _direction(k, own, free, active, damping, w, step):
            scale = 0.0
            for i in range(n):
                scale += abs(w.hessian[i, i]) if free[i] else 0.0
            damping = max(3.0 * damping, 1e-3 * scale, 1e-6)
        promised, longest = 0.0, LONGEST_STEP
        for i in range(n):
            if free[i]:
                promised += w.gradient[i] * step[i]
                longest = max(longest, abs(step[i]))
        for s in range(k):
            if own >= 0 and active[s]:
                promised += w.own_slope[s, 0] * w.own[s, 2]
                longest = max(longest, abs(w.own[s, 2]))
        if damping == 0.0 and promised < NEGLIGIBLE:
            return value, True
        if promised < NEGLIGIBLE:  # a saddle: an SD of exactly 0 has no slope
            for i in range(FIRST_SD, n):
                if free[i] and w.hessian[i, i] > 0.0:
                    x[i] += OFF_SADDLE
            value = _evaluate(cells, k, model, own, x, 0, w)
            continue
        size = LONGEST_STEP / longest
        risen = False
        for _ in range(30):
            for i in range(n):
                tried[i] = x[i] + (size * step[i] if free[i] else 0.0)
            for s in range(k):
                w.own[s, 1] = w.own[s, 0] + size * w.own[s, 2]
            new = _evaluate(cells, k, model, own, tried, 1, w)
            if new >= value + 1e-4 * size * promised or (promised < 1e-8 and new >= value - 1e-11 * (1.0 + abs(value))):
                risen = True
                break
            size *= 0.5
        if not risen:
            return value, False
        for i in range(n):
            if i != own:
                x[i] = tried[i]
        for s in range(k):
            w.own[s, 0] = w.own[s, 1]
        value = new
    return value, False
