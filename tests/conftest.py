"""What holds for all tests: one thread of linear algebra in each process."""

import os


def pytest_configure(config):
    """Before NumPy is imported, and for every process that the tests start: matrices are small and a core is kept busy by each worker of pytest,
    so that further threads of linear algebra only wait, and burn most of the time in doing so."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
