"""How ``simtrials quick`` asks a formula and tells what it says: the size for a power, or the power of a size."""

import functools
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import typer

from simtrials.core.errors import SimtrialsError

POWER = 0.8
"""Power that is aimed at when neither a number nor a power is given."""
OPTIONS = {
    "effect": "--difference",
    "mean_effect": "--difference",
    "slope_difference": "--difference",
    "sd": "--sd",
    "residual_sd": "--sd",
    "marker_sd": "--marker-sd",
    "correlation": "--correlation",
    "retention": "--retention",
    "n_covariates": "--covariates",
    "p_active": "--active",
    "p_control": "--control",
    "odds_ratio": "--odds-ratio",
    "hazard_ratio": "--hazard-ratio",
    "margin": "--margin",
    "icc": "--icc",
    "patients_per_cluster": "--cluster-size",
    "tau2": "--tau",
    "k": "--n",
    "n_active": "--per-arm",
    "test": "--test",
    "allocation_ratio": "--ratio",
}
"""Options that stand for the arguments of the formulas."""


@dataclass(frozen=True)
class Question:
    """Either a number whose power is wanted, or a power whose number is wanted; and the level of the test."""

    n: int | None
    power: float
    alpha: float
    one_sided: bool
    ratio: Fraction

    @property
    def level(self) -> dict[str, Any]:
        """The level as the formulas take it: two-sided, and which rejections count."""
        return {"alpha": 2 * self.alpha, "tails": "benefit"} if self.one_sided else {"alpha": self.alpha, "tails": "both"}

    @property
    def level_in_words(self) -> str:
        return f"{'one' if self.one_sided else 'two'}-sided alpha {self.alpha:g}"

    @property
    def arms_in_words(self) -> str:
        return f"{self.ratio.numerator}:{self.ratio.denominator} active to control"

    def arms(self, unit: str) -> tuple[int, int]:
        """The number that was given, divided as the ratio has it."""
        assert self.n is not None
        parts = self.ratio.numerator + self.ratio.denominator
        if self.n % parts:
            low = self.n // parts * parts
            near = f"{low:,} or {low + parts:,}" if low else f"{parts:,}"
            raise SimtrialsError(
                f"--n {self.n}: {unit} in all cannot be divided {self.ratio.numerator}:{self.ratio.denominator}; the nearest is {near}"
            )
        blocks = self.n // parts
        return blocks * self.ratio.numerator, blocks * self.ratio.denominator


@dataclass(frozen=True)
class Answer:
    """What is printed: the answer, further lines of answer, the formula with its source, what was assumed; and all of it as plain values."""

    words: str
    values: dict[str, Any]
    formula: str = ""
    assumed: str = ""
    more: tuple[str, ...] = field(default=())

    def by(self, formula: str, assumed: str, **values: Any) -> "Answer":
        return Answer(self.words, self.values | values, formula, assumed, self.more)

    def adding(self, line: str, **values: Any) -> "Answer":
        return Answer(self.words, self.values | values, self.formula, self.assumed, (*self.more, line))


def question(n: int | None, power: float | None, alpha: float, one_sided: bool = False, ratio: str = "1") -> Question:
    """The options that all commands share, checked."""
    if n is not None and power is not None:
        raise SimtrialsError("--n and --power exclude each other: --n asks for the power of a number, --power for the number that has a power")
    if n is not None and n < 1:
        raise SimtrialsError(f"--n must be at least 1, got {n}")
    if power is not None and not 0 < power < 1:
        raise SimtrialsError(f"--power must lie strictly between 0 and 1, such as 0.8, got {power:g}")
    if not 0 < alpha < (0.5 if one_sided else 1):
        raise SimtrialsError(f"--alpha must lie strictly between 0 and {0.5 if one_sided else 1}, such as 0.05, got {alpha:g}")
    return Question(n, POWER if power is None else power, alpha, one_sided, _ratio(ratio))


def _ratio(text: str) -> Fraction:
    try:
        found = Fraction(text.replace(":", "/").strip()).limit_denominator(100)
        given = float(Fraction(text.replace(":", "/").strip()))
    except (ValueError, ZeroDivisionError):
        raise SimtrialsError(f"--ratio must be active to control, such as 2, 2:1 or 2/3, got {text!r}") from None
    if found <= 0 or found.numerator > 100 or not math.isclose(found, given, rel_tol=1e-6):
        raise SimtrialsError(f"--ratio must be a ratio of whole numbers up to 100, such as 2, 2:1 or 2/3, got {text!r}")
    return found


