"""Two proportions: risk difference, log risk ratio and log odds ratio, with their tests and intervals.

Every function takes the tables of the replicates as four arrays of shape (replicate,), or scalars: `events_active, n_active, events_control,
n_control`. Counts start at 0 and events do not exceed n, otherwise ValueError. Contrasts are active minus control and active / control;
ratios, their nulls and their limits are natural logarithms. Results have shape (replicate,). Where an arm is empty or a count is NaN, numbers
are NaN and the status is TOO_FEW_PATIENTS. Fisher's exact test is in `proportions_exact`.

Tables in which nobody or everybody has the event: the risk difference is 0 with a standard error of 0, so its Wald interval has no width,
and a test of no difference is 0 / 0: NaN with NO_VARIATION, no rejection. Newcombe's interval and the score interval of the risk difference
exist and contain 0. The score interval of the log risk ratio is the whole line without events and finite with events only; that of the log
odds ratio is the whole line in both cases, because neither table says anything of it.

Sources: Miettinen and Nurminen (1985), Statistics in Medicine 4:213-226; Newcombe (1998), Statistics in Medicine 17:873-890; Farrington and
Manning (1990), Statistics in Medicine 9:1447-1454; Fagerland, Lydersen and Laake (2017), Statistical Analysis of Contingency Tables, ch. 4.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, ndtr, ndtri

from simtrials.core.arrays import FloatArray
from simtrials.core.status import Status
from simtrials.stats.proportions_exact import StatusArray, Table, per_distinct_table

Contrast = Literal["risk_difference", "log_risk_ratio", "log_odds_ratio"]

LIMIT_TOLERANCE = 1e-12
"""Of a score limit, on the scale of the contrast; rounding in the risks under the null can add as much again."""

LAST_LOG_RATIO = 50.0
"""Score limits of ratios are searched from -50 to 50, where all finite limits of tables with fewer than 1e8 patients lie."""

LAST_FREE_STEP = 30
"""A search takes about ten steps; one that is slow only halves its bracket after this step, so that it ends."""

HALVINGS = 50
"""Enough to bring the widest bracket, -50 to 50, below the tolerance."""

SIDES = np.array([[-1.0], [1.0]])
"""(limit, replicate): the sign of the lower and of the upper limit."""


class Estimate(NamedTuple):
    """An estimated contrast and its standard error, (replicate,) each."""

    estimate: FloatArray
    std_error: FloatArray
    status: StatusArray


class ZTest(NamedTuple):
    """A statistic that is standard normal in large trials when the null holds, (replicate,)."""

    statistic: FloatArray
    status: StatusArray

    @property
    def p_value(self) -> FloatArray:
        """Two-sided, from the normal distribution; NaN where there is no statistic."""
        return np.asarray(2 * ndtr(-np.abs(self.statistic)))


class Interval(NamedTuple):
    """A confidence interval, (replicate,) each limit; on a log scale a limit can be infinite."""

    lower: FloatArray
    upper: FloatArray
    status: StatusArray


def wald_interval(estimated: Estimate, level: float = 0.95) -> Interval:
    """Estimate plus and minus a normal quantile times its standard error: on the log scale Katz's interval (risks) and Woolf's (odds)."""
    margin = ndtri(0.5 + level / 2) * estimated.std_error
    return Interval(estimated.estimate - margin, estimated.estimate + margin, estimated.status)


def risk_difference(events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike) -> Estimate:
    """Risk under active minus risk under control, with the standard error that does not pool the arms.

    Where each arm has no events or only events the standard error is 0; the estimate stands, with status NO_VARIATION.

    Source: Newcombe (1998), method 1.
    """
    table = Table.checked(events_active, n_active, events_control, n_control)
    active, control = table.risks
    std_error = np.sqrt(_binomial_variance(active, table.n_active) + _binomial_variance(control, table.n_control))
    return Estimate(active - control, std_error, table.status((std_error == 0, Status.NO_VARIATION)))


def risk_difference_wald_test(
    events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike, null: float | FloatArray = 0.0
) -> ZTest:
    """Test of a risk difference of `null`, between -1 and 1, with the variance that does not pool the arms.

    Where the standard error is 0 the statistic is infinite, or NaN with NO_VARIATION if the estimate is the null.

    Source: Farrington and Manning (1990), method 1.
    """
    table = Table.checked(events_active, n_active, events_control, n_control)
    estimate, std_error, _ = risk_difference(*table)
    return _z_test(table, estimate - null, std_error)


def risk_difference_pooled_test(events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike) -> ZTest:
    """Test of no risk difference with the variance of the pooled risk; its square is Pearson's chi-squared without continuity correction.

    NaN with NO_VARIATION where nobody or everybody has the event.

    Source: Fagerland, Lydersen and Laake (2017), Pearson's chi-squared test of the 2 x 2 table.
    """
    table = Table.checked(events_active, n_active, events_control, n_control)
    active, control = table.risks
    pooled = table.events / table.n
    return _z_test(table, active - control, np.sqrt(pooled * (1 - pooled) * (1 / table.n_active + 1 / table.n_control)))


def risk_difference_newcombe_interval(
    events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike, level: float = 0.95
) -> Interval:
    """Interval of the risk difference put together from the Wilson score intervals of the two risks; always within -1 and 1.

    Source: Newcombe (1998), method 10.
    """
    table = Table.checked(events_active, n_active, events_control, n_control)
    active, control = table.risks
    active_lower, active_upper = _wilson_limits(active, table.n_active, level)
    control_lower, control_upper = _wilson_limits(control, table.n_control, level)
    below = np.hypot(active - active_lower, control_upper - control)
    above = np.hypot(active_upper - active, control - control_lower)
    return Interval(active - control - below, active - control + above, table.status())


def log_risk_ratio(
    events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike, correction: float = 0.0
) -> Estimate:
    """Logarithm of the ratio of the risks, active to control, with its large-sample standard error.

    `correction`, usually 0.5, is added to all four cells of the tables in which a cell is zero. Without it an arm without events gives NaN
    with EMPTY_CELL, and events only give a standard error of 0 with NO_VARIATION.

    Source: Katz, Baptista, Azen and Pike (1978), Biometrics 34:469-474.
    """
    table = Table.checked(events_active, n_active, events_control, n_control).corrected(correction)
    active, active_without, control, control_without = table.cells
    variance = _ratio(active_without, active * table.n_active) + _ratio(control_without, control * table.n_control)
    return _log_estimate(table, *table.risks, variance)


def log_odds_ratio(
    events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike, correction: float = 0.0
) -> Estimate:
    """Logarithm of the ratio of the odds, active to control, with Woolf's standard error.

    `correction`, usually 0.5, is added to all four cells of the tables in which a cell is zero; without it these are NaN with EMPTY_CELL.

    Source: Woolf (1955), Annals of Human Genetics 19:251-253.
    """
    table = Table.checked(events_active, n_active, events_control, n_control).corrected(correction)
    variance = np.sum([_ratio(1.0, cell) for cell in table.cells], axis=0)
    return _log_estimate(table, *_odds_ratio_terms(table), variance)


def score_test(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    contrast: Contrast,
    null: float | FloatArray = 0.0,
    variance_factor: bool = True,
) -> ZTest:
    """Test that a contrast is `null`, with the variance at the two risks that are most likely if it is.

    The null of the risk difference lies between -1 and 1, the nulls of the ratios are logarithms. With `variance_factor` the variance is
    multiplied by N / (N - 1), as Miettinen and Nurminen do. Without it the statistic is that of Mee and of Farrington and Manning for the
    risk difference (the pooled test at 0), of Koopman for the risk ratio and of Cornfield for the odds ratio.

    NaN with NO_VARIATION where nothing varies and the table agrees with the null: where nobody or everybody has the event, the risk
    difference at 0 and the odds ratio at any null, the risk ratio at any null (nobody) or at 0 (everybody); and the risk difference at 1 or
    -1 where it is estimated so.

    Source: Miettinen and Nurminen (1985); Mee (1984), Biometrics 40:1175-1176; Koopman (1984), Biometrics 40:513-517; Cornfield (1956),
    Proceedings of the Third Berkeley Symposium 4:135-148.
    """
    table = Table.checked(events_active, n_active, events_control, n_control)
    difference, variance = UNDER_NULL[contrast](table, np.asarray(null, dtype=np.float64))
    return _z_test(table, difference, np.sqrt(_factor(table, variance_factor) * variance))


@per_distinct_table
def score_interval(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    contrast: Contrast,
    level: float = 0.95,
    variance_factor: bool = True,
) -> Interval:
    """The values of a contrast that its score test does not reject; empty cells need no correction.

    Miettinen and Nurminen's intervals; without `variance_factor` those of Mee, Koopman and Cornfield (see `score_test`). The lower limit of a
    log ratio is -inf where the ratio is estimated as 0, the upper limit inf where its denominator is 0.

    Source: as `score_test`; Newcombe (1998), methods 5 and 6.
    """
    table = Table.checked(events_active, n_active, events_control, n_control)
    margin = ndtri(0.5 + level / 2) * np.sqrt(_factor(table, variance_factor))

    def acceptance(null: FloatArray) -> FloatArray:
        difference, variance = UNDER_NULL[contrast](table, null)
        return SIDES * difference + margin * np.sqrt(variance)

    if contrast == "risk_difference":
        lower, upper = _end_of_acceptance(acceptance, risk_difference(*table).estimate, 1.0)
        return Interval(lower, upper, table.status())
    above, below = table.risks if contrast == "log_risk_ratio" else _odds_ratio_terms(table)
    lower, upper = _end_of_acceptance(acceptance, _log_ratio(above, below), LAST_LOG_RATIO)
    return Interval(np.where(above == 0, -np.inf, lower), np.where(below == 0, np.inf, upper), table.status())


def _end_of_acceptance(acceptance: Callable[[FloatArray], FloatArray], estimate: FloatArray, last: float) -> FloatArray:
    """Where `acceptance` (limit, replicate) turns negative between the estimate and -last or last; (limit, replicate).

    Inverse quadratic interpolation where it is safe, else halving. Every replicate stops by itself, whatever the others need.

    Source: Chandrupatla (1997), Advances in Engineering Software 28:145-149.
    """
    inner = np.broadcast_to(np.clip(estimate, -last, last), (2, estimate.size))
    outer = np.broadcast_to(SIDES * last, inner.shape)
    a, b = outer, inner  # a: the newest point, b: the other end of the bracket, c: the point given up last
    f_a, f_b = acceptance(a), acceptance(b)
    step_size = np.full(a.shape, 0.5)
    searching = (f_a < 0) & (np.abs(b - a) > LIMIT_TOLERANCE)
    for step in range(LAST_FREE_STEP + HALVINGS):
        if not searching.any():
            break
        new = a + step_size * (b - a)
        f_new = acceptance(new)
        same_side = (f_new < 0) == (f_a < 0)
        c, f_c = np.where(same_side, a, b), np.where(same_side, f_a, f_b)
        b, f_b = np.where(same_side, b, a), np.where(same_side, f_b, f_a)
        a, f_a = np.where(searching, new, a), np.where(searching, f_new, f_a)
        searching &= np.abs(b - a) > LIMIT_TOLERANCE
        step_size = _interpolated_step(a, b, c, f_a, f_b, f_c) if step < LAST_FREE_STEP else np.full(a.shape, 0.5)
    return np.where(np.isnan(inner), np.nan, a)


def _interpolated_step(a: FloatArray, b: FloatArray, c: FloatArray, f_a: FloatArray, f_b: FloatArray, f_c: FloatArray) -> FloatArray:
    """The share of the way from a to b at which the parabola through the three points is 0, or a half where it is not to be trusted."""
    with np.errstate(all="ignore"):
        x, y = (a - b) / (c - b), (f_a - f_b) / (f_c - f_b)
        t = f_a / (f_b - f_a) * f_c / (f_b - f_c) + (c - a) / (b - a) * f_a / (f_c - f_a) * f_b / (f_c - f_b)
        smallest = LIMIT_TOLERANCE / 2 / np.abs(b - a)
        trusted = (y**2 < x) & ((1 - y) ** 2 < 1 - x) & np.isfinite(t)
        return np.where(trusted, np.clip(t, smallest, 1 - smallest), 0.5)


def _risk_difference_under_null(table: Table, null: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Estimate minus null, and its variance at the most likely risks: the control risk is the middle root of a cubic."""
    n, events, control = table.n, table.events, table.events_control
    square = ((n + table.n_control) * null - n - events) / (3 * n)
    linear = ((table.n_control * null - n - 2 * control) * null + events) / (3 * n)
    constant = control * null * (1 - null) / n
    q = square**3 - 3 * linear * square / 2 + constant / 2
    p = np.copysign(np.sqrt(np.maximum(square**2 - linear, 0)), q)
    angle = (np.pi + np.arccos(np.clip(np.where(p == 0, 0, _ratio(q, p**3)), -1, 1))) / 3
    risk = np.clip(2 * p * np.cos(angle) - square, np.maximum(-null, 0), np.minimum(1 - null, 1))
    risk = np.where(null == 0, events / n, risk)  # without the rounding of the cubic
    variance = _binomial_variance(np.clip(risk + null, 0, 1), table.n_active) + _binomial_variance(risk, table.n_control)
    return table.risks[0] - table.risks[1] - null, variance


