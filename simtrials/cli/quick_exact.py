"""The exact power and size of two proportions, as ``simtrials quick proportions`` asks for them."""

import math

from simtrials.cli.quick_answers import Answer, Question, of_arms
from simtrials.core.errors import SimtrialsError, did_you_mean

TESTS = ("pooled", "unpooled", "fisher")
MOST_PER_ARM = 5000
"""Larger tables take minutes and gigabytes."""


def exact_proportions(asked: Question, p_active: float, p_control: float, test: str) -> Answer:
    from simtrials.stats.closed_form import exact_proportions_sample_size

    if test not in TESTS:
        raise SimtrialsError(f"--test: no exact power of {test!r}{did_you_mean(test, TESTS)}")
    if asked.n is not None:
        active, control = asked.arms("patients")
        return of_arms(asked, active, control, _power(asked, active, control, p_active, p_control, test))
    if asked.ratio != 1:
        raise SimtrialsError("--ratio: exact sizes are those of equal arms; leave --ratio out, or give --n for the power of other arms")
    size = exact_proportions_sample_size(p_active, p_control, power=asked.power, test=test, **asked.level)  # type: ignore[arg-type]
    each = int(size.n_per_arm)
    return of_arms(asked, each, each, float(size.power)).adding("from there on the power stays above the target, whatever the number")


def _power(asked: Question, n_active: int, n_control: int, p_active: float, p_control: float, test: str) -> float:
    from simtrials.stats import closed_form

    if max(n_active, n_control) > MOST_PER_ARM:
        raise SimtrialsError(f"--n: exact power is enumerated up to {MOST_PER_ARM:,} patients per arm; the normal approximation is good for more")
    if test == "fisher":
        alpha = asked.alpha
        rejected = closed_form.fisher_rejection(n_active, n_control, alpha=alpha, tails=asked.level["tails"], one_sided=asked.one_sided)
    else:
        z_test = closed_form.pooled_z_rejection if test == "pooled" else closed_form.unpooled_z_rejection
        rejected = z_test(n_active, n_control, **asked.level)
    power = float(closed_form.enumerated_power(rejected, p_active, p_control))
    return power if math.isfinite(power) else 0.0
