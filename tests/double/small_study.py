"""Small-study effects, influence and permutation, written from the papers for one body of evidence, with plain loops."""

from itertools import combinations, permutations, product

import numpy as np
from scipy import integrate, stats


def linear_model(y, x, w):
    """Coefficients, standard errors with a free residual variance, two-sided p-values and residual degrees of freedom."""
    root = np.sqrt(w)
    b, *_ = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)
    df = len(y) - x.shape[1]
    s2 = sum(w[i] * (y[i] - x[i] @ b) ** 2 for i in range(len(y))) / df
    se = np.sqrt(np.diag(s2 * np.linalg.inv(x.T @ np.diag(w) @ x)))
    return b, se, 2 * stats.t.sf(np.abs(b / se), df), df


def dersimonian_laird(y, v):
    if len(y) < 2:
        return 0.0
    w = [1 / a for a in v]
    mean = sum(a * b for a, b in zip(w, y, strict=True)) / sum(w)
    q = sum(a * (b - mean) ** 2 for a, b in zip(w, y, strict=True))
    return max(0.0, (q - len(y) + 1) / (sum(w) - sum(a * a for a in w) / sum(w)))


def random_effects(y, v):
    """Mean, standard error and tau2 of DerSimonian and Laird."""
    t = dersimonian_laird(y, v)
    w = [1 / (a + t) for a in v]
    return sum(a * b for a, b in zip(w, y, strict=True)) / sum(w), sum(w) ** -0.5, t


def mixed_slope(y, v):
    """Slope on the standard error and tau2 of DerSimonian and Laird's regression, by matrices."""
    x = np.column_stack([np.ones(len(y)), np.sqrt(v)])
    w = np.diag(1 / np.asarray(v))
    p = w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w
    t = max(0.0, (y @ p @ y - (len(y) - 2)) / np.trace(p))
    w = np.diag(1 / (np.asarray(v) + t))
    covariance = np.linalg.inv(x.T @ w @ x)
    b = covariance @ x.T @ w @ y
    return b[1], covariance[1, 1] ** 0.5, t


def kendall(y, v):
    """Kendall's tau and its p-value by going through all permutations."""
    w = 1 / v
    mean = (w * y).sum() / w.sum()
    z = (y - mean) / np.sqrt(v - 1 / w.sum())
    k = len(y)

    def score(order):
        return sum(np.sign(z[i] - z[j]) * np.sign(order[i] - order[j]) for i in range(k) for j in range(i))

    observed = score(v)
    everything = [score(order) for order in permutations(v)]
    upper, lower = (np.mean([sign * s >= sign * observed for s in everything]) for sign in (1, -1))
    return observed / (k * (k - 1) / 2), min(1.0, 2 * min(upper, lower))


def trim_and_fill(y, v, estimator, right):
    """Number of missing studies, filled mean, its standard error and tau2; None where the numbers go round in a circle or have no root."""
    y = -y if right else y
    order = sorted(range(len(y)), key=lambda i: y[i])
    y, v, k = [float(y[i]) for i in order], [float(v[i]) for i in order], len(y)
    missing, seen = 0, []
    while missing not in seen:
        seen.append(missing)
        center = random_effects(y[: k - missing], v[: k - missing])[0]
        by_size = sorted(range(k), key=lambda i: abs(y[i] - center))
        signed = {i: (rank + 1) * np.sign(y[i] - center) for rank, i in enumerate(by_size)}
        positive = sum(r for r in signed.values() if r > 0)
        if estimator == "R0":
            raw = k - max(-r for r in signed.values() if r < 0) - 1
        elif estimator == "L0":
            raw = (4 * positive - k * (k + 1)) / (2 * k - 1)
        else:
            inside = 2 * k**2 - 4 * positive + 0.25
            if inside < 0:
                return None
            raw = k - 0.5 - inside**0.5
        previous, missing = missing, max(0, round(raw))
        if missing == previous:
            mirrored = [2 * center - a for a in y[k - missing :]]
            mean, se, t = random_effects(y + mirrored, v + v[k - missing :])
            return missing, -mean if right else mean, se, t
    return None


