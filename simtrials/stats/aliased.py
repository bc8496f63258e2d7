"""Covariates that cannot be told apart in a replicate are left out of its model, as R's lm and glm do."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.status import Status
from simtrials.stats.regression import aliased_regressor

Fit = TypeVar("Fit", bound=tuple[AnyArray, ...])
Model = Callable[[FloatArray, AnyArray, int, Sequence[AnyArray], int], Fit]


def dropping_aliased(model: Model[Fit], outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], tested: int = 0) -> Fit:
    """A regression in which a covariate that is constant, or follows from earlier ones, is left out of the replicates where it is so.

    In a small trial everybody may be of one sex; the effect of the drug can still be estimated. A replicate in which the tested column itself
    cannot be told apart stays COLLINEAR.

    Parameters
    ----------
    model : takes (outcome, arm, active, covariates, tested) and returns a named tuple of (replicate,) arrays that ends with the status
    outcome : (replicate, patient), or (replicate, patient, visit): then a covariate is left out where it is aliased at any visit
    arm, active, covariates, tested : as for `least_squares`

    Source: Chambers and Hastie (1992), Statistical Models in S, section 4.4.3, on aliased coefficients.
    """
    found = model(outcome, arm, active, covariates, tested)
    collinear = np.flatnonzero(found[-1] == Status.COLLINEAR)
    if collinear.size == 0:
        return found
    some = [outcome[collinear], arm[collinear], *(column[collinear] for column in covariates)]
    aliased = _at_any_visit(some[0], some[1], active, some[2:], tested)
    columns = [column.copy() for column in found]
    for regressor in np.unique(aliased[aliased > 0]).tolist():
        rows = aliased == regressor
        kept = [column[rows] for k, column in enumerate(some[2:], start=1) if k != regressor]
        again = dropping_aliased(model, some[0][rows], some[1][rows], active, kept, tested - (regressor < tested))
        for column, values in zip(columns, again, strict=True):
            column[collinear[rows]] = values
    return type(found)(*columns)


def _at_any_visit(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], tested: int) -> IntArray:
    """(replicate,) the first regressor that is aliased among the patients with an outcome, at the first visit where one is; else -1."""
    aliased = np.full(len(outcome), -1)
    for visit in np.moveaxis(np.atleast_3d(outcome), 2, 0):
        aliased = np.where(aliased > 0, aliased, aliased_regressor(visit, arm, active, covariates, tested))
    return aliased
