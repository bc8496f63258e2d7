"""One meta-analysis at a time with whole matrices, from the papers: estimating equations by root finding, likelihoods by grid and refinement."""

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import gammainc, gammaincc, gammaincinv, ndtr, ndtri, stdtr, stdtrit

TIGHT = {"xtol": 1e-15, "rtol": 1e-14, "maxiter": 1000}


def batch(seed, n_replicates=6, n_studies=12, smallest=2):
    """Effects and variances, some studies absent, between-study variances from 0 to several times the sampling variances."""
    rng = np.random.default_rng(seed)
    v = np.exp(rng.uniform(np.log(0.01), np.log(3.0), (n_replicates, n_studies)))
    tau = rng.choice([0.0, 0.1, 0.5, 1.5], (n_replicates, 1))
    y = rng.normal(0.3, np.sqrt(v + tau**2))
    absent = rng.random(y.shape) < rng.choice([0.0, 0.3, 0.8], (n_replicates, 1))
    absent[:, :smallest] = False
    return np.where(absent, np.nan, y), v


def each(y, v):
    """Studies that are present, one meta-analysis at a time."""
    for effects, variances in zip(y, v, strict=True):
        known = ~np.isnan(effects)
        yield effects[known], variances[known]


def projection(weights, x):
    """P = W - W X (X'WX)^-1 X'W."""
    w = np.diag(weights)
    return w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w


def q_at(tau2, y, v, x):
    return float(y @ projection(1 / (v + tau2), x) @ y)


def log_likelihood(tau2, y, v, x, restricted):
    """Of tau2, all constants included; the restricted one is that of contrasts (Harville 1974)."""
    k, p = x.shape
    w = np.diag(1 / (v + tau2))
    value = -0.5 * np.log(v + tau2).sum() - 0.5 * q_at(tau2, y, v, x)
    if not restricted:
        return value - 0.5 * k * np.log(2 * np.pi)
    value -= 0.5 * np.linalg.slogdet(x.T @ w @ x)[1] - 0.5 * np.linalg.slogdet(x.T @ x)[1]
    return value - 0.5 * (k - p) * np.log(2 * np.pi)


def maximum(function, highest):
    """Of a function of tau2 >= 0: the best of a fine grid, refined between its neighbours."""
    grid = np.concatenate([[0.0], np.geomspace(1e-7, 1, 600) * highest])
    values = [function(point) for point in grid]
    best = int(np.argmax(values))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(lambda point: -function(point), bounds=(low, high), method="bounded", options={"xatol": 1e-12 * highest})
    return float(found.x) if -found.fun > values[best] else float(grid[best])


def root_of_q(target, y, v, x):
    """The tau2 at which Q falls to a target."""
    if q_at(0.0, y, v, x) <= target:
        return 0.0
    high = 1.0
    while q_at(high, y, v, x) > target:
        high *= 4
    return float(brentq(lambda tau2: q_at(tau2, y, v, x) - target, 0.0, high, **TIGHT))


def by_moments(weights, y, v, x):
    """Generalised method of moments: E y'Ay = tr A(V + tau2) (DerSimonian and Kacker 2007)."""
    a = projection(weights, x)
    return max(0.0, float((y @ a @ y - np.trace(a @ np.diag(v))) / np.trace(a)))


def tau2(method, y, v, x, weights=None):
    k, p = x.shape
    if method == "DL":
        return by_moments(1 / v, y, v, x)
    if method == "HE":
        return by_moments(np.ones(k), y, v, x)
    if method == "GENQ":
        return by_moments(weights, y, v, x)
    if method == "HS":
        return max(0.0, (q_at(0, y, v, x) - k) / (1 / v).sum())
    if method == "HSk":
        return max(0.0, (k / (k - p) * q_at(0, y, v, x) - k) / (1 / v).sum())
    if method == "SJ":
        start = float(np.mean((y - y.mean()) ** 2))
        return start * float(y @ projection(1 / (v / start + 1), x) @ y) / start / (k - p)
    if method in ("PM", "EB"):
        return root_of_q(k - p, y, v, x)
    if method == "PMM":
        return root_of_q(2 * gammaincinv((k - p) / 2, 0.5), y, v, x)
    return maximum(lambda t: log_likelihood(t, y, v, x, method == "REML"), 10 * (np.ptp(y) ** 2 + v.max()))


