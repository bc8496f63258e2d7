"""How well a population fits: quantiles of measured CRP, and shares above the cut-offs, in the data and in the population."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit, ndtri

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.engine.population_fit import PopulationFit
from simtrials.report import look
from simtrials.report.figures import canvas
from simtrials.report.numbers import Z95, plain, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT_MM = 86.0
MOST_POINTS = 200
FITTED: dict[str, Any] = {"marker": "s", "color": look.ACCENT, "markeredgewidth": 0, "linestyle": "none"}
LOG_NORMAL: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "markeredgecolor": look.CONTROL, "markeredgewidth": 0.9, "linestyle": "none"}
KINDS = {"gaussian_copula": "copula", "crp_regression": "regression", "resampled": "resampled rows"}


def draw(fit: PopulationFit, ax: "Axes | None" = None) -> "Figure":
    """The figure; with `ax` only the quantiles are drawn, into the figure that it belongs to."""
    if ax is not None:
        _quantiles(fit, ax)
        owner = ax.get_figure(root=True)
        assert owner is not None
        return owner
    with canvas.styled():
        page = canvas.sheet(HEIGHT_MM, f"Measured CRP in the data and in the fitted population, {fit.name}", _how_to_read(fit))
        _quantiles(fit, page.axes(13.0, 10.0, 78.0, HEIGHT_MM - 12.0, sides="left bottom"))
        _shares(fit, page.axes(116.0, 10.0, 55.0, HEIGHT_MM - 12.0, sides="left bottom"))
        return canvas.finished(page)


def image(fit: PopulationFit, form: str) -> bytes:
    """The figure as the bytes of an SVG or PNG file, the same each time."""
    return canvas.image(draw(fit), form)


def _how_to_read(fit: PopulationFit) -> str:
    """The gray line below the title."""
    people = (
        "each mark is a person" if fit.qq.data.size <= MOST_POINTS else f"the marks are people, at most {MOST_POINTS} from the lowest to the highest"
    )
    told = f"Left: {people}; on the line data and population agree; band: 95% of samples worth {whole(fit.effective_size)} people."
    told += " Right: line and pale bar are the data with their 95% sampling interval."
    if fit.n_below:
        told += f" {whole(fit.n_below)} people below the limit of detection are counted, not drawn; a share that hangs on them has no bar."
    return told


def _quantiles(fit: PopulationFit, ax: "Axes") -> None:
    qq, some = fit.qq, _thinned(fit.qq.share)
    shown = np.concatenate([qq.data, qq.fitted, qq.log_normal, [] if fit.limit is None else [fit.limit]])
    low, high = float(shown.min()) / 1.25, float(shown.max()) * 1.25
    _axes(ax, low, high)
    ax.fill_between(qq.fitted, np.clip(qq.lower, low, high), np.clip(qq.upper, low, high), color=look.ZONE, linewidth=0)
    ax.plot([low, high], [low, high], color=look.SECONDARY, linewidth=look.AXIS_PT)
    ax.plot(qq.log_normal[some], qq.data[some], markersize=look.MARKER_PT - 1, **LOG_NORMAL)
    ax.plot(qq.fitted[some], qq.data[some], markersize=look.MARKER_PT - 1.5, **FITTED)
    if fit.limit is not None:
        ax.axhline(fit.limit, color=look.SECONDARY, linewidth=look.AXIS_PT, linestyle=(0, (2, 2)))
        ax.text(high / 1.08, fit.limit * 1.03, "limit of detection", size=look.NOTE_PT, color=look.SECONDARY, ha="right", va="bottom")
    for height, marks, name in ((0.95, FITTED, KINDS[fit.kind]), (0.895, LOG_NORMAL, "log-normal")):
        ax.plot([0.035], [height], transform=ax.transAxes, markersize=look.MARKER_PT, **marks)
        ax.text(0.065, height, name, transform=ax.transAxes, color=look.INK, va="center")
    ax.set_xlabel("quantile of the population (CRP, mg/L)")
    ax.set_ylabel("measured in the data (CRP, mg/L)")


def _thinned(share: FloatArray) -> AnyArray:
    """Points evenly spread over the normal scale, the extremes among them."""
    if share.size <= MOST_POINTS:
        return np.arange(share.size)
    z = ndtri(share)
    return np.unique(np.searchsorted(z, np.linspace(z[0], z[-1], MOST_POINTS)))


def _axes(ax: "Axes", low: float, high: float) -> None:
    """The same round numbers of mg/L on both axes."""
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    canvas.log_axis(ax, low, high)
    canvas.number_axis(ax.yaxis, list(ax.get_xticks()))


def _shares(fit: PopulationFit, ax: "Axes") -> None:
    """One row for each cut-off: the share of people at or above it."""
    for row, prevalence in enumerate(fit.prevalences):
        found = prevalence.share
        if found.data is not None and found.std_error is not None:
            low, high = _interval(found.data, found.std_error)
            ax.barh(row, 100 * (high - low), left=100 * low, height=0.5, color=look.ZONE, linewidth=0)
            ax.plot([100 * found.data] * 2, [row - 0.25, row + 0.25], color=look.INK, linewidth=look.DATA_PT, solid_capstyle="butt")
        ax.plot([100 * prevalence.log_normal], [row], markersize=look.MARKER_PT, **LOG_NORMAL)
        ax.plot([100 * found.fitted], [row], markersize=look.MARKER_PT - 0.5, **FITTED)
    ax.set_ylim(len(fit.prevalences) - 0.4, -0.6)
    ax.set_xlim(0, 100)
    ax.set_yticks(range(len(fit.prevalences)), [f"{plain(prevalence.cut)} or more" for prevalence in fit.prevalences])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("people (%)")
    ax.set_ylabel("measured CRP (mg/L)")


def _interval(share: float, error: float) -> tuple[float, float]:
    """95% interval of a share, on the logit scale so that it stays within 0 and 1."""
    if not 0 < share < 1:
        return share, share
    half = Z95 * error / (share * (1 - share))
    return float(expit(logit(share) - half)), float(expit(logit(share) + half))
