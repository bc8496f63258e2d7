"""What a scenario leaves open: fields with a prior, with a lowest and a highest value, or with alternatives."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import DeclarationError, Problem, SimtrialsError
from simtrials.core.expressions import Category
from simtrials.engine.files import Readable
from simtrials.planning.sample_size import FURTHER, PATIENTS, feasible_numbers
from simtrials.trial.distributions import Distribution
from simtrials.trial.distributions.continuous import Beta

TAIL = 0.05
"""Share of a prior that lies below the low value, and above the high one."""
MOST_ASSUMPTIONS, MOST_VALUES = 12, 6


@dataclass(frozen=True, slots=True)
class Assumption:
    """A field that is left open: its declared value (None where it has none), the values that are looked at, and its distribution.

    `prior` is None for alternatives; `step` is what a whole number is a multiple of, None for any number; `from_prior` says that the values are
    quantiles.
    """

    path: str
    declared: Any
    values: tuple[Any, ...]
    prior: Distribution | None
    step: int | None = None
    from_prior: bool = False

    def at(self, places: FloatArray) -> list[float | int]:
        """Values of the field at places (n,) between 0 and 1 of its distribution."""
        assert self.prior is not None
        return [feasible(value, self.step) for value in numbers_of(self.path, self.prior, places)]


def open_assumptions(scenario: Readable, priors: Mapping[str, Distribution], vary: Mapping[str, Sequence[Any]]) -> tuple[Assumption, ...]:
    """The priors at their 5% and 95% quantiles, and what is varied; a field of both is as it is varied.

    Raises
    ------
    DeclarationError
        With every field whose values cannot be used.
    """
    varied = {_normal(path): tuple(values) for path, values in vary.items()}
    found, problems = [], []
    for path, prior in priors.items():
        if _normal(path) in varied:
            continue
        try:
            found.append(_of_prior(scenario, _normal(path), prior))
        except SimtrialsError as error:
            problems.append(Problem(path, str(error)))
    for path, values in varied.items():
        try:
            found.append(_of_values(scenario, path, values))
        except SimtrialsError as error:
            problems.append(Problem(path, str(error)))
    if problems:
        raise DeclarationError(problems, scenario.name)
    if not found:
        raise SimtrialsError(
            "name what is left open: vary a field between two values, such as design.n_patients=150,250, or declare [priors] in the scenario, "
            'such as "endpoints.madrs.effects.active.points" = { kind = "normal", mean = 3.4, sd = 1.2 }'
        )
    if len(found) > MOST_ASSUMPTIONS:
        raise SimtrialsError(f"at most {MOST_ASSUMPTIONS} fields at once, got {len(found)}; look at some of them with another call")
    return tuple(found)


def numbers_of(path: str, prior: Distribution, places: FloatArray) -> FloatArray:
    """Quantiles (n,) of a prior.

    Raises
    ------
    SimtrialsError
        When the prior has categories.
    """
    values = prior.from_normal(ndtri(places))
    if isinstance(values, Category):
        raise SimtrialsError(f"the prior of {path} must be on numbers, and {prior.kind} has categories; vary the field over its alternatives instead")
    return np.asarray(values, dtype=np.float64)


def feasible(value: float, step: int | None) -> float | int:
    """The nearest value that the field can have."""
    return float(value) if step is None else max(step, step * round(value / step))


def _of_prior(scenario: Readable, path: str, prior: Distribution) -> Assumption:
    declared = declared_at(scenario, path)
    step = _step(scenario, path, declared)
    low, high = (feasible(value, step) for value in numbers_of(path, prior, np.array([TAIL, 1 - TAIL])))
    if low == high:
        raise SimtrialsError(f"5% and 95% of its prior are both {low:g}; widen the prior, or vary the field between two values")
    return Assumption(path, declared, (low, high), prior, step, from_prior=True)


def _of_values(scenario: Readable, path: str, values: tuple[Any, ...]) -> Assumption:
    declared = declared_at(scenario, path)
    if not 1 <= len(values) <= MOST_VALUES:
        raise SimtrialsError(f"needs a lowest and a highest value, or up to {MOST_VALUES} alternatives, got {len(values)} values")
    if len(set(map(repr, values))) < len(values):
        raise SimtrialsError("has the same value twice")
    if len(values) != 2 or not all(_is_number(value) for value in values):
        return Assumption(path, declared, values, None)
    low, high = values
    if low >= high:
        raise SimtrialsError(f"the lowest value comes first; write {high!r},{low!r}")
    step = _step(scenario, path, declared)
    if step is not None and (low != round(low) or high != round(high)):
        raise SimtrialsError(f"is a whole number, got {low:g} and {high:g}; write {round(low)},{round(high)}")
    uniform = Beta(mean=(low + high) / 2, sd=(high - low) / 12**0.5, minimum=float(low), maximum=float(high))
    return Assumption(path, declared, (low, high) if step is None else (int(low), int(high)), uniform, step)


def declared_at(scenario: Readable, path: str) -> Any:
    """The declared value of a field, defaults included; None where it has none."""
    place: Any = scenario.model_dump(mode="json")
    for part in path.split("."):
        if isinstance(place, list) and part.isdigit() and int(part) < len(place):
            place = place[int(part)]
        elif isinstance(place, dict) and part in place:
            place = place[part]
        else:
            return None
    return place


def _step(scenario: Readable, path: str, declared: Any) -> int | None:
    """What the values of a field are multiples of: blocks of patients, 1 for other whole numbers, None for any number."""
    if path in (PATIENTS, FURTHER):
        return feasible_numbers(scenario, None).step
    return 1 if isinstance(declared, int) and not isinstance(declared, bool) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _normal(path: str) -> str:
    """`eligibility[0].at_least` as `eligibility.0.at_least`."""
    return re.sub(r"\[(\d+)\]", r".\1", path)