def weighted(y, v, x, t):
    """Coefficients, covariance, weighted residual sum of squares."""
    w = np.diag(1 / (v + t))
    covariance = np.linalg.inv(x.T @ w @ x)
    b = covariance @ x.T @ w @ y
    return b, covariance, float((y - x @ b) @ w @ (y - x @ b))


def with_margin(b, std_error, df, level=0.95):
    """Limits and p-value; df None for the normal."""
    half = (1 + level) / 2
    q = ndtri(half) if df is None else stdtrit(df, half)
    q = np.inf if q > 1e150 else q  # SciPy's quantile stops there
    tail = ndtr(-np.abs(b / std_error)) if df is None else stdtr(df, -np.abs(b / std_error))
    return b - q * std_error, b + q * std_error, 2 * tail


def interval(rule, y, v, t):
    """Standard error, lower, upper, p-value of one mean."""
    x = np.ones((len(y), 1))
    (b,), ((variance,),), rss = weighted(y, v, x, t)
    df = len(y) - 1
    wald = np.sqrt(variance)
    knapp = np.sqrt(variance * rss / df)
    adhoc = max(wald, knapp)
    if rule == "wald":
        return wald, *with_margin(b, wald, None)
    if rule == "t":
        return wald, *with_margin(b, wald, df)
    if rule == "hartung_knapp":
        return knapp, *with_margin(b, knapp, df)
    if rule == "hartung_knapp_adhoc":
        return adhoc, *with_margin(b, adhoc, df)
    if rule == "hartung_knapp_ci":
        return (knapp, *with_margin(b, knapp, df)) if stdtrit(df, 0.975) * knapp >= ndtri(0.975) * wald else (wald, *with_margin(b, wald, None))
    if rule == "hartung_knapp_iqwig6":
        dl = weighted(y, v, x, tau2("DL", y, v, x))[1][0, 0]
        chosen = adhoc if stdtrit(df, 0.975) * knapp < ndtri(0.975) * np.sqrt(dl) else knapp
        return chosen, *with_margin(b, chosen, df)
    return kenward_roger(b, y, v, t)


def kenward_roger(b, y, v, t):
    """Kenward and Roger (1997), equations 4 to 7, for one mean and one variance parameter, with the expected information."""
    x = np.ones((len(y), 1))
    inverse = np.diag(1 / (v + t))
    phi = np.linalg.inv(x.T @ inverse @ x)
    p1 = -x.T @ inverse @ inverse @ x
    q11 = x.T @ inverse @ inverse @ inverse @ x
    information = 0.5 * np.trace(projection(1 / (v + t), x) @ projection(1 / (v + t), x))
    adjusted = (phi + 2 * phi @ ((q11 - p1 @ phi @ p1) / information) @ phi)[0, 0]
    # the meta package's degrees of freedom: Satterthwaite's with the adjusted variance in the gradient
    gradient = adjusted * (-p1[0, 0])
    df = 2 * information / gradient**2
    return np.sqrt(adjusted), *with_margin(b, np.sqrt(adjusted), df)


def profile_of_mean(mean, y, v):
    """Log-likelihood of a mean, tau2 at its best."""

    def at(t):
        return -0.5 * np.log(v + t).sum() - 0.5 * ((y - mean) ** 2 / (v + t)).sum()

    return at(maximum(at, 2 * ((y - mean) ** 2).max() + v.max()))


