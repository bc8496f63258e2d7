"""Workers on a Dask cluster; needs the extra ``simtrials[dask]``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from simtrials.core.errors import SimtrialsError


@contextmanager
def dask_client(scheduler: str | None) -> Iterator[dict[str, Any]]:
    """A connection to the scheduler at this address, or to a small cluster on this machine that ends with the run."""
    try:
        from distributed import Client
    except ImportError:
        raise SimtrialsError("backend dask needs the extra: pip install 'simtrials[dask]'") from None
    try:
        client = Client(scheduler, timeout="20s") if scheduler else Client(processes=True, dashboard_address=None)
    except OSError as error:
        raise SimtrialsError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    from joblib import parallel_config

    with client, parallel_config(backend="dask", n_jobs=-1):
        yield {}
