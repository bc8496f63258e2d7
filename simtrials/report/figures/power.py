"""Power of every analysis: is a benefit shown or not?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simtrials.core.measures import wilson
from simtrials.engine.declared import NULL
from simtrials.engine.result import Run
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import Sheet, finished, line_height, number_axis, sheet, text_width, wrapped
from simtrials.report.rows import PowerRow, power_rows, reasons_in_words
from simtrials.report.sentences import answer

ROW_MM, GROUP_MM, HEAD_MM, AXIS_MM, GAP_MM = 5.0, 1.4, 4.6, 9.0, 3.0
CLEAR = {"facecolor": look.WHITE, "edgecolor": "none", "pad": 1.5}
QUESTION_MM, LABEL_MM, SHORTEST_AXIS_MM = 34.0, 50.0, 44.0


@dataclass(frozen=True, slots=True)
class Power:
    """The rows of the power table, the target, and the sentence that answers."""

    rows: Sequence[PowerRow]
    target: float
    n_replicates: int
    null_was_run: bool
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """Counts, so that every share and its error can be worked out."""
        head = ("question", "analysis", "shown", "replicates", "failed", "shown_without_effect", "replicates_without_effect", "closed_form")
        return [head, *(_numbers_of(row) for row in self.rows)]

    def draw(self) -> Figure:
        """One row per analysis, the share of trials that show a benefit as a tick on its Monte Carlo interval."""
        columns = Columns.of(self.rows)
        heights = [_row_height(row, columns) for row in self.rows]
        starts = [i > 0 and row.question != self.rows[i - 1].question for i, row in enumerate(self.rows)]
        body = HEAD_MM + sum(heights) + GROUP_MM * sum(starts) + AXIS_MM
        page = sheet(body, "Power: simulated trials that show a benefit", self._how_to_read())
        middles = _middles(heights, starts, body - HEAD_MM)
        axes = page.axes(columns.axis_left, AXIS_MM, columns.axis_width, body - HEAD_MM - AXIS_MM)
        _prepare(axes, body)
        self._lines(page, axes, columns, body)
        _column_heads(page, columns, body)
        for i, (row, middle) in enumerate(zip(self.rows, middles, strict=True)):
            _words(page, row, columns, middle, first=i == 0 or starts[i])
            _marks(axes, row, middle)
        return finished(page)

    def _how_to_read(self) -> str:
        parts = [f"Tick: share of {numbers.whole(self.n_replicates)} simulated trials; pale bar: 95% Monte Carlo interval."]
        parts.append("Gray tick: same scenario and seed, every effect 0." if self.null_was_run else "Without any effect: not run.")
        parts += ["Hollow diamond: closed form."] if any(row.closed_form is not None for row in self.rows) else []
        return " ".join(parts)

    def _lines(self, page: Sheet, axes: Axes, columns: "Columns", body: float) -> None:
        """The target, and what is expected without any effect: half of alpha, since only a benefit counts."""
        nominal = {row.nominal for row in self.rows}
        axes.axvline(100 * self.target, color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=1)
        page.text(
            columns.at(100 * self.target), body - 2.2, f"target {numbers.percent(self.target)}", look.NOTE_PT, ha="center", color=look.SECONDARY
        )
        if len(nominal) > 1:
            return
        level = 100 * nominal.pop()
        axes.axvline(level, color=look.CONTROL, lw=look.AXIS_PT, ls=(0, (1, 1.5)), zorder=1)
        words = f"{numbers.plain(level)} nominal without effect"
        left, width = columns.at(level) - 1.0, text_width(words, look.NOTE_PT)
        if left + width + 2.0 < columns.at(100 * self.target) - 6.0:
            page.text(left, body - 2.2, words, look.NOTE_PT, color=look.SECONDARY)


def _numbers_of(row: PowerRow) -> tuple[str, ...]:
    null = (str(row.null.shown), str(row.null.of)) if row.null else ("", "")
    closed = "" if row.closed_form is None else repr(row.closed_form)
    return (row.question, row.label, str(row.count.shown), str(row.count.of), str(row.count.failed), *null, closed)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns lie, in millimetres."""

    label_left: float
    label_width: float
    axis_left: float
    axis_width: float
    power_right: float
    question_width: float

    @classmethod
    def of(cls, rows: Sequence[PowerRow]) -> "Columns":
        """Columns as wide as their words, names no wider than leaves room for the axis."""
        question = min(max(text_width(row.question) for row in rows), QUESTION_MM)
        label = min(max(text_width(row.label) for row in rows), LABEL_MM)
        power = max(text_width("Power, %"), *(text_width(row.count.power) for row in rows))
        failed = max(text_width("Failed"), *(text_width(numbers.whole(row.count.failed), weight="bold") for row in rows))
        power_right = look.WIDE_MM - failed - GAP_MM - 0.5
        axis_right = power_right - power - GAP_MM - 2.0
        label = min(label, axis_right - SHORTEST_AXIS_MM - question - 3 * GAP_MM)
        axis_left = question + label + 3 * GAP_MM
        return cls(question + GAP_MM, label, axis_left, axis_right - axis_left, power_right, question)

    def at(self, percent: float) -> float:
        """Place of a percentage."""
        return self.axis_left + self.axis_width * percent / 100


