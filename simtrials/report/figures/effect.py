"""The assumed benefit over the biomarker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simtrials.core.arrays import FloatArray
from simtrials.engine.result import Run
from simtrials.engine.scenario import Scenario
from simtrials.report import look, numbers
from simtrials.report.assumed import biomarker_of, effects_of, latent_sd, shape_in_words
from simtrials.report.figures.biomarker import merged
from simtrials.report.figures.canvas import Sheet, finished, line_height, log_axis, number_axis, round_steps, sheet, text_width
from simtrials.report.names import digits_of, spoken, spoken_endpoint

BODY_MM, AXIS_MM, LEFT_MM, RIGHT_MM, RUG_MM, TOP_MM = 58.0, 9.5, 13.0, 15.0, 7.0, 3.0


@dataclass(frozen=True, slots=True)
class Curve:
    """The benefit of one arm over the biomarker, and its mean over the enrolled."""

    arm: str
    grid: FloatArray
    benefit: FloatArray
    mean: float
    words: str


@dataclass(frozen=True, slots=True)
class EffectByBiomarker:
    """The curves of one endpoint, and who is enrolled."""

    endpoint: str
    unit: str
    digits: int
    sd: float | None
    biomarker: str
    biomarker_unit: str
    acts_on: str
    week: float
    curves: tuple[Curve, ...]
    edges: FloatArray
    enrolled: FloatArray
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """The curves, point by point."""
        rows = [(curve.arm, f"{x:.6g}", f"{y:.6g}") for curve in self.curves for x, y in zip(curve.grid, curve.benefit, strict=True)]
        return [("arm", f"{self.biomarker}_{self.biomarker_unit}", "benefit"), *rows]

    def draw(self) -> Figure:
        """Curves with zero line, means over the enrolled and a rug of the enrolled."""
        page = sheet(BODY_MM, f"{self.endpoint}: assumed benefit by {self.acts_on} {self.biomarker}", self._how_to_read())
        axes = page.axes(LEFT_MM, AXIS_MM + RUG_MM, page.width - LEFT_MM - RIGHT_MM, BODY_MM - AXIS_MM - RUG_MM - TOP_MM, sides="left")
        low, high = self._range()
        log_axis(axes, float(self.edges[0]), float(self.edges[-1]))
        axes.set_ylim(low, high)
        number_axis(axes.yaxis, round_steps(low, high))
        axes.set_ylabel(f"benefit ({self.unit})")
        self._zero(axes)
        self._curves(page, axes)
        self._second_unit(axes)
        self._rug(page)
        return finished(page)

    def _how_to_read(self) -> str:
        return (
            f"Line: benefit of a patient at week {numbers.plain(self.week)}; dashed: mean over the enrolled; green strip below: "
            f"{self.acts_on} {self.biomarker} of the enrolled. Above zero the drug is better than control."
        )

    def _range(self) -> tuple[float, float]:
        """From a little below zero, or below the largest harm, to above the largest benefit."""
        values = np.concatenate([[0.0], *(curve.benefit for curve in self.curves)])
        span = max(float(values.max() - values.min()), 1e-9)
        return float(values.min()) - 0.12 * span, float(values.max()) + 0.18 * span

    def _zero(self, axes: Axes) -> None:
        axes.axhline(0, color=look.INK, lw=look.AXIS_PT, zorder=1)
        low = axes.get_ylim()[0]
        if min(float(curve.benefit.min()) for curve in self.curves) < 0:
            axes.axhspan(low, 0, color=look.BAND, lw=0, zorder=0)
            axes.annotate("harm", (1, 0), (-3, -3), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", va="top", size=look.NOTE_PT)

    def _curves(self, page: Sheet, axes: Axes) -> None:
        """Each curve with its mean; the words of a mean stand at the left, moved apart where means are close."""
        lift = line_height(look.NOTE_PT) / (BODY_MM - AXIS_MM - RUG_MM - TOP_MM) * np.ptp(axes.get_ylim())
        heights = _separated([curve.mean for curve in self.curves], float(lift), axes.get_ylim())
        for i, (curve, height) in enumerate(zip(self.curves, heights, strict=True)):
            color = look.ARM_COLORS[1 + i % 3]
            axes.plot(curve.grid, curve.benefit, color=color, lw=look.DATA_PT, zorder=3)
            axes.axhline(curve.mean, color=color, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=2)
            x = axes.transAxes.inverted().transform(axes.transData.transform((self._clear_of(curve), 0)))[0]
            axes.text(max(float(x), 0.01), height, curve.words, transform=axes.get_yaxis_transform(), size=look.NOTE_PT, va="bottom", zorder=5)

    def _clear_of(self, curve: Curve) -> float:
        """Where on the axis the words of the mean can stand without the curve running through them."""
        return float(self.edges[0])

    def _second_unit(self, axes: Axes) -> None:
        """The same benefit as an SMD, on the right."""
        if self.sd is None:
            return
        sd = self.sd
        second = axes.secondary_yaxis("right", functions=(lambda y: y / sd, lambda y: y * sd))
        number_axis(second.yaxis, round_steps(*(y / sd for y in axes.get_ylim())))
        second.set_ylabel("benefit (SMD, SD of the change)")
        second.tick_params(labelsize=look.TICK_PT, width=look.AXIS_PT)

    def _rug(self, page: Sheet) -> None:
        axes = page.axes(LEFT_MM, AXIS_MM, page.width - LEFT_MM - RIGHT_MM, RUG_MM - 1.0)
        coarse = merged(self.edges, ())
        total = np.concatenate([[0.0], np.cumsum(self.enrolled)])
        density = np.diff(total[np.searchsorted(self.edges, coarse)]) / np.diff(np.log(coarse))
        axes.stairs(density, coarse, fill=True, color=look.PALE_ACCENT, lw=0)
        axes.set_ylim(0, 1.05 * float(density.max()))
        log_axis(axes, float(self.edges[0]), float(self.edges[-1]))
        axes.set_xlabel(f"{self.acts_on} {self.biomarker} ({self.biomarker_unit}, logarithmic)")


def _separated(values: list[float], least: float, limits: tuple[float, float]) -> list[float]:
    """Heights at least `least` apart, near the values."""
    order = np.argsort(values)
    heights = np.array(values, dtype=np.float64)
    for i, j in zip(order[:-1], order[1:], strict=True):
        heights[j] = max(heights[j], heights[i] + least)
    return [float(min(height, limits[1] - least)) for height in heights]


def gather(run: Run) -> Mapping[str, EffectByBiomarker]:
    """One for each endpoint with an effect that depends on a biomarker."""
    names = dict.fromkeys(endpoint for endpoint, _, effect in effects_of(run.scenario) if effect.needs_biomarker)
    return {name: _seen(run, name) for name in names}


def _seen(run: Run, name: str) -> EffectByBiomarker:
    scenario, found = run.scenario, run.portrait["endpoints"][name]["effects"]
    curves = tuple(_curve(scenario, name, arm, about) for arm, about in found.items() if "curve" in about)
    first = next(about for about in found.values() if "curve" in about)
    assay = run.portrait["assays"][first["biomarker"]]
    effect = next(effect for endpoint, _, effect in effects_of(scenario) if endpoint == name and effect.needs_biomarker)
    marker, unit = biomarker_of(scenario, effect)
    endpoint = scenario.endpoints[name]
    key = "usual_enrolled" if first["acts_on"] == "usual" else "enrolled"
    return EffectByBiomarker(
        endpoint=spoken_endpoint(scenario, name),
        unit=endpoint.unit if endpoint.unit != "probability" else "log odds ratio",
        digits=digits_of(endpoint),
        sd=latent_sd(endpoint, "change") if endpoint.has_baseline else None,
        biomarker=marker,
        biomarker_unit=unit,
        acts_on=first["acts_on"],
        week=first["week"],
        curves=curves,
        edges=np.asarray(assay["edges"], dtype=np.float64),
        enrolled=np.asarray(assay[key], dtype=np.float64),
        sentence=_sentence(scenario, name, curves, marker, unit),
    )


def _curve(scenario: Scenario, name: str, arm: str, about: Mapping[str, Any]) -> Curve:
    endpoint, mean = scenario.endpoints[name], about["mean_enrolled"]
    sd = latent_sd(endpoint, "change") if endpoint.has_baseline else None
    smd = f" (SMD {numbers.fixed(mean / sd, 2)})" if sd else ""
    who = f"{spoken(arm)}: " if len(scenario.design.arms) > 2 else ""
    words = f"{who}mean over the enrolled {numbers.fixed(mean, digits_of(endpoint))} points{smd}"
    return Curve(arm, np.asarray(about["grid"]), np.asarray(about["curve"]), mean, words)


def _sentence(scenario: Scenario, name: str, curves: tuple[Curve, ...], marker: str, unit: str) -> str:
    parts = []
    for curve in curves:
        shape = shape_in_words(scenario.endpoints[name].effects[curve.arm], marker, unit)
        parts.append(f"Assumed benefit of {spoken(curve.arm)} in {spoken_endpoint(scenario, name)}: {shape}; {curve.words.partition(': ')[2] or curve.words}.")
    return " ".join(parts)


__all__ = ["EffectByBiomarker", "gather", "text_width"]
