"""The smallest number that reaches a power: a sequential search that simulates where it matters.

Power is close to a line on the probit scale in sqrt(n): for a z test exactly, for others within any narrow range. The search finds the range from
small samples, then simulates at and around the crossing, each point with luck of its own so that errors are independent, fits the line by maximum
likelihood, and stops when the 95% interval of the crossing (Fieller) is as narrow as asked for. Over the size of an effect power is a line in the
size itself. Where power is saw-toothed in n and the teeth are known, they are added to the line (see `saw_tooth`).

Source: Fieller (1954), Journal of the Royal Statistical Society B 16, 175-185; McCullagh and Nelder (1989), Generalized Linear Models, chapter 4.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import FloatArray
from simtrials.planning.points import Share
from simtrials.planning.probit import Z95, probit_line
from simtrials.planning.saw_tooth import SawTooth, Teeth, with_teeth

FIRST, BATCH = 512, 1024
"""Trials of the first looks, and of each later one."""
NEAR, WIDE = 0.35, 1.0
"""Distance on the probit scale within which a point is near the target, and within which it enters the fit."""
SPREAD = (1.0, 0.88, 1.13)
"""Where the search looks in turn, as multiples of the crossing."""
MOST_LOOKS = 60
CLOSE = 0.15
"""Half-width of the interval of the line, relative to n, from which on teeth are looked at."""

Simulate = Callable[[int, int], Share]
"""Share of the first so many trials at a number that show a benefit."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a fitted line crosses the target: the number, its 95% interval, and slope and intercept with their covariance."""

    n: float
    lower: float
    upper: float
    offset: int
    coefficients: FloatArray
    covariance: FloatArray
    straight: bool = False
    """the line is in the number itself, not in its square root"""

    def power(self, n: float) -> tuple[float, float]:
        """Power at a number, and its Monte Carlo standard error."""
        x = np.array([1.0, n if self.straight else math.sqrt(n + self.offset)])
        z = float(x @ self.coefficients)
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return float(ndtr(z)), density * math.sqrt(float(x @ self.covariance @ x))

    def curve(self, low: float, high: float) -> tuple[FloatArray, FloatArray]:
        """Numbers between two limits and the power there, to be drawn."""
        x = np.linspace(low, high, 300)
        x = x[x + self.offset > 0]
        return x, np.array([self.power(float(one))[0] for one in x])


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of a search: n and its interval, all of them feasible; power there; what was simulated; or why there is no answer."""

    n: int | None
    lower: int | None
    upper: int | None
    power: float
    mcse: float
    replicates: int
    looks: tuple[tuple[int, Share], ...]
    """what was simulated, by number"""
    reason: str = ""
    line: Crossing | SawTooth | None = None


@dataclass(slots=True)
class Search:
    """A search for the smallest feasible number with a power of at least `target`.

    simulate : number, replicates -> Share; asking for more extends what was simulated
    step, least, most : feasible numbers are the multiples of `step` from `least` to `most`
    nominal : share that shows a benefit without any effect, from which the first guess is made
    offset : what is there already beside n, such as the studies of a review: power is a line in sqrt(n + offset)
    precision : half-width of the 95% interval, relative to n, at which the search stops; budget : most trials
    straight : power is a line in the number itself, as it is in the size of an effect, not in its square root
    teeth : the exact power of a discrete test by number, where it is known
    told : a number as sentences have it; noun : what it is a number of
    """

    simulate: Simulate
    target: float
    step: int
    least: int
    most: int
    nominal: float
    precision: float
    budget: int
    offset: int = 0
    straight: bool = False
    teeth: Teeth | None = None
    told: Callable[[int], str] = "{:,}".format
    noun: str = "number"
    looks: dict[int, Share] = field(default_factory=dict)

    @property
    def goal(self) -> float:
        return float(ndtri(self.target))

    @property
    def spent(self) -> int:
        """Trials simulated so far."""
        return sum(share.of for share in self.looks.values())

    def run(self, start: int) -> Found:
        """Search from a first number."""
        reached = self._approach(self.feasible(start))
        if isinstance(reached, str):
            return self._none(reached)
        if reached == self._floor and self._is_above(reached):
            share = self.looks[reached]
            return Found(reached, reached, reached, share.value, share.mcse, self.spent, tuple(sorted(self.looks.items())))
        for turn in range(MOST_LOOKS):
            crossing = self._crossing()
            toothed = self._toothed(crossing)
            if toothed is not None and self._is_precise(toothed):
                return self._answer(toothed)
            if self.spent + BATCH > self.budget:
                break
            around = crossing.n if crossing is not None else reached
            self._look(self.feasible(around * SPREAD[turn % len(SPREAD)]), BATCH)
        toothed = self._toothed(self._crossing())
        if toothed is None and (apart := self._far_apart()) is not None:
            return apart
        if toothed is None:
            return self._none(f"power does not rise clearly enough with the {self.noun} in {self.spent:,} trials to say where it reaches the target")
        return self._answer(toothed)

    def feasible(self, n: float) -> int:
        """The smallest feasible number that is not below."""
        whole = math.ceil(round(n / self.step, 9)) * self.step
        return int(min(max(whole, self._floor), self._ceiling))

    @property
    def _floor(self) -> int:
        return math.ceil(self.least / self.step) * self.step

    @property
    def _ceiling(self) -> int:
        return self.most // self.step * self.step

    def _look(self, n: int, more: int) -> Share:
        before = self.looks[n].of if n in self.looks else 0
        self.looks[n] = self.simulate(n, before + more)
        return self.looks[n]

    def _approach(self, n: int) -> int | str:
        """A number whose power is near the target, or why there is none."""
        seen: list[int] = []
        for _ in range(20):
            share = self._look(n, FIRST)
            seen.append(n)
            z = float(ndtri((share.shown + 0.5) / (share.of + 1)))
            if abs(z - self.goal) < NEAR:
                return n
            if z < self.goal and n == self._ceiling:
                return self._too_few()
            if z > self.goal and n == self._floor:
                return n
            n = self._next(n, z, seen)
            if n in seen and self.looks[n].of >= 4 * FIRST:
                return n
        return n

    def _next(self, n: int, z: float, seen: Sequence[int]) -> int:
        """The next number by the line through the share without effect at n = 0, never more than eightfold away."""
        without = float(ndtri(self.nominal))
        slope = (z - without) / float(self._abscissa(n))
        across = (self.goal - without) / slope if slope > 0 else math.inf
        wanted = across if self.straight else across**2 - self.offset
        below = [m for m in seen if self._z(m) < self.goal]
        above = [m for m in seen if self._z(m) >= self.goal]
        wanted = min(max(wanted, n / 8), (n or self.step) * 8)
        if below and above and not max(below) < wanted < min(above):
            wanted = (max(below) + min(above)) / 2
        found = self.feasible(wanted)
        return found - self.step if self.straight and z > self.goal and found == n > self._floor else found

    def _z(self, n: int) -> float:
        share = self.looks[n]
        return float(ndtri((share.shown + 0.5) / (share.of + 1)))

    def _too_few(self) -> str:
        """The largest number does not reach the target: by how much, and whether power still rises."""
        top = self._look(self._ceiling, max(0, 4 * FIRST - self.looks[self._ceiling].of))
        lower = self._look(self.feasible(self._ceiling / 4), 4 * FIRST)
        clear = top.value - lower.value > 2 * math.hypot(top.mcse, lower.mcse)
        quarter = self.told(self.feasible(self._ceiling / 4))
        rest = f"a larger {self.noun} might" if clear else f"no {self.noun} will: power is no higher than at {quarter}"
        there = f"{100 * top.value:.1f} ± {100 * Z95 * top.mcse:.1f}%"
        return f"no {self.noun} up to {self.told(self._ceiling)} reaches the target; power there is {there}, and {rest}"

    def _is_above(self, n: int) -> bool:
        """Whether power at the smallest number is clearly above the target already."""
        share = self._look(n, max(0, 4 * FIRST - self.looks[n].of))
        return share.value - Z95 * share.mcse > self.target

    def _abscissa(self, n: ArrayLike) -> FloatArray:
        """What power is a line in."""
        number = np.asarray(n, dtype=np.float64)
        return number if self.straight else np.asarray(np.sqrt(number + self.offset))

    def _near(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Numbers, successes and trials of the looks that are not far from the target."""
        near = {n: share for n, share in self.looks.items() if abs(self._z(n) - self.goal) < WIDE}
        shown, of = ([getattr(share, name) for share in near.values()] for name in ("shown", "of"))
        return np.array(list(near), dtype=np.float64), np.array(shown, dtype=np.float64), np.array(of, dtype=np.float64)

    def _crossing(self) -> Crossing | None:
        """The fitted crossing from the points that are not far from the target; None while it cannot be told."""
        n, shown, of = self._near()
        if len(n) < 2:
            return None
        fitted = probit_line(self._abscissa(n), shown, of)
        return None if fitted is None else crossing(*fitted, self.goal, self.offset, self.straight)

    def _toothed(self, line: Crossing | None) -> Crossing | SawTooth | None:
        """The line with its teeth, where they are known and the line is; else the line."""
        if line is None or self.teeth is None or self.spent < 4 * BATCH or line.upper - line.lower > 2 * CLOSE * line.n:
            return line
        feasible = self.step, self._floor, self._ceiling
        return with_teeth(self.teeth, self._near(), self.goal, (line.lower, line.upper), feasible) or line

    def _is_precise(self, found: Crossing | SawTooth) -> bool:
        """The interval of feasible numbers is narrow enough, or that of the crossing lies between two of them."""
        feasible = (self.feasible(found.upper) - self.feasible(found.lower)) / 2
        fine = feasible <= self.precision * found.n or (found.upper - found.lower) / 2 <= self.step / 4
        return self.spent >= 4 * BATCH and fine

    def _answer(self, found: Crossing | SawTooth) -> Found:
        n, lower, upper = (self.feasible(value) for value in (found.n, found.lower, found.upper))
        power, mcse = found.power(n)
        return Found(n, lower, upper, power, mcse, self.spent, tuple(sorted(self.looks.items())), line=found)

    def _far_apart(self) -> Found | None:
        """Where feasible numbers lie so far apart that no line can be fitted: the first that reaches the target by its own trials; None if none does.

        The interval goes from the smallest number that is not clearly below the target to the smallest that is clearly above it.
        """
        clearly = [n for n, share in self.looks.items() if share.value - Z95 * share.mcse > self.target]
        if self.straight or not clearly:
            return None
        lower = upper = min(clearly)
        while lower > self._floor:
            share = self.looks.get(lower - self.step) or self._look(lower - self.step, BATCH)
            if share.value + Z95 * share.mcse < self.target:
                break
            lower -= self.step
            if upper - lower > 2 * self.step:
                return None
        n = next(n for n in range(lower, upper + 1, self.step) if self.looks[n].value >= self.target)
        share = self.looks[n]
        return Found(n, lower, upper, share.value, share.mcse, self.spent, tuple(sorted(self.looks.items())))

    def _none(self, reason: str) -> Found:
        best = max(self.looks.values(), key=lambda share: share.value)
        return Found(None, None, None, best.value, best.mcse, self.spent, tuple(sorted(self.looks.items())), reason)


def crossing(coefficients: FloatArray, covariance: FloatArray, goal: float, offset: int = 0, straight: bool = False) -> Crossing | None:
    """Where the line crosses the goal, with Fieller's 95% interval; None where the slope is not clearly positive."""
    a, b = coefficients
    bend = b**2 - Z95**2 * covariance[1, 1]
    if b <= 0 or bend <= 0:
        return None
    middle = (goal - a) * b + Z95**2 * covariance[0, 1]
    rest = (goal - a) ** 2 - Z95**2 * covariance[0, 0]
    root = math.sqrt(max(middle**2 - bend * rest, 0.0))
    low, high = (middle - root) / bend, (middle + root) / bend
    center = (goal - a) / b
    if center <= 0:
        return None
    if straight:
        return Crossing(center, max(low, 0.0), high, 0, coefficients, covariance, straight)
    return Crossing(center**2 - offset, max(low, 0.0) ** 2 - offset, high**2 - offset, offset, coefficients, covariance)
