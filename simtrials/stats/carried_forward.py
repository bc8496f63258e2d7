"""Simple ways of dealing with missing visits: carry a value forward, analyse completers, count the missing as non-responders.

None of them is valid in general when values are missing at random; they are here because trials have used them.
Source: National Research Council (2010), The Prevention and Treatment of Missing Data in Clinical Trials, chapter 4.
"""

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray


def last_observation_carried_forward(outcome: FloatArray, baseline: FloatArray | None = None) -> FloatArray:
    """Each missing visit takes the value of the last observed visit before it, or of the baseline where there is none.

    Parameters
    ----------
    outcome : (replicate, patient, visit) points, NaN where missing
    baseline : (replicate, patient) points (0 where outcomes are changes); without it, visits before the first observed one stay NaN

    Returns
    -------
    (replicate, patient, visit)
    """
    carried = outcome.copy()
    before = np.full(outcome.shape[:2], np.nan) if baseline is None else baseline
    for visit in range(outcome.shape[2]):
        carried[:, :, visit] = before = np.where(np.isnan(outcome[:, :, visit]), before, outcome[:, :, visit])
    return carried


def baseline_observation_carried_forward(outcome: FloatArray, baseline: FloatArray) -> FloatArray:
    """Each missing visit takes the value of the baseline, as if the patient had gone back to where he was.

    Parameters
    ----------
    outcome : (replicate, patient, visit) points, NaN where missing
    baseline : (replicate, patient) points (0 where outcomes are changes)
    """
    return np.where(np.isnan(outcome), baseline[:, :, np.newaxis], outcome)


def completers(outcome: FloatArray) -> FloatArray:
    """The outcomes (replicate, patient, visit) of patients observed at the last visit; all visits of the others become NaN."""
    return np.where(np.isnan(outcome[:, :, -1:]), np.nan, outcome)


def non_responder_imputation(response: FloatArray, analysed: BoolArray) -> FloatArray:
    """Missing responses count as failures.

    Parameters
    ----------
    response : (replicate, patient) 1 for response, 0 without, NaN where unknown
    analysed : (replicate, patient) who is analysed; others stay as they are

    Returns
    -------
    (replicate, patient)
    """
    return np.where(np.isnan(response) & analysed, 0.0, response)
