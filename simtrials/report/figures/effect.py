"""The assumed benefit over the biomarker."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simtrials.core.arrays import FloatArray
from simtrials.engine.result import Run
from simtrials.engine.scenario import Scenario
from simtrials.report import look, numbers
from simtrials.report.assumed import benefit_unit, biomarker_of, effects_of, latent_sd, shape_in_words
from simtrials.report.figures.biomarker import merged
from simtrials.report.figures.canvas import Sheet, finished, line_height, log_axis, number_axis, round_steps, sheet, text_width
from simtrials.report.names import spoken, spoken_endpoint

BODY_MM, AXIS_MM, LEFT_MM, RIGHT_MM, RUG_MM, TOP_MM = 56.0, 9.5, 13.0, 15.0, 7.0, 3.0


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
        log_axis(axes, *self.span)
        axes.set_ylim(low, high)
        number_axis(axes.yaxis, round_steps(low, high))
        axes.set_ylabel(f"benefit ({self.unit})")
        self._zero(axes)
        self._curves(page, axes)
        self._second_unit(axes)
        self._rug(page)
        return finished(page)

    @property
    def span(self) -> tuple[float, float]:
        """The biomarker values that are shown: those that patients have."""
        grids = [curve.grid for curve in self.curves]
        return float(min(grid[0] for grid in grids)), float(max(grid[-1] for grid in grids))

    def _how_to_read(self) -> str:
        return (
            f"Line: benefit of a patient at week {numbers.plain(self.week)}, above zero where the drug is better than control; "
            f"dashed: mean over the enrolled; {'shaded: harm; ' if self._harms() else ''}below: {self.acts_on} {self.biomarker} of the enrolled."
        )

    def _range(self) -> tuple[float, float]:
        """From a little below zero, or below the largest harm, to above the largest benefit."""
        values = np.concatenate([[0.0], *(curve.benefit for curve in self.curves)])
        span = max(float(values.max() - values.min()), 1e-9)
        return float(values.min()) - 0.12 * span, float(values.max()) + 0.18 * span

    def _zero(self, axes: Axes) -> None:
        axes.axhline(0, color=look.INK, lw=look.AXIS_PT, zorder=1)
        if self._harms():
            axes.axhspan(axes.get_ylim()[0], 0, color=look.BAND, lw=0, zorder=0)

    def _harms(self) -> bool:
        """Whether anybody is harmed."""
        return min(float(curve.benefit.min()) for curve in self.curves) < 0

    def _curves(self, page: Sheet, axes: Axes) -> None:
        """Each curve with its mean; the words of a mean stand above it where the curve leaves room."""
        tall = line_height(look.NOTE_PT) / (BODY_MM - AXIS_MM - RUG_MM - TOP_MM) * float(np.ptp(axes.get_ylim()))
        heights = _separated([curve.mean for curve in self.curves], tall, axes.get_ylim())
        for i, (curve, height) in enumerate(zip(self.curves, heights, strict=True)):
            color = look.ARM_COLORS[1 + i % 3]
            axes.plot(curve.grid, curve.benefit, color=color, lw=look.DATA_PT, zorder=3)
            axes.axhline(curve.mean, color=color, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=2)
            share = (text_width(curve.words, look.NOTE_PT) + 3) / (page.width - LEFT_MM - RIGHT_MM)
            side = "left" if self._room(share, height, tall, 0.0) >= self._room(share, height, tall, 1.0 - share) else "right"
            x = 0.008 if side == "left" else 0.992
            axes.text(x, height + 0.1 * tall, curve.words, transform=axes.get_yaxis_transform(), size=look.NOTE_PT, va="bottom", ha=side, zorder=5)

    def _room(self, share: float, height: float, tall: float, start: float) -> float:
        """How far the curves stay away from a line of words at this height, over a share of the axis."""
        low, high = (float(value) for value in np.log(self.span))
        room = np.inf
        for curve in self.curves:
            place = (np.log(curve.grid) - low) / (high - low)
            under = curve.benefit[(place >= start) & (place <= start + share)]
            gaps = np.maximum(height - under, under - (height + tall))
            room = min(room, float(gaps.min())) if under.size else room
        return room

    def _second_unit(self, axes: Axes) -> None:
        """The same benefit as an SMD, on the right."""
        if self.sd is None:
            return
        sd, (low, high) = self.sd, axes.get_ylim()
        second = axes.secondary_yaxis("right", functions=(lambda y: np.asarray(y) / sd, lambda y: np.asarray(y) * sd))
        number_axis(second.yaxis, round_steps(low / sd, high / sd))
        second.set_ylabel("SMD (SD of change)")
        second.tick_params(labelsize=look.TICK_PT, width=look.AXIS_PT)

    def _rug(self, page: Sheet) -> None:
        axes = page.axes(LEFT_MM, AXIS_MM, page.width - LEFT_MM - RIGHT_MM, RUG_MM - 1.0)
        coarse = merged(self.edges, ())
        coarse = coarse[(coarse >= self.span[0]) & (coarse <= self.span[1])]
        total = np.concatenate([[0.0], np.cumsum(self.enrolled)])
        density = np.diff(total[np.searchsorted(self.edges, coarse)]) / np.diff(np.log(coarse))
        axes.stairs(density, coarse, fill=True, color=look.PALE_ACCENT, lw=0)
        axes.set_ylim(0, 1.05 * float(density.max()))
        log_axis(axes, *self.span)
        axes.set_xlabel(f"{self.acts_on} {self.biomarker} ({self.biomarker_unit}, logarithmic)")


def _separated(values: list[float], least: float, limits: tuple[float, float]) -> list[float]:
    """Heights at least `least` apart, near the values."""
    order = np.argsort(values)
    heights = np.array(values, dtype=np.float64)
    for i, j in pairwise(order):
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
        unit=benefit_unit(endpoint)[0],
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
    smd = f" (SMD {numbers.fixed(mean / sd, 2)}, SD of the change)" if sd else ""
    unit, digits = benefit_unit(endpoint)
    unit = "points" if endpoint.symptom_scale else unit
    who = f"{spoken(arm)}: " if len(scenario.design.arms) > 2 else ""
    words = f"{who}mean over the enrolled {numbers.fixed(mean, digits)} {unit}{smd}"
    return Curve(arm, np.asarray(about["grid"]), np.asarray(about["curve"]), mean, words)


def _sentence(scenario: Scenario, name: str, curves: tuple[Curve, ...], marker: str, unit: str) -> str:
    parts = []
    for curve in curves:
        shape = shape_in_words(scenario.endpoints[name].effects[curve.arm], marker, unit)
        parts.append(
            f"Assumed benefit of {spoken(curve.arm)} in {spoken_endpoint(scenario, name)}: {shape}; {curve.words.partition(': ')[2] or curve.words}."
        )
    return " ".join(parts)
