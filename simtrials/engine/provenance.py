"""What a result rests on: versions of everything that computes, and when and how it was run."""

import hashlib
import platform
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import simtrials
from simtrials import __version__
from simtrials.core.check import Component
from simtrials.core.rng import STREAM_VERSION

LIBRARIES = ("numpy", "scipy", "numba", "llvmlite", "pandas", "pyarrow", "pydantic", "joblib", "matplotlib")
COMPUTING = ("numpy", "scipy", "numba", "llvmlite")
COMPUTING_PARTS = ("core", "stats", "trial", "inference", "evidence", "engine")


def versions() -> dict[str, str]:
    """Versions of simtrials, Python and the libraries."""
    own = {"simtrials": __version__, "python": platform.python_version(), "streams": str(STREAM_VERSION)}
    return own | {name: version(name) for name in LIBRARIES}


@cache
def fingerprint() -> str:
    """What must agree for two runs to agree to the bit: the code and the versions that compute, and the kind of machine."""
    parts = [f"simtrials {__version__} {_own_sources()}", f"streams {STREAM_VERSION}", *(f"{name} {version(name)}" for name in COMPUTING)]
    return "; ".join([*parts, platform.machine(), sys.byteorder])


def _own_sources() -> str:
    """Checksum of the parts of the package that draw and estimate, which may change while the version stands still."""
    package = Path(simtrials.__file__).parent
    checksum = hashlib.sha256()
    for path in sorted(path for part in COMPUTING_PARTS for path in (package / part).rglob("*.py")):
        checksum.update(path.read_bytes())
    return checksum.hexdigest()[:12]


def plugin_sources(declared: Component) -> list[str]:
    """Checksums of the modules outside this package whose kinds a declaration uses, in the order of their names."""
    names = sorted({type(part).__module__ for part in _parts(declared)})
    files = [getattr(sys.modules.get(name), "__file__", None) for name in names if name.partition(".")[0] != "simtrials"]
    return [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files if file]


def _parts(value: Any) -> Iterator[Component]:
    """A declaration and every component in it."""
    if isinstance(value, Component):
        yield value
        for name in type(value).model_fields:
            yield from _parts(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _parts(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _parts(item)
