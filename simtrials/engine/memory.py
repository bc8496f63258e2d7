"""Freed memory is kept for the next block instead of being handed back to the system.

A block fills some megabytes and frees them again. By default the C library returns them to the system, and the next block pays for every page
anew: on a virtual machine that took more than half of the time of a whole simulation.
"""

import ctypes
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of two settings of `mallopt`, see malloc.h."""
KEPT = 256 * 1024 * 1024
"""Bytes of freed memory that are kept; peaks do not grow by it."""
MAPPED_ABOVE = 32 * 1024 * 1024
"""Single arrays above this size, the largest that can be set, are still returned at once."""


@cache
def keep_freed_memory() -> bool:
    """Ask for it, once per process; whether the C library knows how (glibc does; elsewhere nothing changes)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(TRIM_THRESHOLD, KEPT) and mallopt(MMAP_THRESHOLD, MAPPED_ABOVE))
