"""Who is seen: the share of each arm at every visit, and which visits patients miss."""

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from simtrials.engine.result import Run
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import Sheet, finished, line_height, number_axis, sheet, wrapped
from simtrials.report.figures.course import arm_marks, stacked, weeks_apart
from simtrials.report.names import spoken, spoken_endpoint

AXIS_MM, LEFT_MM, TOP_MM, SHARES_MM, NAMES_MM, LEAST_MM = 11.0, 13.0, 4.0, 62.0, 20.0, 40.0
PATTERNS_MM, ROW_MM, BOX_MM, SHARE_MM = 102.0, 5.4, 4.0, 15.0


@dataclass(frozen=True, slots=True)
class Missing:
    """One endpoint: share of each arm that is seen at baseline and the visits, and the patterns of visits with their shares by arm."""

    endpoint: str
    weeks: tuple[float, ...]
    seen: Mapping[str, tuple[float, ...]]
    patterns: tuple[tuple[str, tuple[float, ...]], ...]
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """Shares by arm and week, then by arm and pattern; 1 is a visit that is seen."""
        head = ("what", *(f"share_of_{arm}" for arm in self.seen))
        rows = [(f"seen at week {numbers.plain(w)}", *(f"{shares[i]:.6g}" for shares in self.seen.values())) for i, w in enumerate(self.weeks)]
        return [head, *rows, *((f"pattern {pattern}", *(f"{share:.6g}" for share in shares)) for pattern, shares in self.patterns)]

    def draw(self) -> Figure:
        """Left: lines over the weeks; right: one row per pattern, filled where the visit is seen."""
        rows = len(self.patterns) + 1
        body = max(LEAST_MM, AXIS_MM + TOP_MM + rows * ROW_MM)
        title = f"{self.endpoint}: patients seen at each visit, and which visits are missed"
        page = sheet(
            body, title, "Left: share of each arm that is seen. Right: patterns of visits, the most frequent first; filled: seen, hollow: missed."
        )
        axes = page.axes(LEFT_MM, AXIS_MM, SHARES_MM, body - AXIS_MM - TOP_MM, sides="left bottom")
        self._shares(axes)
        self._names(page, body - AXIS_MM - TOP_MM)
        self._patterns(page, body)
        return finished(page)

    def _shares(self, axes: Axes) -> None:
        lowest = min(min(shares) for shares in self.seen.values())
        for i, shares in enumerate(self.seen.values()):
            color, marker, face = arm_marks(i)
            percent = [100 * share for share in shares]
            axes.plot(self.weeks, percent, color=color, marker=marker, mfc=face, mec=color, lw=look.DATA_PT, zorder=3 + i, clip_on=False)
        low = 0.0 if lowest < 0.5 else 50.0
        axes.set_xlim(0, self.weeks[-1])
        axes.set_ylim(low, 100)
        number_axis(axes.xaxis, weeks_apart(self.weeks, SHARES_MM))
        number_axis(axes.yaxis, [low + step * (100 - low) / 5 for step in range(6)])
        axes.spines["bottom"].set_position(("outward", 3))
        axes.set_xlabel("weeks since randomization")
        axes.set_ylabel("patients seen (%)")

    def _names(self, page: Sheet, height: float) -> None:
        lowest = min(min(shares) for shares in self.seen.values())
        low = 0.0 if lowest < 0.5 else 50.0
        lines = [wrapped(spoken(arm), NAMES_MM - 2.0, most=2) for arm in self.seen]
        places = [AXIS_MM + height * (100 * shares[-1] - low) / (100 - low) for shares in self.seen.values()]
        order = sorted(range(len(places)), key=places.__getitem__)
        talls = [line_height() * len(words) + 0.6 for words in lines]
        heights = dict(zip(order, stacked([places[i] for i in order], [talls[i] for i in order], AXIS_MM, AXIS_MM + height), strict=True))
        for i, words in enumerate(lines):
            page.text(LEFT_MM + SHARES_MM + 2.6, heights[i], "\n".join(words))

    def _patterns(self, page: Sheet, body: float) -> None:
        """Boxes of visits, with the shares of the arms at the right."""
        visits = self.weeks[1:]
        pitch = min(7.0, (page.width - PATTERNS_MM - SHARE_MM * len(self.seen) - 2.0) / len(visits))
        size = min(BOX_MM, 0.8 * pitch)
        head, right = body - ROW_MM / 2, page.width - SHARE_MM * len(self.seen)
        for v, week in enumerate(visits):
            page.text(PATTERNS_MM + (v + 0.5) * pitch, head, numbers.plain(week), look.NOTE_PT, ha="center", color=look.SECONDARY)
        page.text(PATTERNS_MM - 1.5, head, "week", look.NOTE_PT, ha="right", color=look.SECONDARY)
        for a, arm in enumerate(self.seen):
            name = wrapped(f"{spoken(arm)}, %", SHARE_MM - 1.0, look.NOTE_PT, most=1)[0]
            page.text(right + (a + 1) * SHARE_MM, head, name, look.NOTE_PT, ha="right", color=look.SECONDARY)
        for row, (pattern, shares) in enumerate(self.patterns):
            middle = body - (row + 1.5) * ROW_MM
            if set(pattern) <= {"0", "1"}:
                for v, sign in enumerate(pattern):
                    _box(page, PATTERNS_MM + (v + 0.5) * pitch, middle, size, sign == "1")
            else:
                page.text(PATTERNS_MM, middle, f"{pattern} (less frequent)", look.NOTE_PT)
            for a, share in enumerate(shares):
                page.text(right + (a + 1) * SHARE_MM, middle, numbers.fixed(100 * share, 1), ha="right")


def _box(page: Sheet, center: float, middle: float, size: float, filled: bool) -> None:
    corner = ((center - size / 2) / page.width, (middle - size / 2) / page.height)
    face = look.ACCENT if filled else look.WHITE
    page.figure.add_artist(Rectangle(corner, size / page.width, size / page.height, fc=face, ec=look.ACCENT, lw=look.AXIS_PT))


def gather(run: Run) -> Mapping[str, Missing]:
    """One for each endpoint of which somebody misses a visit."""
    about = run.portrait.get("departures")
    if not about:
        return {}
    found = {}
    for name, seen in about["seen"].items():
        if min(min(shares) for shares in seen.values()) < 1.0:
            weeks = (0.0, *run.scenario.endpoints[name].visits)
            shares = {arm: (1.0, *values) for arm, values in seen.items()}
            patterns = tuple((pattern, tuple(values)) for pattern, values in about["patterns"][name])
            found[name] = Missing(spoken_endpoint(run.scenario, name), weeks, shares, patterns, _sentence(run, name, shares))
    return found


def _sentence(run: Run, name: str, shares: Mapping[str, tuple[float, ...]]) -> str:
    last = ", ".join(f"{spoken(arm)} {numbers.fixed(100 * values[-1], 0)}" for arm, values in shares.items())
    week = numbers.plain(run.scenario.endpoints[name].visits[-1])
    return f"Of 100 patients, seen at week {week} on {spoken_endpoint(run.scenario, name)}: {last}."
