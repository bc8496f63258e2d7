"""What a result rests on: versions of everything that computes, and when and how it was run."""

import platform
import sys
from importlib.metadata import version

from simtrials import __version__
from simtrials.core.rng import STREAM_VERSION

LIBRARIES = ("numpy", "scipy", "numba", "llvmlite", "pandas", "pyarrow", "pydantic", "joblib", "matplotlib")
COMPUTING = ("numpy", "scipy", "numba", "llvmlite")


def versions() -> dict[str, str]:
    """Versions of simtrials, Python and the libraries."""
    own = {"simtrials": __version__, "python": platform.python_version(), "streams": str(STREAM_VERSION)}
    return own | {name: version(name) for name in LIBRARIES}


def fingerprint() -> str:
    """What must agree for two runs to agree to the bit: the versions that compute, and the kind of machine."""
    parts = [f"simtrials {__version__}", f"streams {STREAM_VERSION}", *(f"{name} {version(name)}" for name in COMPUTING)]
    return "; ".join([*parts, platform.machine(), sys.byteorder])
