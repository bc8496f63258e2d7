"""The upper tail of the standard normal inside compiled loops, far out as well."""

import math

from simtrials.core.kernels import kernel

SQRT_HALF, INV_SQRT_2PI, HALF_LOG_2PI = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi), 0.5 * math.log(2 * math.pi)
FAR = 5.0
TERMS = 60  # of the continued fraction: rounding error at 5 and beyond


@kernel
def log_tail_and_hazard(z: float) -> tuple[float, float]:
    """log Q(z) and phi(z) / Q(z) for the upper tail Q: by Laplace's continued fraction beyond 5."""
    if z < FAR:
        tail = 0.5 * math.erfc(z * SQRT_HALF)
        return math.log(tail), INV_SQRT_2PI * math.exp(-0.5 * z * z) / tail
    hazard = z
    for n in range(TERMS, 0, -1):
        hazard = z + n / hazard
    return -0.5 * z * z - HALF_LOG_2PI - math.log(hazard), hazard