def rosenthal(y, v, alpha):
    """Add studies with z = 0, one after the other, until Stouffer's z is not significant."""
    z, n = abs(sum(y / np.sqrt(v))), 0
    while z / np.sqrt(len(y) + n) > stats.norm.isf(alpha):
        n += 1
    return n


def rosenberg(y, v, alpha):
    """Add null studies of the average weight until the common-effect mean is not significant."""
    w, n = 1 / v, 0
    while abs((w * y).sum()) / np.sqrt(w.sum() + n * w.mean()) > stats.norm.isf(alpha / 2):
        n += 1
    return n


def orwin(y, target):
    """Add studies of effect 0 until the mean is not larger than the target."""
    n = 0
    while abs(sum(y)) / (len(y) + n) > target:
        n += 1
    return n


def excess_significance(y, v, alpha):
    """Observed, expected and exact p-value, two-sided tests; power by integration over true effects, p-value over all sets of studies."""
    mean, _, t = random_effects(y, v)
    critical = stats.norm.isf(alpha / 2)

    def power(theta, se):
        return stats.norm.sf(critical - theta / se) + stats.norm.cdf(-critical - theta / se)

    powers = []
    for variance in v:
        se = variance**0.5
        if t == 0:
            powers.append(power(mean, se))
            continue
        ends = mean - 10 * t**0.5, mean + 10 * t**0.5
        powers.append(integrate.quad(lambda x, s=se: power(x, s) * stats.norm.pdf(x, mean, t**0.5), *ends, epsabs=1e-11, limit=200)[0])
    observed = sum(abs(a) / b**0.5 >= critical for a, b in zip(y, v, strict=True))
    p_value = 0.0
    for size in range(observed, len(y) + 1):
        for chosen in combinations(range(len(y)), size):
            p_value += np.prod([powers[i] if i in chosen else 1 - powers[i] for i in range(len(y))])
    return observed, sum(powers), p_value


def influence(y, v):
    """Rows of rstudent, dffits, Cook's distance, covariance ratio, tau2, hat, dfbetas, DerSimonian and Laird."""
    mean, se, t = random_effects(y, v)
    rows = []
    for i in range(len(y)):
        rest, rest_se, rest_t = random_effects(np.delete(y, i), np.delete(v, i))
        hat = (1 / (v[i] + t)) / sum(1 / (a + t) for a in v)
        # dffits: the variance of the fitted value at the tau2 of the rest, with the weights of all
        fitted = hat * (rest_t + v[i])
        rows.append(
            [
                (y[i] - rest) / (v[i] + rest_t + rest_se**2) ** 0.5,
                (mean - rest) / fitted**0.5,
                ((mean - rest) / se) ** 2,
                (rest_se / se) ** 2,
                rest_t,
                hat,
                (mean - rest) * sum(1 / (a + rest_t) for a in v) ** 0.5,
            ]
        )
    return np.array(rows).T


def permutation(y, v, alternative):
    """Share of all 2^k sign flips that are at least as extreme."""
    mean, se, _ = random_effects(y, v)
    observed, count = mean / se, 0
    for signs in product((1, -1), repeat=len(y)):
        mean, se, _ = random_effects(y * np.array(signs), v)
        z = mean / se
        extreme = {"two_sided": abs(z) >= abs(observed) - 1e-8, "greater": z >= observed - 1e-8, "less": z <= observed + 1e-8}
        count += extreme[alternative]
    return count / 2 ** len(y)


# ---- random bodies of evidence


def batch(seed, n=40, k=9, absent=0.2):
    """(n, k) effects with a small-study effect in half of the batches, some absent; at least four present."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.02, 0.6, (n, k))
    y = 0.3 + rng.normal(size=(n, k)) * np.sqrt(v + rng.uniform(0, 0.3, (n, 1))) + rng.integers(0, 2, (n, 1)) * np.sqrt(v)
    gone = rng.random((n, k)) < absent
    gone[:, :4] = False
    return np.where(gone, np.nan, y), v


def bodies(y, v):
    for row, variances in zip(y, v, strict=True):
        yield row[~np.isnan(row)], variances[~np.isnan(row)]
