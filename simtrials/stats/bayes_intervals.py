"""Equal-tailed credible intervals of the difference of two arms, active minus control, from the posteriors of `bayes`."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from simtrials.core.arrays import FloatArray
from simtrials.stats.bayes import BetaMixture, NormalMixture, PosteriorEffect, beta_difference_exceeds

MOST_STEPS = 60
CLOSE = 1e-9
"""A limit is found when its probability is off by this share of a standard normal deviate."""
SMALLEST = 1e-300


class CredibleInterval(NamedTuple):
    """Each (replicate,), NaN where there is no posterior."""

    lower: FloatArray
    upper: FloatArray


def student_interval(effect: PosteriorEffect, df: FloatArray, level: float) -> CredibleInterval:
    """Of Student's t with `df` (replicate,) degrees of freedom, more than two, which has the mean and the standard deviation of `effect`."""
    scale = effect.sd * np.sqrt(np.where(df > 2, (df - 2) / np.where(df > 2, df, np.nan), np.nan))
    margin = -stdtrit(df, (1 - level) / 2) * scale
    return CredibleInterval(effect.mean - margin, effect.mean + margin)


def normal_interval(effect: PosteriorEffect, active: NormalMixture, control: NormalMixture, level: float) -> CredibleInterval:
    """Of the difference of two means whose posteriors are mixtures of normal distributions."""
    apart = active.mean[:, :, np.newaxis] - control.mean[:, np.newaxis]
    spread = np.hypot(active.sd[:, :, np.newaxis], control.sd[:, np.newaxis])
    weight = active.weight[:, :, np.newaxis] * control.weight[:, np.newaxis]

    def exceeds(place: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            parts = weight * ndtr((apart - place[:, np.newaxis, np.newaxis]) / spread)
        return np.asarray(np.add.accumulate(parts.reshape(len(place), -1), axis=1)[:, -1])  # a replicate does not depend on its neighbours

    return _limits(exceeds, effect, -np.inf, np.inf, level)


def beta_interval(effect: PosteriorEffect, active: BetaMixture, control: BetaMixture, level: float) -> CredibleInterval:
    """Of the difference of two risks whose posteriors are mixtures of beta distributions."""
    return _limits(lambda place: beta_difference_exceeds(active, control, place), effect, np.nextafter(-1.0, 0.0), np.nextafter(1.0, 0.0), level)


def _limits(exceeds: Callable[[FloatArray], FloatArray], effect: PosteriorEffect, least: float, most: float, level: float) -> CredibleInterval:
    tail = (1 - level) / 2
    return CredibleInterval(*(_place(exceeds, effect, least, most, tail_above) for tail_above in (1 - tail, tail)))


def _place(exceeds: Callable[[FloatArray], FloatArray], effect: PosteriorEffect, least: float, most: float, tail: float) -> FloatArray:
    """Where the probability above is `tail`: regula falsi on normal deviates, in which a posterior is nearly a straight line.

    Source: Dowell and Jarratt (1971), BIT 11, 168-174 (the Illinois rule).
    """
    wanted = -float(ndtri(tail))

    def gap(place: FloatArray) -> FloatArray:
        return np.asarray(-ndtri(np.clip(exceeds(place), SMALLEST, 1 - 1e-16)) - wanted)

    low, high = (np.clip(effect.mean + (wanted + side) * effect.sd, least, most) for side in (-1.0, 1.0))
    at_low, at_high = gap(low), gap(high)
    for _ in range(MOST_STEPS):  # until the limit lies between
        outside = (at_low > 0) & (low > least)
        if not outside.any():
            break
        low = np.where(outside, np.maximum(low - 2 * effect.sd, least), low)
        at_low = np.where(outside, gap(low), at_low)
    for _ in range(MOST_STEPS):
        outside = (at_high < 0) & (high < most)
        if not outside.any():
            break
        high = np.where(outside, np.minimum(high + 2 * effect.sd, most), high)
        at_high = np.where(outside, gap(high), at_high)
    place, found = low, np.isnan(effect.mean)
    for _ in range(MOST_STEPS):
        with np.errstate(divide="ignore", invalid="ignore"):
            nearer = np.where(at_high == at_low, low, (low * at_high - high * at_low) / (at_high - at_low))
        place = np.where(found, place, nearer)
        at_place = gap(place)
        found |= ~(np.abs(at_place) > CLOSE)
        if found.all():
            break
        below = at_place < 0
        at_low, at_high = np.where(below, at_place, at_low / 2), np.where(below, at_high / 2, at_place)
        low, high = np.where(below, place, low), np.where(below, high, place)
    return place
