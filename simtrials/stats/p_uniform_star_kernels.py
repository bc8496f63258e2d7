"""The likelihood of p-uniform* and its highest point, limits and tests: kernels behind `p_uniform_star`, for one body of evidence each.

At a given tau^2 the log-likelihood is concave in mu, because a normal truncated to an interval is an exponential family in mu. So the mean that
belongs to a tau^2 is unique, Newton finds it, and what is left is to look along tau^2: in steps of `CELL` in log(smallest variance + tau^2), and
closer where the slope changes its sign. Arrays: y effects, v variances, c cutoffs, side 1 for a significant study and -1 for another, all (study,).
"""

import math

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.kernels import kernel
from simtrials.stats.normal_tails import HALF_LOG_2PI, log_tail_and_hazard

CELL = 0.5
FURTHEST = 1e4
"""tau^2 is followed up to this multiple of the largest variance and the squared range of effects."""
LAST_STEP = 100
HALVINGS = 40
NEAR_ENOUGH = 1e-5
"""Relative width in tau^2 within which the furthest mean, which is flat there, changes by the square of this."""
ESTIMATE, TAU2, HEIGHT, LOWER, UPPER, TAU2_LOWER, TAU2_UPPER, HEIGHT_MEAN_0, HEIGHT_TAU2_0 = range(9)


@kernel
def log_likelihood(y: FloatArray, v: FloatArray, c: FloatArray, side: FloatArray, mean: float, tau2: float) -> tuple[float, float, float, float]:
    """Log-likelihood, its slopes in mean and tau^2, and its curvature in the mean."""
    height, by_mean, by_tau2, curvature = 0.0, 0.0, 0.0, 0.0
    for i in range(y.size):
        w = 1.0 / (v[i] + tau2)
        root = math.sqrt(w)
        r, z = y[i] - mean, side[i] * (c[i] - mean) * root
        log_tail, hazard = log_tail_and_hazard(z)
        height += math.log(root) - HALF_LOG_2PI - 0.5 * r * r * w - log_tail
        by_mean += r * w - side[i] * hazard * root
        by_tau2 += 0.5 * w * (r * r * w - 1.0 - hazard * z)
        curvature -= w * max(1.0 - hazard * (hazard - z), 0.0)
    return height, by_mean, by_tau2, curvature


@kernel
def best_mean(
    y: FloatArray, v: FloatArray, c: FloatArray, side: FloatArray, tau2: float, start: float, is_fixed: bool
) -> tuple[float, float, float, float]:
    """Mean with the highest log-likelihood at a given tau^2 (or the start, if `is_fixed`), that likelihood, its slope in tau^2, its curvature."""
    x = start
    height, slope, by_tau2, curvature = log_likelihood(y, v, c, side, x, tau2)
    if is_fixed:
        return x, height, by_tau2, curvature
    for _ in range(LAST_STEP):
        step = -slope / curvature if curvature < 0.0 else math.copysign(math.sqrt(v[0] + tau2), slope)
        if step * slope < 1e-22:  # twice the height that is left
            break
        for _ in range(LAST_STEP):
            there = log_likelihood(y, v, c, side, x + step, tau2)
            if there[0] >= height - 1e-14 * (1.0 + abs(height)):
                break
            step *= 0.5
        x += step
        height, slope, by_tau2, curvature = there
    return x, height, by_tau2, curvature


@kernel
def highest_along(
    y: FloatArray, v: FloatArray, c: FloatArray, side: FloatArray, grid: FloatArray, start: float, is_fixed: bool
) -> tuple[float, float, float, bool]:
    """Mean, tau^2 and height of the highest point of the profile over tau^2 >= 0, or at one fixed mean; False where it rises to the end."""
    x, height, slope, _ = best_mean(y, v, c, side, grid[0], start, is_fixed)
    best_x, best, best_height, inside = x, grid[0], height, True
    for j in range(1, grid.size):
        before, before_x = slope, x
        x, height, slope, _ = best_mean(y, v, c, side, grid[j], x, is_fixed)
        if before > 0.0 >= slope:
            low, high, at_low, at_high, middle_x = grid[j - 1], grid[j], before, slope, before_x
            middle, middle_height = high, height
            for turn in range(LAST_STEP):
                middle = (low * at_high - high * at_low) / (at_high - at_low) if turn % 3 < 2 else 0.5 * (low + high)
                middle_x, middle_height, at_middle, _ = best_mean(y, v, c, side, middle, middle_x, is_fixed)
                if at_middle > 0.0:
                    low, at_low = middle, at_middle
                else:
                    high, at_high = middle, at_middle
                if high - low <= 1e-14 * high or at_middle == 0.0 or abs(at_middle) * (high - low) < 1e-16:
                    break
            if middle_height > best_height:
                best_x, best, best_height, inside = middle_x, middle, middle_height, True
        elif j == grid.size - 1 and slope > 0.0 and height > best_height:
            best_x, best, best_height, inside = x, grid[j], height, False
    return best_x, best, best_height, inside


