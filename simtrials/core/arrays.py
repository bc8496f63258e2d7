"""Axes, array types and the layout that kernels expect.

Public arrays put replicates first: ``(replicate, patient)``, then ``visit``. In memory patients are the slow axis, because a patient's
luck must not change when the trial grows; a kernel therefore takes the transposed view ``(patient, replicate)``, which is contiguous,
and runs its innermost loop over replicates.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

REPLICATE, PATIENT, VISIT = 0, 1, 2

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ArmArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]
AnyArray = NDArray[Any]


def patient_major(array: NDArray[Any]) -> NDArray[Any]:
    """The array with its first two axes exchanged and contiguous: ``(replicate, patient)`` becomes ``(patient, replicate)``.

    No copy is made of an array that was drawn patient by patient, which is the rule.
    """
    return np.ascontiguousarray(array.swapaxes(0, 1))


def replicate_major(array: NDArray[Any]) -> NDArray[Any]:
    """The view ``(replicate, patient, ...)`` of an array that was drawn patient by patient."""
    return array.swapaxes(0, 1)


def for_kernel(array: NDArray[Any]) -> NDArray[Any]:
    """The array C-contiguous and writable, copied only where it is not: kernels are compiled once more for arrays that cannot be written."""
    return np.require(array, requirements=("C", "W"))


def lookup(values: NDArray[Any], index: NDArray[Any]) -> NDArray[Any]:
    """``values[index]`` for an index ``(replicate, patient)``, in the same memory order as the index."""
    return values.take(index.T).T