def _row_height(row: PowerRow, columns: Columns) -> float:
    lines = max(len(_label_lines(row, columns)), len(wrapped(row.question, columns.question_width, most=3)))
    return max(ROW_MM, lines * line_height() + 1.6)


def _label_lines(row: PowerRow, columns: Columns) -> list[str]:
    return wrapped(row.label, columns.label_width, most=3)


def _middles(heights: Sequence[float], starts: Sequence[bool], top: float) -> list[float]:
    middles = []
    for height, start in zip(heights, starts, strict=True):
        top -= GROUP_MM if start else 0.0
        middles.append(top - height / 2)
        top -= height
    return middles


def _prepare(axes: Axes, body: float) -> None:
    axes.set_xlim(0, 100)
    axes.set_ylim(AXIS_MM, body - HEAD_MM)
    number_axis(axes.xaxis, [0, 20, 40, 60, 80, 100])
    axes.set_xlabel("simulated trials that show a benefit (%)")


def _column_heads(page: Sheet, columns: Columns, body: float) -> None:
    for x, words in ((columns.power_right, "Power, %"), (look.WIDE_MM - 0.5, "Failed")):
        page.text(x, body - 2.2, words, ha="right", color=look.SECONDARY)


def _words(page: Sheet, row: PowerRow, columns: Columns, middle: float, first: bool) -> None:
    """Names on the left, numbers on the right; failures are bold where there are any."""
    if first:
        page.text(0.2, middle, "\n".join(wrapped(row.question, columns.question_width, most=3)))
    page.text(columns.label_left, middle, "\n".join(_label_lines(row, columns)))
    page.text(columns.power_right, middle, row.count.power, ha="right")
    page.text(look.WIDE_MM - 0.5, middle, numbers.whole(row.count.failed), ha="right", weight="bold" if row.count.failed else "normal")
    if row.count.none_estimable:
        lines = wrapped(f"no result: {reasons_in_words(row.count)}", columns.axis_width - 4, look.NOTE_PT, most=1)
        page.text(columns.axis_left + columns.axis_width / 2, middle, lines[0], look.NOTE_PT, ha="center", color=look.SECONDARY, bbox=CLEAR)


def _marks(axes: Axes, row: PowerRow, middle: float) -> None:
    """Pale bar, tick, gray tick and closed form of one row."""
    if row.null is not None and not row.null.none_estimable:
        _tick(axes, 100 * row.null.shown / row.null.of, middle, 1.3, look.CONTROL, 1.3)
    if row.count.none_estimable:
        return
    low, high = wilson(row.count.shown, row.count.of)
    axes.plot([100 * low, 100 * high], [middle, middle], color=look.PALE_ACCENT, lw=5.0, solid_capstyle="butt", zorder=2)
    _tick(axes, 100 * row.count.shown / row.count.of, middle, 1.7, look.ACCENT, look.DATA_PT)
    if row.closed_form is not None:
        axes.plot([100 * row.closed_form], [middle], "D", ms=4.2, mfc="none", mec=look.INK, mew=0.8, zorder=4)


def _tick(axes: Axes, x: float, middle: float, half: float, color: str, width: float) -> None:
    axes.plot([x, x], [middle - half, middle + half], color=color, lw=width, solid_capstyle="butt", zorder=3, clip_on=False)


def gather(run: Run) -> Mapping[str, Power]:
    """Always one."""
    rows = power_rows(run)
    return {"": Power(rows, run.scenario.target_power, run.n_replicates, NULL in run.cells, " ".join(answer(run)))}
