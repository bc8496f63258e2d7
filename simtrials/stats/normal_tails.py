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


@kernel
def tail_ratio(far: float, near: float, gap: float) -> float:
    """Q(far) / Q(near), where far - near = `gap` >= 0 is given apart, since far out nothing would be left of it."""
    log_far, hazard_far = log_tail_and_hazard(far)
    log_near, hazard_near = log_tail_and_hazard(near)
    if near < FAR:
        return math.exp(log_far - log_near)
    return math.exp(-0.5 * gap * (far + near)) * hazard_near / hazard_far
