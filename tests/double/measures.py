"""Performance measures written out from Morris, White & Crowther 2019, table 6, one list of replicates at a time."""

import math


def mean(values):
    return sum(values) / len(values)


def sample_variance(values):
    centre = mean(values)
    return sum((value - centre) ** 2 for value in values) / (len(values) - 1)


def bias(estimates, truth):
    return mean(estimates) - truth, math.sqrt(sample_variance(estimates) / len(estimates))


def empirical_se(estimates):
    value = math.sqrt(sample_variance(estimates))
    return value, value / math.sqrt(2 * (len(estimates) - 1))


def model_se(std_errors):
    squares = [se**2 for se in std_errors]
    value = math.sqrt(mean(squares))
    return value, math.sqrt(sample_variance(squares) / (4 * len(squares) * value**2))


def relative_error_of_model_se(estimates, std_errors):
    squares = [se**2 for se in std_errors]
    ratio = model_se(std_errors)[0] / empirical_se(estimates)[0]
    n = len(estimates)
    return ratio - 1, ratio * math.sqrt(sample_variance(squares) / (4 * n * mean(squares) ** 2) + 1 / (2 * (n - 1)))


def mean_squared_error(estimates, truth):
    squares = [(estimate - truth) ** 2 for estimate in estimates]
    value = mean(squares)
    return value, math.sqrt(sum((square - value) ** 2 for square in squares) / (len(squares) * (len(squares) - 1)))


def share(flags):
    n, count = len(flags), sum(flags)
    centre = (count + 2) / (n + 4)
    return count / n, math.sqrt(centre * (1 - centre) / n)


def exaggeration(estimates, significant, truth):
    found = [abs(estimate) for estimate, hit in zip(estimates, significant, strict=True) if hit]
    return mean(found) / abs(truth)
