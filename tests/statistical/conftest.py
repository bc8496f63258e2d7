"""One run of the flagship scenario and its null, shared by the tests that look at it."""

import pytest
from statistical.helpers import flagship_run

from simtrials.engine.result import Run


@pytest.fixture(scope="session")
def flagship(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return flagship_run(tmp_path_factory.mktemp("flagship"))
