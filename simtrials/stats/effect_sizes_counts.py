"""Effect sizes from two-by-two tables, with rules for zero cells. The table of measures is in `effect_sizes`."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import did_you_mean
from simtrials.stats.tetrachoric import tetrachoric

CountMeasure = Literal["RR", "OR", "RD", "AS", "PETO", "PHI", "YUQ", "YUY", "RTET", "PBIT", "OR2DN", "OR2DL"]
To = Literal["only0", "all", "if0all", "none", "treatment_arm"]
RULES: tuple[To, ...] = ("only0", "all", "if0all", "none", "treatment_arm")

NORMAL_LATENT = 1.65
"""Log odds ratio over SMD for a normal latent outcome, as rounded by Cox and Snell (1989)."""


class Tables(NamedTuple):
    """Cells of two-by-two tables, (..., study) each; letters as in metafor."""

    a: FloatArray
    """active with the event"""
    b: FloatArray
    """active without"""
    c: FloatArray
    """control with"""
    d: FloatArray
    """control without"""

    @classmethod
    def checked(cls, events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike) -> "Tables":
        arrays = (np.asarray(counts, dtype=np.float64) for counts in (events_active, n_active, events_control, n_control))
        a, n1, c, n2 = np.broadcast_arrays(*arrays)
        tables = cls(a, n1 - a, c, n2 - c)
        if any((cell < 0).any() for cell in tables):
            raise ValueError("effect sizes: events lie between 0 and the number of patients in the arm")
        return tables

    @property
    def n_active(self) -> FloatArray:
        return self.a + self.b

    @property
    def n_control(self) -> FloatArray:
        return self.c + self.d

    @property
    def n(self) -> FloatArray:
        return self.n_active + self.n_control

    @property
    def has_zero(self) -> BoolArray:
        return np.asarray((self.a == 0) | (self.b == 0) | (self.c == 0) | (self.d == 0))

    def known(self, drop00: bool) -> BoolArray:
        """Both arms have patients and no count is missing, and with `drop00` the event has happened to some and not to all."""
        known = (self.n_active > 0) & (self.n_control > 0)
        return np.asarray(known & (self.a + self.c > 0) & (self.b + self.d > 0) if drop00 else known)

    def corrected(self, add: float, to: To, drop00: bool = False) -> "Tables":
        """Cells with something added where a rule says so; NaN in all cells of a study that is not known."""
        if to not in RULES:
            raise ValueError(f"effect sizes: no rule for zero cells called {to!r}{did_you_mean(to, RULES)}")
        tables = Tables(*(np.where(self.known(drop00), cell, np.nan) for cell in self))
        zero = tables.has_zero
        if to == "treatment_arm":
            share = np.where(zero, 2 * add / np.where(tables.n > 0, tables.n, np.nan), 0.0)
            active, control = share * tables.n_active, share * tables.n_control
            return Tables(tables.a + active, tables.b + active, tables.c + control, tables.d + control)
        any_zero = np.asarray(zero.any(axis=-1, keepdims=True) if zero.ndim else zero)
        where: dict[str, BoolArray] = {"only0": zero, "all": np.ones_like(zero), "none": np.zeros_like(zero), "if0all": any_zero}
        return Tables(*(cell + np.where(where[to], add, 0.0) for cell in tables))


Effect = tuple[FloatArray, FloatArray]


def _log_risk_ratio(t: Tables) -> Effect:
    return np.log(t.a / t.n_active) - np.log(t.c / t.n_control), 1 / t.a - 1 / t.n_active + 1 / t.c - 1 / t.n_control


def _log_odds_ratio(t: Tables) -> Effect:
    return np.log(t.a / t.b) - np.log(t.c / t.d), 1 / t.a + 1 / t.b + 1 / t.c + 1 / t.d


def _risk_difference(t: Tables) -> Effect:
    active, control = t.a / t.n_active, t.c / t.n_control
    return active - control, active * (1 - active) / t.n_active + control * (1 - control) / t.n_control


def _arcsine_difference(t: Tables) -> Effect:
    difference = np.arcsin(np.sqrt(t.a / t.n_active)) - np.arcsin(np.sqrt(t.c / t.n_control))
    return difference, 1 / (4 * t.n_active) + 1 / (4 * t.n_control)


def _peto(t: Tables) -> Effect:
    events, others = t.a + t.c, t.b + t.d
    variance = events * others * (t.n_active / t.n) * (t.n_control / t.n) / (t.n - 1)
    return (t.a - events * t.n_active / t.n) / variance, 1 / variance


def _phi(t: Tables) -> Effect:
    rows, columns = t.n_active * t.n_control, (t.a + t.c) * (t.b + t.d)
    phi = (t.a * t.d - t.b * t.c) / np.sqrt(rows * columns)
    row_skew, column_skew = (t.n_active - t.n_control) / np.sqrt(rows), (t.a + t.c - t.b - t.d) / np.sqrt(columns)
    linear = 1 - phi**2 + phi * (1 + phi**2 / 2) * row_skew * column_skew
    return phi, (linear - 3 / 4 * phi**2 * (row_skew**2 + column_skew**2)) / t.n


def _yule_q(t: Tables) -> Effect:
    ratio = t.a * t.d / (t.b * t.c)
    q = (ratio - 1) / (ratio + 1)
    return q, (1 - q**2) ** 2 / 4 * _log_odds_ratio(t)[1]


def _yule_y(t: Tables) -> Effect:
    root = np.sqrt(t.a * t.d / (t.b * t.c))
    y = (root - 1) / (root + 1)
    return y, (1 - y**2) ** 2 / 16 * _log_odds_ratio(t)[1]


def _tetrachoric(t: Tables) -> Effect:
    return tetrachoric(t.a, t.b, t.c, t.d)


def _probit_difference(t: Tables) -> Effect:
    active, control = t.a / t.n_active, t.c / t.n_control
    z_active, z_control = ndtri(active), ndtri(control)
    of_active = active * (1 - active) * np.exp(z_active**2) / t.n_active
    of_control = control * (1 - control) * np.exp(z_control**2) / t.n_control
    return z_active - z_control, 2 * np.pi * (of_active + of_control)


def _divided(divisor: float) -> Callable[[Tables], Effect]:
    def effect(t: Tables) -> Effect:
        yi, vi = _log_odds_ratio(t)
        return yi / divisor, vi / divisor**2

    return effect


def _quietly(effect: Callable[[Tables], Effect]) -> Callable[[Tables], Effect]:
    """Divisions by 0 and logarithms of 0 give what the status names."""

    def computed(t: Tables) -> Effect:
        with np.errstate(all="ignore"):
            return effect(t)

    return computed


COUNT_EFFECTS: dict[str, Callable[[Tables], Effect]] = {
    "RR": _quietly(_log_risk_ratio),
    "OR": _quietly(_log_odds_ratio),
    "RD": _quietly(_risk_difference),
    "AS": _quietly(_arcsine_difference),
    "PETO": _quietly(_peto),
    "PHI": _quietly(_phi),
    "YUQ": _quietly(_yule_q),
    "YUY": _quietly(_yule_y),
    "RTET": _quietly(_tetrachoric),
    "PBIT": _quietly(_probit_difference),
    "OR2DN": _quietly(_divided(NORMAL_LATENT)),
    "OR2DL": _quietly(_divided(np.pi / np.sqrt(3))),
}
