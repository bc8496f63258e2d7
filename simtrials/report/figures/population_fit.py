"""Quantiles of measured CRP in the data against those of the fitted population, and of a log-normal."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.engine.population_fit import PopulationFit
from simtrials.report import look
from simtrials.report.numbers import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE_MM, MM_PER_INCH = 110.0, 25.4
MOST_POINTS = 200
TICKS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
STYLE: dict[str, Any] = {
    "font.family": look.FONT,
    "font.size": look.TEXT_PT,
    "axes.linewidth": look.AXIS_PT,
    "axes.edgecolor": look.INK,
    "axes.labelcolor": look.INK,
    "xtick.labelsize": look.TICK_PT,
    "ytick.labelsize": look.TICK_PT,
    "svg.fonttype": "path",
    "svg.hashsalt": look.SVG_SALT,
}
KINDS = {"gaussian_copula": "copula", "crp_regression": "regression on BMI, age and sex", "resampled": "resampled rows"}


def draw(fit: PopulationFit, ax: "Axes | None" = None) -> "Figure":
    """The figure; with `ax` only the panel is drawn, into the figure it belongs to."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        if ax is not None:
            _panel(fit, ax)
            figure = ax.get_figure(root=True)
            assert figure is not None
            return figure
        figure = Figure(figsize=(SIDE_MM / MM_PER_INCH, (SIDE_MM + 16) / MM_PER_INCH))
        axes = figure.add_axes((0.13, 0.10, 0.83, 0.74))
        _panel(fit, axes)
        figure.text(0.02, 0.975, "Measured CRP: the data against the fitted population", size=look.TITLE_PT, weight="bold", color=look.INK, va="top")
        note = "Filled: quantiles of the fitted population; hollow: of a log-normal with the data's mean and SD of ln CRP.\n"
        note += f"On the line both agree. Band: 95% of samples worth {whole(fit.effective_size)} people"
        note += f"; {whole(fit.n_below)} below the limit of detection not drawn." if fit.n_below else "."
        figure.text(0.02, 0.935, note, size=look.SMALLEST_PT, color=look.SECONDARY, va="top", linespacing=look.LINE_SPACING)
        return figure


def image(fit: PopulationFit, form: str) -> bytes:
    """The figure as the bytes of an SVG or PNG file, the same each time."""
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        draw(fit).savefig(stream, format=form, dpi=look.PNG_DPI, metadata=metadata)
    return stream.getvalue()


def _panel(fit: PopulationFit, ax: "Axes") -> None:
    qq, some = fit.qq, _thinned(fit.qq.share)
    shown = np.concatenate([qq.data, qq.fitted, qq.log_normal, [] if fit.limit is None else [fit.limit]])
    low, high = float(shown.min()) / 1.25, float(shown.max()) * 1.25
    for set_scale, set_limits in ((ax.set_xscale, ax.set_xlim), (ax.set_yscale, ax.set_ylim)):
        set_scale("log")
        set_limits(low, high)
    ax.fill_between(qq.fitted, np.clip(qq.lower, low, high), np.clip(qq.upper, low, high), color=look.ZONE, linewidth=0)
    ax.plot([low, high], [low, high], color=look.SECONDARY, linewidth=look.AXIS_PT)
    hollow = {"markerfacecolor": "none", "markeredgecolor": look.CONTROL, "markeredgewidth": 0.8}
    ax.plot(qq.log_normal[some], qq.data[some], "o", markersize=look.MARKER_PT - 1, **hollow)
    ax.plot(qq.fitted[some], qq.data[some], "s", markersize=look.MARKER_PT - 1.5, color=look.ACCENT, markeredgewidth=0)
    if fit.limit is not None:
        ax.axhline(fit.limit, color=look.SECONDARY, linewidth=look.AXIS_PT, linestyle=(0, (2, 2)))
        ax.text(high / 1.08, fit.limit / 1.03, "limit of detection", size=look.NOTE_PT, color=look.SECONDARY, ha="right", va="top")
    _key(ax, KINDS[fit.kind])
    _ticks(ax, low, high)
    ax.set_xlabel("quantile of the population (CRP, mg/L)")
    ax.set_ylabel("measured in the data (CRP, mg/L)")


def _thinned(share: FloatArray) -> AnyArray:
    """Points evenly spread over the normal scale, the extremes among them."""
    if share.size <= MOST_POINTS:
        return np.arange(share.size)
    z = ndtri(share)
    return np.unique(np.searchsorted(z, np.linspace(z[0], z[-1], MOST_POINTS)))


def _key(ax: "Axes", population: str) -> None:
    """Which marks are which, at the empty upper left."""
    for height, marker, text in ((0.95, "s", population), (0.905, "o", "log-normal")):
        face, edge = (look.ACCENT, look.ACCENT) if marker == "s" else ("none", look.CONTROL)
        ax.plot([0.035], [height], marker, transform=ax.transAxes, markersize=look.MARKER_PT, markerfacecolor=face, markeredgecolor=edge)
        ax.text(0.06, height, text, transform=ax.transAxes, size=look.TEXT_PT, color=look.INK, va="center")


def _ticks(ax: "Axes", low: float, high: float) -> None:
    """Round numbers of mg/L on both axes."""
    from matplotlib.ticker import FixedLocator, NullLocator

    ticks = [tick for tick in TICKS if low <= tick <= high]
    ticks = ticks if len(ticks) >= 2 else [float(f"{value:.2g}") for value in (low * 1.25, high / 1.25)]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
