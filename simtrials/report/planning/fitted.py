"""The thin line of a power curve: fitted where power follows a known form, and straight between the points elsewhere."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.special import ndtr

from simtrials.core.arrays import FloatArray
from simtrials.planning.points import Share
from simtrials.planning.probit import probit_line

FEWEST = 3
"""Points that a line is fitted to."""
FAR = 4.0
"""Monte Carlo standard errors of a point from the fitted line beyond which the line is not drawn."""
HOW_DRAWN: Mapping[frozenset[bool], str] = {
    frozenset({True}): "Line: fitted on the probit scale.",
    frozenset({False}): "Line: from point to point.",
    frozenset({True, False}): "Line: fitted on the probit scale, or from point to point where that does not fit.",
}


def fitted(x: Sequence[float], shares: Sequence[Share], beside: int | None) -> Callable[[FloatArray], FloatArray] | None:
    """Power over a number of patients (or studies): probit(power) = a + b sqrt(number + beside), by maximum likelihood.

    None for other fields, with fewer than three points, where the fit is not determined, and where a point lies far from it: a plateau of power, or
    the teeth of an exact test, are not smoothed away.

    Source: McCullagh and Nelder (1989), Generalized Linear Models, chapter 4.

    Parameters
    ----------
    x, shares : (k,) numbers and shares there
    beside : what is there already beside a number, as the studies of a review; None where x is no number of patients or studies
    """
    if beside is None or len(x) < FEWEST:
        return None
    root = np.sqrt(np.asarray(x, dtype=np.float64) + beside)
    found = probit_line(root, np.array([share.shown for share in shares], float), np.array([share.of for share in shares], float))
    if found is None or not np.isfinite(found[0]).all():
        return None
    (intercept, slope), _ = found
    away = np.abs(ndtr(intercept + slope * root) - [share.value for share in shares])
    if (away > FAR * np.array([share.mcse for share in shares])).any():
        return None
    return lambda numbers: np.asarray(ndtr(intercept + slope * np.sqrt(numbers + beside)), dtype=np.float64)