def apart(option: str, value: float, null: float = 0.0) -> float:
    """The size of an effect, which must be there."""
    if not math.isfinite(value):
        raise SimtrialsError(f"{option} must be a finite number, got {value:g}")
    if value == null:
        raise SimtrialsError(f"{option} must differ from {null:g}: no number of patients shows what is not there")
    return abs(value) if null == 0 else value


def inside(option: str, value: float) -> float:
    """A share of patients that is neither 0 nor 1."""
    if not 0 < value < 1:
        raise SimtrialsError(f"{option} must lie strictly between 0 and 1, got {value:g}")
    return value


def two_arms(asked: Question, power_at: Callable[..., Any], size_at: Callable[..., Any], unit: str = "patients") -> Answer:
    """The answer of a pair of formulas for two arms."""
    if asked.n is not None:
        active, control = asked.arms(unit)
        return of_arms(asked, active, control, float(power_at(n_active=active, n_control=control)), unit)
    size = size_at(power=asked.power, allocation_ratio=float(asked.ratio))
    if not math.isfinite(size.n_total):
        raise SimtrialsError(f"no number of {unit} up to 1,000,000,000 reaches a power of {asked.power:g} under what was assumed")
    return of_arms(asked, int(size.n_active), int(size.n_control), float(size.power), unit)


def of_arms(asked: Question, active: int, control: int, power: float, unit: str = "patients") -> Answer:
    """`64 patients per arm, 128 in all; power there 80.1%`."""
    each = f"{active:,} {unit} per arm" if active == control else f"{active:,} {unit} on active, {control:,} on control"
    return _told(asked, f"{each}, {active + control:,} in all", power, {"n_active": active, "n_control": control, "n": active + control})


def one_number(asked: Question, power_at: Callable[[int], Any], size_at: Callable[..., Any], unit: str) -> Answer:
    """The answer of a pair of formulas for a number of pairs or of studies."""
    if asked.n is not None:
        return of_number(asked, asked.n, float(power_at(asked.n)), unit)
    size = size_at(power=asked.power)
    if not math.isfinite(size.n):
        raise SimtrialsError(f"no number of {unit} up to 1,000,000,000 reaches a power of {asked.power:g} under what was assumed")
    return of_number(asked, int(size.n), float(size.power), unit)


def of_number(asked: Question, n: int, power: float, unit: str) -> Answer:
    """`52 pairs; power there 80.8%`."""
    return _told(asked, f"{n:,} {unit}", power, {"n": n})


def _told(asked: Question, number: str, power: float, values: dict[str, Any]) -> Answer:
    if math.isnan(power):
        raise SimtrialsError(f"--n {asked.n} is too few: no degrees of freedom are left")
    words = f"{number}; power there {percent(power)}" if asked.n is None else f"{number}: power {percent(power)}"
    target = asked.power if asked.n is None else None
    return Answer(words, values | {"power": power, "target_power": target, "alpha": asked.alpha, "one_sided": asked.one_sided})


def percent(power: float) -> str:
    """One decimal; never 0 or 100 by rounding."""
    from simtrials.report.numbers import fixed

    if power >= 0.9995:
        return "above 99.9%"
    return "below 0.1%" if power < 0.0005 else f"{fixed(100 * power, 1)}%"


def asks(function: Callable[..., Answer]) -> Callable[..., None]:
    """A command that prints the answer of `function`, and tells mistakes by the names of its options."""

    @functools.wraps(function)
    def command(**options: Any) -> None:
        try:
            answer = function(**options)
        except SimtrialsError as error:
            raise SimtrialsError(by_options(str(error))) from None
        tell(function.__name__, answer, options["as_json"], options["quiet"])

    return command


def by_options(message: str) -> str:
    """A message of the formulas, with options for the arguments that it names."""
    at_the_start = re.sub(r"^\w+(?=[: ])", lambda word: OPTIONS.get(word[0], word[0]), message)
    return re.sub(r"(?<![-\w])p_(active|control)\b", r"--\1", at_the_start)


def tell(name: str, answer: Answer, as_json: bool, quiet: bool) -> None:
    from simtrials.report.paragraph import paragraph

    if as_json:
        typer.echo(json.dumps({"question": name, **answer.values, "formula": answer.formula, "assumed": answer.assumed}, indent=1))
        return
    typer.echo(answer.words)
    if not quiet:
        for line in (*answer.more, f"by the {answer.formula}", f"assumed: {answer.assumed}"):
            typer.echo(paragraph(line, "  "))
