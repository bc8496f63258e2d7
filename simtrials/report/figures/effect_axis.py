"""The axis of effects that forest and funnel plots share: logarithmic for ratios, with round numbers and no effect among them."""

import math

from matplotlib.axes import Axes

from simtrials.report import look
from simtrials.report.effects import Effect
from simtrials.report.figures.canvas import Sheet, log_axis, number_axis, round_steps, text_width

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


def place_of_null(axes: Axes, effect: Effect) -> float:
    """Where no effect lies on the axis, as a share of its width."""
    left, right = axes.get_xlim()
    return math.log(effect.null / left) / math.log(right / left) if effect.ratio else (effect.null - left) / (right - left)


def directions(page: Sheet, null: float, y: float, effect: Effect) -> None:
    """What the two sides of no effect mean, in words beside `null`, moved as little as keeps them on the page."""
    words = (f"← {effect.left}", f"{effect.right} →")
    left, right = (text_width(part, look.NOTE_PT) for part in words)
    end = page.width - 0.5
    first = max(0.5, null - 1.5 - left)
    second = max(null + 1.5, first + left + 3.0)
    if second + right > end:
        second = end - right
        first = min(first, second - 3.0 - left)
    for x, part in zip((first, second), words, strict=True):
        page.text(x, y, part, look.NOTE_PT, color=look.SECONDARY)
