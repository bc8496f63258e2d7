"""The answer to the question whom to enroll: every value and every design under every shape, and the best of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.engine.enrollment import Enrollment
from simtrials.engine.scenario import Scenario
from simtrials.planning.funnel import Funnel
from simtrials.planning.futures import Spread, Takes
from simtrials.planning.points import Share
from simtrials.planning.search import Found

if TYPE_CHECKING:
    import pandas as pd

NEAR_BEST = 0.05
"""A value is near the best when it costs, or takes, at most this much more."""
NEAR_POWER = 0.02
"""A value is near the most power when it has at most this much less."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of the rule, or one design, under one shape of the effect."""

    name: str
    value: Any
    analysis: str
    funnel: Funnel
    shares: Mapping[str, Share]
    """power of analyses: of a value at the declared number of patients, of a design at the number that it takes"""
    found: Found
    takes: Takes | None
    affordable: int | None = None
    """patients that the budget pays for"""
    bought: Share | None = None
    """power with as many"""
    capped: bool = False
    """whether it would pay for more than the largest number that was looked at"""


@dataclass(frozen=True, slots=True)
class Best:
    """The best value for an objective, and the neighboring values that are near it.

    excess : (V,) how much worse each value is, NaN if impossible; mcse : (V,) its Monte Carlo standard error, errors of two values taken as
    independent (what luck they share makes it smaller)
    """

    objective: str
    choice: Choice
    near: tuple[Choice, ...]
    choices: tuple[Choice, ...]
    excess: FloatArray
    mcse: FloatArray


@dataclass(frozen=True, slots=True)
class UnderShape:
    """Everything under one shape of the effect."""

    name: str
    label: str
    choices: tuple[Choice, ...]
    designs: tuple[Choice, ...]

    def best(self, objective: str) -> Best | None:
        """The best value for `cost`, `months` or `power`; None where nothing reaches the power, or the objective is not declared."""
        worth = np.array([_worth(choice, objective) for choice in self.choices])
        if not np.isfinite(worth).any():
            return None
        at = int(np.nanargmin(worth))
        excess = worth - worth[at] if objective == "power" else worth / worth[at] - 1
        limit = NEAR_POWER if objective == "power" else NEAR_BEST
        first = last = at
        while first > 0 and excess[first - 1] <= limit:
            first -= 1
        while last < len(self.choices) - 1 and excess[last + 1] <= limit:
            last += 1
        errors = np.array([_error(choice, objective) for choice in self.choices])
        mcse = np.hypot(errors, errors[at]) if objective == "power" else worth / worth[at] * np.hypot(errors / worth, errors[at] / worth[at])
        mcse[at] = 0.0
        return Best(objective, self.choices[at], self.choices[first : last + 1], self.choices, excess, mcse)


def _worth(choice: Choice, objective: str) -> float:
    """What is to be made small."""
    if objective == "power":
        return -choice.bought.value if choice.bought is not None else float("nan")
    return float("nan") if choice.takes is None else _spread_of(choice.takes, objective).value


def _error(choice: Choice, objective: str) -> float:
    """The Monte Carlo standard error of what is to be made small."""
    if objective == "power":
        return choice.bought.mcse if choice.bought is not None else float("nan")
    return float("nan") if choice.takes is None else _spread_of(choice.takes, objective).mcse


def _spread_of(takes: Takes, objective: str) -> Spread:
    return {"cost": takes.cost, "months": takes.months, "screened": takes.screened}[objective]


