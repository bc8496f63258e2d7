"""Exact power of an analysis of two-by-two tables: its own test on every table, weighted by the probability of the table.

Probabilities of the event, and the patients by arm who are analyzed, are read off a few simulated trials. What they get wrong is smooth in the
number of patients and is made up for by the line that is fitted; the teeth come from the test.

Source: Suissa and Shuster (1985), Journal of the Royal Statistical Society A 148:317-327 (exact power by enumeration).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import bdtrc, gammaln, ndtri, xlog1py, xlogy

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.engine.files import Readable
from simtrials.engine.scenario import Scenario
from simtrials.inference.analyses import Analysis
from simtrials.inference.analyses.tables import OfTables
from simtrials.inference.judge import judge
from simtrials.planning.points import Points
from simtrials.stats.counts import EventCounts

FAR = 4.5
"""Standard deviations from the expected number of events beyond which tables are left out; their probability is below 2e-5."""
NOT_SEEN = 1e-4
"""Difference in power that no simulation of a search would see."""
LARGEST_ARM = 500
"""With more patients in an arm the teeth span less than a percent of their number (from crest to trough about 4 in 100 at 100 per arm)."""
BLOCKS_SEEN = 4
"""Blocks of 256 trials off which events and patients by arm are read."""
MOST_TRIALS = 40
"""Trials over whose numbers by arm is averaged where these differ from trial to trial."""


STAYS = "power is saw-toothed in n; it reaches the target there and at all larger numbers"

SMOOTHED = "power may be saw-toothed in n; this is where its smooth course reaches the target"


class Seen(NamedTuple):
    """Of a few simulated trials: their planned patients, events and patients by arm, and the direction of benefit."""

    n_patients: int
    counts: EventCounts
    sign: int


@dataclass(slots=True)
class TablePower:
    """Teeth of the power of one analysis; `look` simulates a few trials of a number of patients when they are first needed."""

    analysis: Analysis
    look: Callable[[int], Seen]
    reason: str = ""
    """why there are no teeth to be known; empty while there are"""
    seen: Seen | None = None
    _in_order: bool | None = None
    _of_pair: dict[tuple[int, int], float] = field(default_factory=dict)
    _known: dict[int, float] = field(default_factory=dict)

    def probits(self, numbers: IntArray) -> FloatArray | None:
        """As `saw_tooth.Teeth`."""
        if self.seen is None and not self.reason:
            self.seen = self.look(int(np.median(numbers)))
            self.reason = self._why_not(self.seen, int(numbers.max()))
        if self.reason or self.seen is None:
            return None
        new = [int(n) for n in numbers if int(n) not in self._known]
        if new:
            self._known |= dict(zip(new, self._powers(new, self.seen), strict=True))
        return np.asarray(ndtri(np.clip([self._known[int(n)] for n in numbers], 1e-12, 1 - 1e-12)), dtype=np.float64)

    def _why_not(self, seen: Seen, largest: int) -> str:
        if max(seen.counts.n_active.max(), seen.counts.n_control.max()) * largest / seen.n_patients > LARGEST_ARM:
            return "with so many patients the saw-teeth of power are small; n is where its smooth course reaches the target"
        return ""

    def _powers(self, numbers: list[int], seen: Seen) -> list[float]:
        """Exact power at each number, averaged over the sizes of the arms."""
        active, control = (float(events.sum() / n.sum()) for events, n in (seen.counts[:2], seen.counts[2:]))
        designs = [arm_sizes(seen, n) for n in numbers]
        new = sorted({pair for design in designs for pair in design} - self._of_pair.keys())
        if self._in_order is None:
            whole = power_of_tables(self.analysis, new[0], (active, control), seen.sign)
            self._in_order = abs(powers_by_bounds(self.analysis, new[:1], (active, control), seen.sign)[0] - whole) < NOT_SEEN
        if self._in_order:
            found = powers_by_bounds(self.analysis, new, (active, control), seen.sign) if new else []
        else:
            found = [power_of_tables(self.analysis, pair, (active, control), seen.sign) for pair in new]
        self._of_pair |= dict(zip(new, found, strict=True))
        return [sum(times * self._of_pair[pair] for pair, times in design.items()) / design.total() for design in designs]


def power_of_tables(analysis: Analysis, sizes: tuple[int, int], risks: tuple[float, float], sign: int) -> float:
    """Exact power with these numbers of patients and risks (active, control): every table is tested."""
    (active, of_active), (control, of_control) = (events_of(n, risk) for n, risk in zip(sizes, risks, strict=True))
    events = [part.ravel() for part in np.meshgrid(active, control, indexing="ij")]
    n_active, n_control = (np.full(events[0].shape, float(n)) for n in sizes)
    shown = shows_benefit(analysis, EventCounts(events[0], n_active, events[1], n_control), sign)
    return float(np.outer(of_active, of_control).ravel()[shown].sum())


def powers_by_bounds(analysis: Analysis, sizes: Sequence[tuple[int, int]], risks: tuple[float, float], sign: int) -> list[float]:
    """Exact power at several pairs of sizes where more good events under active never take a benefit away.

    For every number of events under control the least number of good events under active that shows a benefit is found by halving.
    """
    rows = [events_of(n_control, risks[1]) for _, n_control in sizes]
    which = np.repeat(np.arange(len(rows)), [len(events) for events, _ in rows])
    control, of_control = (np.concatenate([row[i] for row in rows]) for i in (0, 1))
    n_active, n_control = np.array(sizes, dtype=np.float64)[which].T
    good = risks[0] if sign > 0 else 1 - risks[0]
    ends = [events_of(n, good)[0][[0, -1]] for n, _ in sizes]
    low, high = (np.array([end[i] for end in ends])[which] + shift for i, shift in ((0, -1.0), (1, 1.0)))
    while (high - low).max() > 1:
        middle = np.floor((low + high) / 2)
        open_ = high - low > 1
        events = np.where(open_, middle, np.clip(middle, 0, n_active))
        shown = shows_benefit(analysis, EventCounts(events if sign > 0 else n_active - events, n_active, control, n_control), sign)
        low, high = np.where(open_ & ~shown, middle, low), np.where(open_ & shown, middle, high)
    beyond = np.where(high > n_active, 0.0, bdtrc(np.maximum(high - 1, 0), n_active.astype(int), good))
    beyond = np.where(high <= 0, 1.0, beyond)
    return [float(one) for one in np.bincount(which, of_control * beyond, len(rows))]


def shows_benefit(analysis: Analysis, counts: EventCounts, sign: int) -> BoolArray:
    """(R,) whether the analysis shows a benefit in these tables; `sign` is +1 where the event is good for the patient, else -1."""
    assert isinstance(analysis, OfTables)
    return judge(analysis, analysis.tested(counts, sign)).benefit


def events_of(n: int, risk: float) -> tuple[FloatArray, FloatArray]:
    """Numbers of events that are not out of the question, and the probability of each."""
    far = FAR * np.sqrt(n * risk * (1 - risk)) + 1
    events = np.arange(max(0, np.floor(n * risk - far)), min(n, np.ceil(n * risk + far)) + 1)
    return events, np.exp(gammaln(n + 1) - gammaln(events + 1) - gammaln(n - events + 1) + xlogy(events, risk) + xlog1py(n - events, -risk))


def arm_sizes(seen: Seen, n: int) -> Counter[tuple[int, int]]:
    """Patients in the active and the control arm of trials of n patients, and how often: as seen, around means that are moved to n.

    Of trials that all differ some are taken at equal distances in the order of their totals.
    """
    sizes = np.array([seen.counts.n_active, seen.counts.n_control])
    means = sizes.mean(axis=1, keepdims=True)
    moved = np.maximum(np.round(sizes - means + means * (n / seen.n_patients)), 2).astype(int)
    if (sizes != sizes[:, :1]).any():
        order = np.lexsort((moved[0], moved.sum(axis=0)))
        moved = moved[:, order[:: max(1, len(order) // MOST_TRIALS)]]
    return Counter((int(active), int(control)) for active, control in moved.T)


def teeth_of(points: Points, names: Sequence[str], path: str) -> TablePower | None:
    """Teeth of the power of an analysis over the number of patients; None where power is smooth, or several analyses are asked about."""
    scenario = points.scenario
    if not isinstance(scenario, Scenario) or len(names) > 1 or not isinstance(scenario.analyses[names[0]], OfTables):
        return None
    analysis = scenario.analyses[names[0]]

    def look(n: int) -> Seen:
        views = [analysis.view(data) for data in points.at({path: n}, independent=n).data(analysis, BLOCKS_SEEN)]
        counts = [view.counts() for view in views]
        return Seen(n, EventCounts(*(np.concatenate(part) for part in zip(*counts, strict=True))), views[0].sign)

    return TablePower(analysis, look)


def words_of(teeth: TablePower | None, scenario: Readable, names: Sequence[str]) -> str:
    """What was done about teeth, for the reader; empty where power is smooth."""
    if teeth is None:
        binary = isinstance(scenario, Scenario) and any(scenario.analyses[name].needs_binary for name in names)
        return SMOOTHED if binary else ""
    return teeth.reason or (STAYS if teeth.seen is not None else "")
