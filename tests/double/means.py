"""Two means of one replicate in exact rational arithmetic."""

from fractions import Fraction
from math import sqrt


def by_arm(outcome, arm, active):
    """The outcomes of the control arm and of the active arm, as fractions."""
    return [[Fraction(float(y)) for y, a in zip(outcome, arm, strict=True) if a == code and y == y] for code in (0, active)]


def moments(values):
    """Number, mean and sum of squared deviations."""
    mean = sum(values) / len(values)
    return len(values), mean, sum((value - mean) ** 2 for value in values)


def t_test(outcome, arm, active, variance="pooled"):
    """Estimate, standard error and degrees of freedom; only the square root is rounded."""
    (n0, mean0, squares0), (n1, mean1, squares1) = (moments(values) for values in by_arm(outcome, arm, active))
    if variance == "pooled":
        df = Fraction(n0 + n1 - 2)
        squared_error = (squares0 + squares1) / df * (Fraction(1, n0) + Fraction(1, n1))
    else:
        part0, part1 = squares0 / (n0 - 1) / n0, squares1 / (n1 - 1) / n1
        squared_error = part0 + part1
        df = squared_error**2 / (part0**2 / (n0 - 1) + part1**2 / (n1 - 1))
    return float(mean1 - mean0), sqrt(squared_error), float(df)