@dataclass(frozen=True, slots=True, repr=False)
class WhomToEnroll:
    """The answer: under each shape, each value and each design."""

    scenario: Scenario
    asked: Enrollment
    path: str
    shapes: tuple[UnderShape, ...]
    analyses: tuple[str, ...]
    replicates: int
    seconds: float
    left_out: tuple[str, ...] = ()
    """designs that were declared for another analysis than the one that was asked about"""

    @property
    def values(self) -> tuple[Any, ...]:
        """Values of the field."""
        return tuple(self.asked.over[self.path])

    @property
    def objective(self) -> str:
        """What is made small: cost, months or, where neither is declared, candidates screened."""
        return "cost" if self.scenario.costs is not None else "months" if self.scenario.recruitment is not None else "screened"

    def robust(self, objective: str | None = None) -> tuple[Any, float, float] | None:
        """The value with the smallest largest excess over the best, over shapes, that excess and its Monte Carlo standard error.

        None where no value is possible under all shapes.
        """
        found = [shape.best(objective or self.objective) for shape in self.shapes]
        if any(best is None for best in found):
            return None
        worst = np.max([best.excess for best in found if best is not None], axis=0)
        if not np.isfinite(worst).any():
            return None
        at = int(np.nanargmin(worst))
        error = max(float(best.mcse[at]) for best in found if best is not None and best.excess[at] == worst[at])
        return self.values[at], float(worst[at]), error

    def to_frame(self) -> "pd.DataFrame":
        """One row per shape and value or design."""
        import pandas as pd

        rows = []
        for shape in self.shapes:
            for kind, choices in (("value", shape.choices), ("design", shape.designs)):
                rows += [{"scenario": self.scenario.name, "shape": shape.name, "kind": kind} | row_of(choice) for choice in choices]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None where nothing is known or possible."""
        best = {}
        for shape in self.shapes:
            found = {objective: shape.best(objective) for objective in ("cost", "months", "power")}
            best[shape.name] = {
                objective: {"value": one.choice.value, "near": [choice.value for choice in one.near]} for objective, one in found.items() if one
            }
        rows = [{key: None if value != value else value for key, value in row.items()} for row in self.to_frame().to_dict("records")]
        about = {"scenario": self.scenario.name, "field": self.path, "values": list(self.values), "analysis": self.asked.analysis}
        return about | {"power": self.asked.power, "best": best, "rows": rows, "replicates": self.replicates}

    def summary(self) -> str:
        """The block for the terminal."""
        from simtrials.report.planning.enrollment import enrollment_summary

        return enrollment_summary(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """The trade-off; saved when a path is given."""
        from simtrials.report.planning.enrollment_figure import draw_enrollment

        return draw_enrollment(self, path)

    def report(self, folder: str | Path, command: str = "") -> Path:
        """Write the page with the answer, the figure and all numbers into a folder; its path."""
        from simtrials.report.planning.enrollment_page import write_enrollment

        return write_enrollment(self, Path(folder), command)

    def __repr__(self) -> str:
        return self.summary()


def row_of(choice: Choice) -> dict[str, Any]:
    """Plain values of a choice."""
    row: dict[str, Any] = {"name": choice.name, "value": choice.value, "analysis": choice.analysis}
    for name, share in choice.shares.items():
        row |= {f"power_{name}": share.value, f"power_{name}_mcse": share.mcse, f"failed_{name}": share.failed}
    made = choice.funnel
    row |= {"pass_rate": made.pass_rate, "usually_below": made.below, "effect": made.effect, "effect_if_known": made.effect_if_known}
    row |= {"n": choice.found.n, "n_lower": choice.found.lower, "n_upper": choice.found.upper, "reason": choice.found.reason}
    if choice.takes is not None:
        for name in ("screened", "months", "cost"):
            spread: Spread = getattr(choice.takes, name)
            row |= {name: spread.value, f"{name}_mcse": spread.mcse, f"{name}_lower": spread.lower, f"{name}_upper": spread.upper}
        row |= {"screening_cost": choice.takes.screening_cost}
    if choice.bought is not None:
        row |= {
            "affordable_n": choice.affordable,
            "affordable_n_capped": choice.capped,
            "affordable_power": choice.bought.value,
            "affordable_power_mcse": choice.bought.mcse,
        }
    return row
