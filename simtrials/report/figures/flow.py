"""Where patients go: screened, not enrolled by rule, randomized, arms."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from simtrials.core.arrays import AnyArray
from simtrials.engine.blocks import NOT_ENROLLED
from simtrials.engine.result import Run
from simtrials.report import look, numbers
from simtrials.report.departures import seen_at_the_end
from simtrials.report.figures.canvas import Sheet, finished, line_height, sheet, wrapped
from simtrials.report.names import rules_in_words, spoken

BOX_MM, SIDE_BOX_MM, PAD_MM, GAP_MM, MIDDLE_MM = 46.0, 74.0, 1.6, 6.0, 52.0


@dataclass(frozen=True, slots=True)
class Number:
    """A number of patients: its mean over trials and the range of 90% of them."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return numbers.whole(self.low)
        return f"{numbers.whole(self.mean)} ({numbers.between(self.low, self.high, 0)})"


@dataclass(frozen=True, slots=True)
class Flow:
    """The boxes of an average trial."""

    screened: Number
    failures: Mapping[str, Number]
    n_patients: int
    arms: Mapping[str, Number]
    seen: Mapping[str, float]
    weeks: float
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """Every box: mean and range."""
        rows = {"screened": self.screened} | {f"not enrolled: {name}": number for name, number in self.failures.items()} | dict(self.arms)
        return [("box", "mean", "5_percent", "95_percent"), *((name, f"{n.mean:.6g}", f"{n.low:.6g}", f"{n.high:.6g}") for name, n in rows.items())]

    def draw(self) -> Figure:
        """Boxes from top to bottom, reasons for not being enrolled at the side."""
        reasons = self._reasons()
        room = min(BOX_MM, (look.WIDE_MM - GAP_MM * (len(self.arms) - 1)) / len(self.arms))
        arms = [self._arm_lines(name, number, room - 2 * PAD_MM) for name, number in self.arms.items()]
        side, arm_height, box = _height(len(reasons)), _height(max(len(lines) for lines in arms)), _height(2)
        body = box + max(side, 2 * GAP_MM) + 2.0 + box + 2 * GAP_MM + arm_height + 1.0
        page = sheet(body, "Patients of an average simulated trial", "Mean over the simulated trials, in brackets the range of 90% of them.")
        top = body - 0.5
        _box(page, MIDDLE_MM, top, BOX_MM, ["Screened", str(self.screened)])
        below = top - box
        _line(page, [MIDDLE_MM, MIDDLE_MM], [below, below - max(side, 2 * GAP_MM) - 2.0], arrow=True)
        turn = below - 1.0 - max(side, 2 * GAP_MM) / 2
        _line(page, [MIDDLE_MM, MIDDLE_MM + BOX_MM / 2 + GAP_MM], [turn, turn], arrow=True)
        _box(page, MIDDLE_MM + BOX_MM / 2 + GAP_MM + SIDE_BOX_MM / 2, turn + side / 2, SIDE_BOX_MM, reasons, align="left")
        randomized = below - max(side, 2 * GAP_MM) - 2.0
        _box(page, MIDDLE_MM, randomized, BOX_MM, ["Randomized", numbers.whole(self.n_patients)])
        self._branches(page, randomized - box, arms, room)
        return finished(page)

    def _reasons(self) -> list[str]:
        """How many are not enrolled, and why."""
        n, all_out = self.n_patients, self.screened
        lines = [f"Not enrolled: {Number(all_out.mean - n, all_out.low - n, all_out.high - n)}"]
        why = list(self.failures) if len(self.failures) == 1 else [f"{name}: {number}" for name, number in self.failures.items()]
        return [*lines, *(line for words in why for line in wrapped(words, SIDE_BOX_MM - 2 * PAD_MM))]

    def _arm_lines(self, name: str, number: Number, room: float) -> list[str]:
        return [*wrapped(spoken(name), room, most=3), str(number), *wrapped(self._seen_words(name), room)]

    def _seen_words(self, name: str) -> str:
        week = numbers.plain(self.weeks)
        return f"all seen at week {week}" if self.seen[name] == 1.0 else f"{numbers.fixed(100 * self.seen[name], 0)}% seen at week {week}"

    def _branches(self, page: Sheet, top: float, arms: list[list[str]], room: float) -> None:
        """The arms side by side below the randomized."""
        n = len(arms)
        span = (n - 1) * (room + GAP_MM)
        first = min(max(MIDDLE_MM - span / 2, room / 2 + 0.5), look.WIDE_MM - room / 2 - 0.5 - span)
        centers = [first + i * (room + GAP_MM) for i in range(n)]
        _line(page, [MIDDLE_MM, MIDDLE_MM], [top, top - GAP_MM])
        _line(page, [min(centers[0], MIDDLE_MM), max(centers[-1], MIDDLE_MM)], [top - GAP_MM, top - GAP_MM])
        for center, lines in zip(centers, arms, strict=True):
            _line(page, [center, center], [top - GAP_MM, top - 2 * GAP_MM], arrow=True)
            _box(page, center, top - 2 * GAP_MM, room, lines)


