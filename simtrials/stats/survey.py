"""Uncertainty of what is estimated from a survey with strata and clusters: bootstrap weights."""

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray


def rescaled_bootstrap(weights: FloatArray, strata: AnyArray, clusters: AnyArray, n: int, rng: np.random.Generator) -> FloatArray:
    """(n, people) weights of bootstrap samples: of the m clusters of a stratum m - 1 are drawn with replacement and weigh m / (m - 1) times as much.

    With these weights in the place of the survey's own, the variance over the samples is that of the survey's design
    (clusters drawn with replacement within strata), also for a part of the people: give those of every cluster and use the rows of the part.
    The only cluster of a stratum is kept as it is.

    Parameters
    ----------
    weights, strata, clusters : (people,) sampling weights, stratum, and cluster within its stratum
    n : bootstrap samples

    Source: Rao and Wu (1988), Journal of the American Statistical Association 83, 231-241; Rao, Wu and Yue (1992), Survey Methodology 18, 209-217.
    """
    _, stratum_of = np.unique(strata, return_inverse=True)
    pairs, cluster_of = np.unique(np.stack([stratum_of, np.unique(clusters, return_inverse=True)[1]]), axis=1, return_inverse=True)
    counts = np.ones((n, pairs.shape[1]))
    for stratum in range(int(stratum_of.max()) + 1):
        members = np.flatnonzero(pairs[0] == stratum)
        m = members.size
        if m > 1:
            drawn = rng.multinomial(m - 1, np.full(m, 1 / m), size=n)
            counts[:, members] = drawn * (m / (m - 1))
    return np.asarray(np.asarray(weights, dtype=np.float64) * counts[:, cluster_of.ravel()])
