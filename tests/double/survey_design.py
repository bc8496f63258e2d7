"""The standard error of a share in a survey with strata and clusters, by linearisation, written from the textbook."""

import math


def standard_error_of_share(weights, event, in_part, strata, clusters):
    """Taylor linearisation for a ratio of two totals, clusters drawn with replacement in strata.

    Source: Lohr (2010), Sampling: Design and Analysis, section 9.1; a part of the people is a ratio over all of them.
    """
    total = sum(w for w, inside in zip(weights, in_part, strict=True) if inside)
    share = sum(w * e for w, e, inside in zip(weights, event, in_part, strict=True) if inside) / total
    sums = {}
    for w, e, inside, stratum, cluster in zip(weights, event, in_part, strata, clusters, strict=True):
        key = (stratum, cluster)
        sums[key] = sums.get(key, 0.0) + (w * (e - share) / total if inside else 0.0)
    variance = 0.0
    for stratum in {key[0] for key in sums}:
        own = [value for key, value in sums.items() if key[0] == stratum]
        m = len(own)
        if m > 1:
            mean = sum(own) / m
            variance += m / (m - 1) * sum((value - mean) ** 2 for value in own)
    return math.sqrt(variance)