def _height(lines: int) -> float:
    return lines * line_height() + 2 * PAD_MM


def _box(page: Sheet, center: float, top: float, width: float, lines: list[str], align: str = "center") -> None:
    height = _height(len(lines))
    corner = ((center - width / 2) / page.width, (top - height) / page.height)
    page.figure.add_artist(Rectangle(corner, width / page.width, height / page.height, fill=False, ec=look.INK, lw=look.AXIS_PT))
    x = center if align == "center" else center - width / 2 + PAD_MM
    for i, line in enumerate(lines):
        page.text(x, top - PAD_MM - (i + 0.5) * line_height(), line, ha=align)


def _line(page: Sheet, x: list[float], y: list[float], arrow: bool = False) -> None:
    start, end = ((x[i] / page.width, y[i] / page.height) for i in (0, -1))
    style = "-|>" if arrow else "-"
    line = FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=6, shrinkA=0, shrinkB=0, lw=look.AXIS_PT, color=look.INK)
    line.set_transform(page.figure.transFigure)
    page.figure.add_artist(line)


def gather(run: Run) -> Mapping[str, Flow]:
    """One, where rules keep candidates out."""
    if not run.scenario.eligibility:
        return {}
    screened, failures = funnel(run)
    ranges = zip(run.scenario.design.arms, run.portrait["arms"], run.portrait["arm_ranges"], strict=True)
    arms = {name: Number(mean, low, high) for name, mean, (low, high) in ranges}
    seen = {arm: seen_at_the_end(run.portrait, arm) for arm in arms}
    n = run.scenario.design.n_patients
    spread = numbers.between(screened.low, screened.high, 0)
    sentence = f"In an average trial {numbers.whole(screened.mean)} are screened for {numbers.whole(n)} randomized; 90% of trials screen {spread}."
    return {"": Flow(screened, failures, n, arms, seen, run.scenario.weeks, sentence)}


def funnel(run: Run) -> tuple[Number, dict[str, Number]]:
    """Screened per trial, and how many each rule keeps out, counted over the shards."""
    counts: dict[str, AnyArray] = {}
    for columns in run.shards():
        for name, values in columns.items():
            if name == "screened" or name.startswith(NOT_ENROLLED):
                counts[name] = _added(counts.get(name), np.bincount(values))
    words = rules_in_words(run.scenario)
    failures = {
        words.get(name.removeprefix(NOT_ENROLLED), name.removeprefix(NOT_ENROLLED)): _number(found)
        for name, found in counts.items()
        if name != "screened"
    }
    return _number(counts["screened"]), failures


def _added(one: AnyArray | None, other: AnyArray) -> AnyArray:
    if one is None:
        return other
    size = max(one.size, other.size)
    return np.asarray(np.pad(one, (0, size - one.size)) + np.pad(other, (0, size - other.size)))


def _number(counts: AnyArray) -> Number:
    """Mean and range from how many trials have each number."""
    below, n = np.cumsum(counts), int(counts.sum())
    low, high = (float(np.searchsorted(below, share * n)) for share in (0.05, 0.95))
    return Number(float((counts * np.arange(counts.size)).sum() / n), low, high)
