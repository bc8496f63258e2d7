"""Compiled loops: one decorator, so that every kernel is cached, releases the GIL and divides as NumPy does."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` with numba: cached on disk, without the GIL, division by zero gives inf or NaN."""
    return cast(F, numba.njit(function, cache=True, nogil=True, error_model="numpy"))
