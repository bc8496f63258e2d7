"""What holds for all tests: one thread of linear algebra each, and slots of kinds as they were."""

import os

import pytest

from simtrials.core.registry import Registry


def pytest_configure(config):
    """Before NumPy is imported, and for every process that the tests start: matrices are small and a core is kept busy by each worker of pytest,
    so that further threads of linear algebra only wait, and burn most of the time in doing so."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@pytest.fixture(autouse=True)
def _slots_as_they_were():
    """A test may register kinds of its own; the next one finds the slots as they were."""
    before = {slot: dict(registry._kinds) for slot, registry in Registry.slots.items()}
    yield
    for slot, registry in Registry.slots.items():
        registry._kinds = before.get(slot, registry._kinds)
