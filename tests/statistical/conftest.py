"""One run of the flagship scenario and its null, shared by the tests that look at it."""

import pytest

from simtrials.engine.files import read
from simtrials.engine.result import Run
from simtrials.engine.run import run

N_REPLICATES = 20_000


@pytest.fixture(scope="session")
def flagship(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """next_trial and its null, 20,000 replicates each, without the null grid."""
    scenario = read("next_trial").model_copy(update={"null_grid": {}})
    return run(scenario, n_replicates=N_REPLICATES, out=tmp_path_factory.mktemp("flagship"), n_jobs=2)
