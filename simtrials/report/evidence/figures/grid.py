"""Which method to trust? Every synthesis of an outcome in rows, its measures in panels, settings of the sweep as markers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simtrials.core.measures import Measure
from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.report import look, numbers
from simtrials.report.evidence.rows import power_rows, unit_of
from simtrials.report.figures.canvas import Sheet, finished, number_axis, round_steps, sheet, text_width, wrapped
from simtrials.report.rows import PowerRow

ROW_MM, HEAD_MM, BOTTOM_MM, LABEL_MM, GAP_MM = 5.2, 9.0, 9.5, 46.0, 6.0
MARKERS = ("o", "s", "^")
"""Settings are ordered levels: marker and lightness."""
MOST_MARKED = 3


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure: its head, unit, where it should lie, and the range that is acceptable."""

    head: str
    unit: str
    nominal: float | None
    band: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Grid:
    """Values and their Monte Carlo errors by panel, synthesis and setting; NaN where there is none."""

    title: str
    labels: Sequence[str]
    failed: Sequence[str]
    panels: Sequence[Panel]
    settings: Sequence[str]
    value: np.ndarray
    mcse: np.ndarray
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """Every value with its error."""
        rows: list[tuple[str, ...]] = [("synthesis", "measure", "setting", "value", "mcse")]
        for p, i, s in np.argwhere(np.isfinite(self.value)):
            numbers_shown = repr(float(self.value[p, i, s])), repr(float(self.mcse[p, i, s]))
            rows.append((self.labels[i], self.panels[p].head, self.settings[s], *numbers_shown))
        return rows

    def draw(self) -> Figure:
        """Stems from the nominal value to a marker, with its 95% Monte Carlo interval as a pale bar."""
        label_width = min(LABEL_MM, max(text_width(label) for label in self.labels) + 1)
        lines = [wrapped(label, label_width, most=2) for label in self.labels]
        heights = [max(ROW_MM, 3.4 * len(text) + 1.8) * (1 + 0.35 * (len(self.settings) - 1)) for text in lines]
        body = HEAD_MM + sum(heights) + BOTTOM_MM
        page = sheet(body, self.title, self._how_to_read())
        failed_width = max(text_width(text, look.NOTE_PT) for text in ("failed", *self.failed)) + 2
        left = label_width + 3.0
        width = (page.width - left - failed_width - GAP_MM * (len(self.panels) - 1)) / len(self.panels)
        tops = body - HEAD_MM - np.cumsum([0.0, *heights])
        middles = (tops[:-1] + tops[1:]) / 2
        for words, middle in zip(lines, middles, strict=True):
            page.text(0.2, middle, "\n".join(words))
        for text, middle in zip(self.failed, middles, strict=True):
            page.text(page.width - 0.5, middle, text, look.NOTE_PT, ha="right", weight="bold" if text not in ("0",) else "normal")
        page.text(page.width - 0.5, body - HEAD_MM + 2.2, "failed", look.NOTE_PT, ha="right", color=look.SECONDARY)
        for p, panel in enumerate(self.panels):
            self._panel(page, p, panel, left + p * (width + GAP_MM), width, heights, body)
        return finished(page)

    def _how_to_read(self) -> str:
        parts = ["Marker with pale bar: value and 95% Monte Carlo interval; stem from where it should lie; band: acceptable."]
        if len(self.settings) > 1:
            names = ("circle", "square", "triangle")
            parts.append("; ".join(f"{names[s]}: {setting}" for s, setting in enumerate(self.settings)) + ".")
        return " ".join(parts)

    def _panel(self, page: Sheet, p: int, panel: Panel, left: float, width: float, heights: Sequence[float], body: float) -> None:
        axes = page.axes(left, BOTTOM_MM, width, sum(heights))
        axes.set_ylim(sum(heights), 0)
        page.text(left, body - HEAD_MM + 2.2, panel.head, look.NOTE_PT, weight="bold")
        low, high = self._range(p, panel)
        axes.set_xlim(low, high)
        if panel.band is not None:
            axes.axvspan(*panel.band, color=look.ZONE, lw=0, zorder=0)
        if panel.nominal is not None:
            axes.axvline(panel.nominal, color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=1)
        edges = np.cumsum([0.0, *heights])
        for i in range(len(self.labels)):
            places = edges[i] + heights[i] * (np.arange(len(self.settings)) + 1) / (len(self.settings) + 1)
            for s, y in enumerate(places):
                self._mark(axes, panel, p, i, s, float(y))
        number_axis(axes.xaxis, _apart(round_steps(low, high, most=3), width / (high - low)))
        axes.set_xlabel(panel.unit)

    def _mark(self, axes: Axes, panel: Panel, p: int, i: int, s: int, y: float) -> None:
        value, half = float(self.value[p, i, s]), numbers.Z95 * float(self.mcse[p, i, s])
        if not np.isfinite(value):
            return
        color = look.LEVELS[s] if len(self.settings) > 1 else look.ACCENT
        axes.plot([value - half, value + half], [y, y], color=look.PALE_ACCENT, lw=4.0, solid_capstyle="butt", zorder=2)
        if panel.nominal is not None:
            axes.plot([panel.nominal, value], [y, y], color=color, lw=0.9, solid_capstyle="butt", zorder=3)
        axes.plot([value], [y], MARKERS[s], color=color, ms=look.MARKER_PT - 0.5, zorder=4)

    def _range(self, p: int, panel: Panel) -> tuple[float, float]:
        known = self.value[p][np.isfinite(self.value[p])]
        half = numbers.Z95 * float(np.nanmax(self.mcse[p])) if known.size else 0.0
        ends = [*known, *([panel.nominal] if panel.nominal is not None else []), *(panel.band or ())]
        low, high = (min(ends) - half, max(ends) + half) if ends else (0.0, 1.0)
        pad = 0.06 * (high - low) or 1.0
        return low - pad, high + pad