@kernel
def limit_of_mean(
    y: FloatArray, v: FloatArray, c: FloatArray, side: FloatArray, tau2: float, start: float, level: float, direction: float
) -> tuple[float, float, float]:
    """Where, below (direction -1) or above (1) the best mean, the log-likelihood falls to `level`; its slope in tau^2 there; the best mean.

    A limit of NaN where even the best mean lies below the level. From outside, Newton's steps on a concave function do not overshoot.
    """
    top_x, height, by_tau2, curvature = best_mean(y, v, c, side, tau2, start, False)
    if height < level:
        return np.nan, by_tau2, top_x
    reach = math.sqrt(2.0 * (height - level) / -curvature) + 1e-12 * (1.0 + abs(top_x)) if curvature < 0.0 else math.sqrt(v[0] + tau2)
    x = top_x + direction * reach
    for _ in range(LAST_STEP):
        height, slope, by_tau2, _ = log_likelihood(y, v, c, side, x, tau2)
        if height <= level:
            break
        reach *= 2.0
        x = top_x + direction * reach
    for _ in range(LAST_STEP):
        step = (level - height) / slope if slope != 0.0 else 0.0
        x += step
        height, slope, by_tau2, _ = log_likelihood(y, v, c, side, x, tau2)
        if abs(step) <= 1e-11 * (abs(x) + reach) or height >= level:
            break
    return x, by_tau2, top_x


@kernel
def furthest_mean(
    y: FloatArray, v: FloatArray, c: FloatArray, side: FloatArray, grid: FloatArray, start: float, level: float, direction: float, is_open: bool
) -> float:
    """The furthest mean in one direction that the profile likelihood does not put below `level`: infinite where it is further out than the grid."""
    furthest = -np.inf
    x, slope, top_x = limit_of_mean(y, v, c, side, grid[0], start, level, direction)
    if x == x:
        furthest = direction * x
    for j in range(1, grid.size):
        seen, rising, before_x = x == x, slope > 0.0, top_x
        x, slope, top_x = limit_of_mean(y, v, c, side, grid[j], top_x, level, direction)
        now = x == x
        if now:
            furthest = max(furthest, direction * x)
            if is_open and j == grid.size - 1 and slope > 0.0:
                return direction * np.inf
        if (seen or now) and (rising or not seen) and (not now or slope <= 0.0):
            low, high, middle_top = grid[j - 1], grid[j], before_x
            for _ in range(HALVINGS):
                middle = 0.5 * (low + high)
                middle_x, middle_slope, middle_top = limit_of_mean(y, v, c, side, middle, middle_top, level, direction)
                if middle_x == middle_x:
                    furthest = max(furthest, direction * middle_x)
                if (middle_x == middle_x and middle_slope > 0.0) or (middle_x != middle_x and not seen):
                    low = middle
                else:
                    high = middle
                if high - low <= NEAR_ENOUGH * high:
                    break
    return direction * furthest


@kernel
def crossing(y: FloatArray, v: FloatArray, c: FloatArray, side: FloatArray, out: float, within: float, start: float, level: float) -> float:
    """tau^2 at which the profile crosses `level`, between one value out of the interval and one within it."""
    x = start
    for _ in range(LAST_STEP):
        middle = 0.5 * (out + within)
        if middle in (out, within) or abs(out - within) <= 1e-13 * max(out, within):
            break
        x, height, _, _ = best_mean(y, v, c, side, middle, x, False)
        if height < level:
            out = middle
        else:
            within = middle
    return within


@kernel
def grid_of(y: FloatArray, v: FloatArray) -> FloatArray:
    """Values of tau^2 to look at, from 0."""
    smallest, largest, low, high = v[0], v[0], y[0], y[0]
    for i in range(y.size):
        smallest, largest = min(smallest, v[i]), max(largest, v[i])
        low, high = min(low, y[i]), max(high, y[i])
    n = 2 + int(math.log(1.0 + FURTHEST * (largest + (high - low) ** 2) / smallest) / CELL)
    grid = np.empty(n)
    for j in range(n):
        grid[j] = smallest * math.expm1(CELL * j)
    return grid


@kernel
def fit_star(y: FloatArray, v: FloatArray, c: FloatArray, side: FloatArray, fall: float, found: FloatArray) -> bool:
    """Fill `found` in the order of the constants above; `fall` of the log-likelihood at the limits, NaN for no limits. False without a maximum."""
    grid, start = grid_of(y, v), 0.0
    for i in range(y.size):
        start += y[i] / y.size
    x, tau2, height, inside = highest_along(y, v, c, side, grid, start, False)
    if not inside:
        return False
    found[ESTIMATE], found[TAU2], found[HEIGHT] = x, tau2, height
    _, _, found[HEIGHT_MEAN_0], _ = highest_along(y, v, c, side, grid, 0.0, True)
    _, found[HEIGHT_TAU2_0], _, _ = best_mean(y, v, c, side, 0.0, start, False)
    if math.isnan(fall):
        return True
    looked = np.sort(np.append(grid, tau2))
    level = height - fall
    means, heights = np.empty(looked.size), np.empty(looked.size)
    first, last, at = looked.size, 0, start
    for j in range(looked.size):
        at, heights[j], _, _ = best_mean(y, v, c, side, looked[j], at, False)
        means[j] = at
        if heights[j] >= level:
            first, last = min(first, j), j
    found[TAU2_LOWER] = crossing(y, v, c, side, looked[first - 1], looked[first], means[first], level) if first > 0 else 0.0
    is_open = last == looked.size - 1
    found[TAU2_UPPER] = np.inf if is_open else crossing(y, v, c, side, looked[last + 1], looked[last], means[last], level)
    seen = looked[max(first - 1, 0) : last + 2]
    found[LOWER] = furthest_mean(y, v, c, side, seen, means[first], level, -1.0, is_open)
    found[UPPER] = furthest_mean(y, v, c, side, seen, means[first], level, 1.0, is_open)
    return True
