"""What is assumed of the visits a patient missed: at random, or as in the reference arm after a deviation from protocol; and delta adjustment.

The reference is the control arm. After a deviation the mean of a patient's visits is that of his own arm (missing at random), that of the
reference (jump to reference), or goes on from the last mean before the deviation with the increments of the reference (copy increments; with
no visit before the deviation it is the mean of the reference). There, visits after the deviation have the regressions of the reference on
earlier departures from the mean, which is the covariance matrix of Carpenter, Roger and Kenward. Under copy reference all visits have the
mean and the regressions of the reference. Patients without a deviation, and gaps before the last visit observed before it, are filled at
random under each assumption.

Source: Carpenter, Roger and Kenward (2013), Journal of Biopharmaceutical Statistics 23:1352-1371, section 4.3.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import PATIENT, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.imputation import Cohort, Draws, draw_unknown, mean_path

Assumption = Literal["missing_at_random", "jump_to_reference", "copy_increments", "copy_reference"]
AT_RANDOM, JUMP, INCREMENTS, COPY = range(4)


class Imputed(NamedTuple):
    """Completed outcomes at one visit."""

    outcome: FloatArray
    """(replicate, patient, imputation) points; NaN where it is missing and not to be imputed, or could not be"""
    status: IntArray
    """(replicate,) OK, or why a needed regression could not be fitted"""


def impute(patients: Cohort, draws: Draws, assumption: Assumption = "missing_at_random", visit: int = -1) -> Imputed:
    """The outcomes of one visit, completed once for each set of parameters.

    The same draws complete every visit under every assumption, so that two visits of a patient belong together and assumptions are compared
    without the noise of new draws. A replicate in which a needed regression could not be fitted has NaN for the patients concerned and the
    status of the regression.

    Parameters
    ----------
    assumption : what holds after a deviation
    visit : which visit, from 0; the last by default
    """
    visit = range(patients.outcome.shape[2])[visit]
    completed = np.repeat(patients.outcome[:, :, visit, np.newaxis], draws.luck.shape[2], axis=2)
    _impute(patients, draws, get_args(Assumption).index(assumption), visit, completed)
    failed = (np.isnan(completed).any(axis=2) & (patients.arm >= 0)).any(axis=PATIENT)
    return Imputed(completed, np.where(failed, draws.status.max(axis=(1, 2)), int(Status.OK)))


@kernel
def _impute(patients: Cohort, draws: Draws, assumption: int, visit: int, completed: FloatArray) -> None:
    outcome, covariates, arm, deviation = patients.centred, patients.covariates, patients.arm, patients.deviation
    for r in range(completed.shape[0]):
        parameters, centre = draws.parameters[r], patients.centre[r, visit]
        for p in range(completed.shape[1]):
            if arm[r, p] >= 0 and np.isnan(outcome[r, p, visit]):
                one, luck = completed[r, p], draws.luck[r, p]
                complete_patient(outcome[r, p], covariates[r, p], arm[r, p], deviation[r, p], parameters, luck, assumption, visit, one)
                for m in range(one.size):
                    one[m] += centre


@kernel
def complete_patient(
    outcome: FloatArray,
    covariates: FloatArray,
    arm: int,
    deviation: int,
    parameters: FloatArray,
    luck: FloatArray,
    assumption: int,
    visit: int,
    completed: FloatArray,
) -> None:
    """One visit of one patient, drawn under each set of parameters (set, arm, visit, column) with the luck (set, visit) that goes with it."""
    n_visits = outcome.size
    own, mean, path, known = np.empty(n_visits), np.empty(n_visits), np.empty(n_visits), np.empty(n_visits)
    precision, source = np.empty((n_visits, n_visits + 1)), np.empty(n_visits, dtype=np.int64)
    refers = assumption != AT_RANDOM and arm != 0 and deviation < n_visits
    last, gaps = deviation, False
    while last > 0 and np.isnan(outcome[last - 1]):
        last -= 1
    for t in range(last):
        if np.isnan(outcome[t]):
            gaps = True
    for m in range(parameters.shape[0]):
        mean_path(parameters[m, arm], covariates, own)
        for t in range(n_visits):
            source[t] = arm
            known[t] = 0.0 if np.isnan(outcome[t]) else 1.0
            path[t] = outcome[t] - own[t]
        if gaps:
            draw_unknown(path, known, last, source, parameters[m], luck[m], precision)
            known[:last] = 1.0
        if refers:
            mean_path(parameters[m, 0], covariates, mean)
            before = own[deviation - 1] - mean[deviation - 1] if assumption == INCREMENTS and deviation > 0 else 0.0
            for t in range(n_visits):
                if t >= deviation or assumption == COPY:
                    source[t] = 0
                    mean[t] += before
                else:
                    mean[t] = own[t]
                path[t] += own[t] - mean[t]
        draw_unknown(path, known, n_visits, source, parameters[m], luck[m], precision)
        completed[m] = path[visit] + (mean[visit] if refers else own[visit])


def delta_shift(patients: Cohort, delta: ArrayLike, cumulative: bool = False, arms: tuple[int, ...] = (1,), visit: int = -1) -> FloatArray:
    """What a delta adjustment adds to the outcomes of one visit that are missing after a deviation.

    It is added to what was imputed and is not carried on to later visits by their regressions.

    Parameters
    ----------
    delta : (visit,) points that each visit is shifted by, or one number for all
    cumulative : whether the shifts of the visits since the deviation add up
    arms : which are adjusted, 0 control, 1 active
    visit : which visit, from 0; the last by default

    Returns
    -------
    (replicate, patient) points, 0 for a patient who is not adjusted

    Source: Cro, Morris, Kenward and Carpenter (2020), Statistics in Medicine 39:2815-2842.
    """
    n_visits = patients.outcome.shape[2]
    visit = range(n_visits)[visit]
    by_visit = np.broadcast_to(np.asarray(delta, dtype=np.float64), n_visits)
    total = np.append(0.0, by_visit.cumsum())
    size = total[visit + 1] - total[np.minimum(patients.deviation, visit)] if cumulative else by_visit[visit]
    adjusted = np.isnan(patients.outcome[:, :, visit]) & (patients.deviation <= visit) & np.isin(patients.arm, arms)
    return np.where(adjusted, size, 0.0)