def gather(run: EvidenceRun) -> Mapping[str, Grid]:
    """For each outcome with several syntheses: the scenario, and settings of the sweep, up to three together."""
    rows = power_rows(run)
    found: dict[str, Grid] = {}
    for question in dict.fromkeys(row.question for row in rows):
        own = [row for row in rows if row.question == question]
        if len(own) < 2:
            continue
        cells = run.sweep_cells() or [SCENARIO]
        outcome = run.scenario.syntheses[own[0].name].outcome
        for start in range(0, len(cells), MOST_MARKED):
            some = cells[start : start + MOST_MARKED]
            name = outcome if len(cells) <= MOST_MARKED else f"{outcome}-{start // MOST_MARKED + 1}"
            found[name] = _grid(run, question, own, some)
    return found


def _grid(run: EvidenceRun, question: str, rows: Sequence[PowerRow], cells: Sequence[str]) -> Grid:
    names = [row.name for row in rows]
    unit, level = unit_of(run, names[0]), 1 - run.scenario.syntheses[names[0]].alpha
    nominal = run.scenario.syntheses[names[0]].nominal
    with_null = NULL in run.cells and list(cells) == [SCENARIO]
    panels = [
        Panel("Bias", unit.name, 0.0, None),
        Panel("Coverage", "intervals (%)", 100 * level, (100 * level - 2.5, min(100 * level + 2.5, 100.0))),
        Panel("Interval width", unit.name, None, None),
        Panel("Power", "reviews (%)", None, None),
    ]
    if with_null:
        panels.append(Panel("Without effect", "reviews (%)", 100 * nominal, (50 * nominal, 150 * nominal)))
    value = np.full((len(panels), len(names), len(cells)), np.nan)
    mcse = np.zeros_like(value)
    for s, cell in enumerate(cells):
        for i, name in enumerate(names):
            measures = {measure.name: measure for measure in run.tallies(cell)[name].measures()}
            shown = [
                (measures.get("bias"), 1.0),
                (measures.get("coverage"), 100.0),
                (measures.get("interval_width"), 1.0),
                (measures["power"], 100.0),
            ]
            if with_null:
                shown.append((run.measure(name, "power", NULL), 100.0))
            for p, (measure, factor) in enumerate(shown):
                _put(measure, factor * (unit.factor if p in (0, 2) else 1.0), value, mcse, (p, i, s))
    failed = [_failed(row) for row in rows]
    best = "Bias, coverage, width and power of every synthesis on the same bodies of evidence."
    return Grid(f"Methods compared: {question}", [row.label for row in rows], failed, panels, [run.cells[c] for c in cells], value, mcse, best)


def _apart(places: list[float], mm_per_unit: float) -> list[float]:
    """Every second number as long as numbers would run into each other or into the next panel."""
    while len(places) > 1:
        wide = [text_width(numbers.plain(round(value, 10)), look.NOTE_PT) + 1.5 for value in places]
        if all((b - a) * mm_per_unit > (one + other) / 2 for a, b, one, other in zip(places, places[1:], wide, wide[1:], strict=False)):
            break
        places = places[::2]
    return places


def _put(measure: Measure | None, factor: float, value: np.ndarray, mcse: np.ndarray, place: tuple[int, int, int]) -> None:
    if measure is not None and np.isfinite(measure.value):
        value[place], mcse[place] = factor * measure.value, factor * measure.mcse


def _failed(row: PowerRow) -> str:
    return numbers.in_percent(row.count.failed, row.count.of) if row.count.failed else "0"
