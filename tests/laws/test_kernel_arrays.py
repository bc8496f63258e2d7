"""Arrays as kernels take them: a kernel is compiled for each layout it meets, so all come to it in one."""

import numpy as np
import pytest

from simtrials.core.arrays import for_kernel
from simtrials.stats.studies import Studies
from simtrials.stats.study_arrays import flat_studies

ONE = np.array([0.2, 0.1, 0.4])


@pytest.mark.parametrize("array", [ONE, np.broadcast_to(ONE, (3,)), np.broadcast_to(ONE, (2, 3)), np.ones((3, 4)).T, np.ones((4, 3))[::2]])
def test_every_array_can_be_written_and_is_contiguous(array):
    made = for_kernel(array)
    assert made.flags.c_contiguous
    assert made.flags.writeable
    np.testing.assert_array_equal(made, array)


def test_what_is_fit_already_is_not_copied():
    assert for_kernel(ONE) is ONE


@pytest.mark.parametrize("vi", [ONE, ONE[np.newaxis], np.tile(ONE, (2, 1)), ONE[:1]])
def test_studies_have_one_layout_whatever_was_given(vi):
    yi = np.zeros((2, 3))
    arrays = [Studies.of(yi, vi).v, *flat_studies(yi, vi)[1]]
    assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays)


def test_what_was_given_is_left_as_it_was():
    vi = ONE.copy()
    studies = Studies.of(np.zeros((2, 3)), vi)
    studies.v[:] = 1.0
    np.testing.assert_array_equal(vi, ONE)
