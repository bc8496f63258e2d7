"""Mantel-Haenszel methods for one trial, stratum by stratum in fractions; moments under the null by counting hypergeometric tables."""

from fractions import Fraction
from math import comb, log, sqrt


def strata(events_active, n_active, events_control, n_control):
    """Cells (with, without event; active, control) of the strata in which neither arm is empty, as fractions."""
    for a, n1, c, n0 in zip(events_active, n_active, events_control, n_control, strict=True):
        if n1 > 0 and n0 > 0:
            yield tuple(Fraction(int(x)) for x in (a, n1 - a, c, n0 - c))


def risk_difference(*counts, variance="sato"):
    """Estimate and squared standard error; the variance as Sato (1989) and Greenland and Robins (1985) write it, in fractions."""
    tables = list(strata(*counts))
    weight = sum((a + b) * (c + d) / (a + b + c + d) for a, b, c, d in tables)
    estimate = sum((a * (c + d) - c * (a + b)) / (a + b + c + d) for a, b, c, d in tables) / weight
    if variance == "greenland_robins":
        total = sum((a * b * (c + d) ** 3 + c * d * (a + b) ** 3) / ((a + b) * (c + d) * (a + b + c + d) ** 2) for a, b, c, d in tables)
        return estimate, total / weight**2
    p = q = Fraction(0)
    for a, b, c, d in tables:
        n1, n0, n = a + b, c + d, a + b + c + d
        p += (n1**2 * c - n0**2 * a + n1 * n0 * (n0 - n1) / 2) / n**2
        q += (a * (n0 - c) + c * (n1 - a)) / (2 * n)
    return estimate, (estimate * p + q) / weight**2


def log_risk_ratio(*counts):
    """Estimate and standard error; None where an arm has no events."""
    tables = list(strata(*counts))
    above = sum(a * (c + d) / (a + b + c + d) for a, b, c, d in tables)
    below = sum(c * (a + b) / (a + b + c + d) for a, b, c, d in tables)
    if above == 0 or below == 0:
        return None
    spread = sum(((a + b) * (c + d) * (a + c) - a * c * (a + b + c + d)) / (a + b + c + d) ** 2 for a, b, c, d in tables)
    return log(above / below), sqrt(spread / (above * below))


def log_odds_ratio(*counts):
    """Estimate and standard error; None where either sum of products is 0."""
    tables = list(strata(*counts))
    r = [a * d / (a + b + c + d) for a, b, c, d in tables]
    s = [b * c / (a + b + c + d) for a, b, c, d in tables]
    if sum(r) == 0 or sum(s) == 0:
        return None
    p = [(a + d) / (a + b + c + d) for a, b, c, d in tables]
    q = [(b + c) / (a + b + c + d) for a, b, c, d in tables]
    pr, qs = (sum(x * y for x, y in zip(one, other, strict=True)) for one, other in ((p, r), (q, s)))
    mixed = sum(x * v + y * u for x, y, u, v in zip(p, q, r, s, strict=True))
    return log(sum(r) / sum(s)), sqrt(pr / (2 * sum(r) ** 2) + mixed / (2 * sum(r) * sum(s)) + qs / (2 * sum(s) ** 2))


def excess_and_variance(*counts):
    """Events under active less those expected given the margins, and their variance: over all tables with the same margins."""
    excess = variance = Fraction(0)
    for a, b, c, d in strata(*counts):
        n1, n0, events = int(a + b), int(c + d), int(a + c)
        support = range(max(0, events - n0), min(n1, events) + 1)
        chance = {k: Fraction(comb(n1, k) * comb(n0, events - k), comb(n1 + n0, events)) for k in support}
        mean = sum(k * p for k, p in chance.items())
        excess += a - mean
        variance += sum((k - mean) ** 2 * p for k, p in chance.items())
    return excess, variance


def cmh_statistic(*counts, continuity_correction=False):
    """Signed root of the chi-squared statistic; None where nothing varies."""
    excess, variance = excess_and_variance(*counts)
    if variance == 0:
        return None
    half = Fraction(1, 2)
    size = abs(excess) - half if continuity_correction and abs(excess) >= half else abs(excess)
    return (1 if excess > 0 else -1) * float(size) / sqrt(variance)