def profile_likelihood(y, v):
    """Hardy and Thompson's limits."""
    x = np.ones((len(y), 1))
    (b,), ((variance,),), _ = weighted(y, v, x, tau2("ML", y, v, x))
    least = profile_of_mean(b, y, v) - ndtri(0.975) ** 2 / 2
    limits = []
    for side in (-1, 1):
        far = b + side * np.sqrt(variance)
        while profile_of_mean(far, y, v) > least:
            far += side * np.sqrt(variance)
        limits.append(brentq(lambda mean: profile_of_mean(mean, y, v) - least, *sorted((b, far)), xtol=1e-12))
    return limits


def henmi_copas(y, v, level=0.95):
    """Henmi and Copas (2010), section 3, with adaptive quadrature: standard error and limits."""
    k, w = len(y), 1 / v
    w1 = w.sum()
    w2, w3, w4 = ((w**power).sum() / w1 for power in (2, 3, 4))
    mean = (w * y).sum() / w1
    t = max(0.0, ((w * (y - mean) ** 2).sum() - (k - 1)) / (w1 - w2))
    ratio = 1 + t * w2

    def expected(r):
        return (k - 1) + t * (w1 - w2) + t**2 * (r**2 / ratio**2 - 1 / ratio) * (w3 - w2**2)

    def variance(r):
        excess = r**2 / ratio**2 - 1 / ratio
        value = 2 * (k - 1) + 4 * t * (w1 - w2) + 2 * t**2 * (w1 * w2 - 2 * w3 + w2**2) + 4 * t**2 * excess * (w3 - w2**2)
        value += 4 * t**3 * excess * (w4 - 2 * w2 * w3 + w2**3)
        return value + 2 * t**4 * (1 / ratio**2 - 2 * r**2 / ratio**3) * (w3 - w2**2) ** 2

    def tail(x):
        def integrand(z):
            r = np.sqrt(ratio) * z
            limit = (w1 / w2 - 1) * ((z / x) ** 2 - 1) + k - 1
            return gammainc(expected(r) ** 2 / variance(r), limit * expected(r) / variance(r)) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

        pieces = ((0, 0.3), (0.3, 1), (1, 2), (2, 4), (4, 10))
        return sum(quad(integrand, x + low, x + high, epsabs=1e-13, epsrel=1e-11, limit=300)[0] for low, high in pieces)

    quantile = brentq(lambda x: tail(x) - (1 - level) / 2, 1e-3, 2.5, xtol=1e-13)
    std_error = np.sqrt(ratio / w1)
    margin = quantile * np.sqrt(ratio) * std_error
    return std_error, mean - margin, mean + margin


def q_profile(y, v, x, level=0.95):
    df = x.shape[0] - x.shape[1]
    return [root_of_q(2 * gammaincinv(df / 2, (1 + side * level) / 2), y, v, x) for side in (1, -1)]


def tau2_by_likelihood(method, y, v, x):
    """Profile likelihood limits of tau2, the nearest on either side of the estimate."""
    restricted, best = method == "REML", tau2(method, y, v, x)
    least = log_likelihood(best, y, v, x, restricted) - ndtri(0.975) ** 2 / 2

    def above(t):
        return log_likelihood(t, y, v, x, restricted) - least

    high = best + v.min()
    while above(high) > 0:
        high += 0.3 * (high + v.min())
    upper = brentq(above, best, high, **TIGHT)
    steps = np.linspace(best, 0.0, 500)
    under = [i for i, t in enumerate(steps) if above(t) < 0]
    return (brentq(above, steps[under[0]], steps[under[0] - 1], **TIGHT) if under else 0.0), upper


def heterogeneity(y, v, t):
    """Q, its p-value, I2 by the typical sampling variance of Higgins and Thompson (2002), equation 9."""
    k, w = len(y), 1 / v
    q = float((w * (y - (w * y).sum() / w.sum()) ** 2).sum())
    typical = (k - 1) * w.sum() / (w.sum() ** 2 - (w**2).sum())
    return q, float(gammaincc((k - 1) / 2, q / 2)), t / (t + typical)
