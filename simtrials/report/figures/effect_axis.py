"""The axis of effects that forest and funnel plots share: logarithmic for ratios, with round numbers and no effect among them."""

from matplotlib.axes import Axes

from simtrials.core.arrays import FloatArray
from simtrials.report.effects import Effect
from simtrials.report.figures.canvas import log_axis, number_axis, round_steps

FEWEST_TICKS = 3


def set_effect_axis(axes: Axes, low: float, high: float, effect: Effect) -> None:
    """Limits, given on the scale of the analysis, and ticks."""
    left, right = (float(value) for value in effect.shown([low, high]))
    if not effect.ratio:
        axes.set_xlim(left, right)
        number_axis(axes.xaxis, round_steps(left, right))
        return
    log_axis(axes, left, right, (1.0,))
    if len(axes.get_xticks()) < FEWEST_TICKS:
        log_axis(axes, left, right, (1.0, *(step for step in round_steps(left, right) if step > 0)))


def inside(values: FloatArray, low: float, high: float) -> FloatArray:
    """Values cut at the limits of the axis."""
    return values.clip(low, high)