def _log_risk_ratio_under_null(table: Table, null: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Active risk minus ratio x control risk and its variance, in units in which neither overflows: one + ratio = 1."""
    one, ratio = expit(-null), expit(null)
    active, active_without, control, control_without = table.cells
    a, b = ratio * (table.n_active + control), one * (table.n_control + active)
    unit = 2 * table.events / (a + b + np.sqrt((a - b) ** 2 + 4 * one * ratio * active_without * control_without))
    active_variance = _binomial_variance(np.minimum(ratio * unit, 1), table.n_active)
    control_variance = _binomial_variance(np.minimum(one * unit, 1), table.n_control)
    return one * table.risks[0] - ratio * table.risks[1], one**2 * active_variance + ratio**2 * control_variance


def _log_odds_ratio_under_null(table: Table, null: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Events under active minus those expected with the same total, and their variance: the efficient score and its information.

    Every expected cell is the root of a quadratic, computed by itself because the smallest decides how exact both numbers are. At extreme
    nulls the largest lose digits or become infinite, which changes neither.
    """
    one, ratio = expit(-null), expit(null)
    events, others = table.events, table.n - table.events
    cross = 2 * one * ratio * (table.n_active * table.n_control + events * others)
    root = np.sqrt((one * (table.n_control - events)) ** 2 + (ratio * (table.n_active - events)) ** 2 + cross)

    def expected(total: FloatArray, n: FloatArray, n_other: FloatArray, weight: FloatArray, weight_other: FloatArray) -> FloatArray:
        return _ratio(2 * weight * total * n, root + weight_other * (n_other - total) + weight * (n + total))

    active, control = table.n_active, table.n_control
    cells = np.array(
        [
            expected(events, active, control, ratio, one),
            expected(others, active, control, one, ratio),
            expected(events, control, active, one, ratio),
            expected(others, control, active, ratio, one),
        ]
    )
    excess = np.array([sign * (cell - fitted) for sign, cell, fitted in zip((1, -1, -1, 1), table.cells, cells, strict=True)])
    smallest = np.argmin(cells, axis=0)[np.newaxis]
    return np.take_along_axis(excess, smallest, axis=0)[0], _ratio(1.0, np.sum(_ratio(1.0, cells), axis=0))


UNDER_NULL: dict[Contrast, Callable[[Table, FloatArray], tuple[FloatArray, FloatArray]]] = {
    "risk_difference": _risk_difference_under_null,
    "log_risk_ratio": _log_risk_ratio_under_null,
    "log_odds_ratio": _log_odds_ratio_under_null,
}


def _z_test(table: Table, difference: FloatArray, std_error: FloatArray) -> ZTest:
    return ZTest(_ratio(difference, std_error), table.status(((difference == 0) & (std_error == 0), Status.NO_VARIATION)))


def _log_estimate(table: Table, above: FloatArray, below: FloatArray, variance: FloatArray) -> Estimate:
    empty = (above == 0) | (below == 0)
    status = table.status((empty, Status.EMPTY_CELL), (variance == 0, Status.NO_VARIATION))
    return Estimate(np.where(empty, np.nan, _log_ratio(above, below)), np.where(empty, np.nan, np.sqrt(variance)), status)


def _factor(table: Table, wanted: bool) -> FloatArray:
    return table.n / (table.n - 1) if wanted else np.ones_like(table.n)


def _odds_ratio_terms(table: Table) -> tuple[FloatArray, FloatArray]:
    active, active_without, control, control_without = table.cells
    return active * control_without, active_without * control


def _wilson_limits(risk: FloatArray, n: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    z = ndtri(0.5 + level / 2)
    centre = (risk + z**2 / (2 * n)) / (1 + z**2 / n)
    margin = z * np.sqrt(risk * (1 - risk) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    return np.where(risk == 0, 0, centre - margin), np.where(risk == 1, 1, centre + margin)  # without rounding at the ends


def _binomial_variance(risk: FloatArray, n: FloatArray) -> FloatArray:
    return risk * (1 - risk) / n


def _ratio(above: float | FloatArray, below: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return above / below


def _log_ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(_ratio(above, below))
