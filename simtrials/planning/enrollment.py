"""Whom to enroll: for each value of a rule, what a trial with the same power takes, and what the same number of patients shows."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from scipy.special import ndtri

from simtrials.core.errors import DeclarationError, Problem, SimtrialsError
from simtrials.engine.enrollment import Enrollment, Rival, Shape
from simtrials.engine.files import read_trial
from simtrials.engine.run import processors
from simtrials.engine.scenario import Scenario
from simtrials.engine.workers import Progress, Workers
from simtrials.planning.enrollment_result import Choice, UnderShape, WhomToEnroll
from simtrials.planning.funnel import Funnel, funnel
from simtrials.planning.futures import expected_cost, takes_of
from simtrials.planning.points import Points, Share
from simtrials.planning.sample_size import PATIENTS, feasible_numbers
from simtrials.planning.search import Found, Search
from simtrials.planning.table_power import teeth_of
from simtrials.trial.eligibility import Limits
from simtrials.trial.prepare import build

AS_DECLARED = "as declared"
"""What progress is told about: the question as a whole."""
CUTS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
"""Lowest values that are looked at where none are declared."""


def whom_to_enroll(
    scenario: Scenario | str | Path,
    over: Mapping[str, Sequence[Any]] | None = None,
    *,
    analysis: str | None = None,
    power: float | None = None,
    budget: float | None = None,
    n_replicates: int = 4_096,
    precision: float = 0.02,
    trials: int = 16_384,
    most: int = 5_000,
    n_jobs: int | None = None,
    out: str | Path = "results",
    progress: Progress | None = None,
) -> WhomToEnroll:
    """What a trial takes for the same power, and shows with the same number of patients, for each value of a rule and each shape of the effect.

    Parameters
    ----------
    scenario : of a trial, or the path of its file; its [enrollment] says what is asked, and the other arguments replace parts of it
    over : one field and its values, such as {"eligibility.0.at_least": [0.0, 1.0, 2.0]}
    analysis : the one that must reach the power
    power : that the number of patients must reach
    budget : money, for the most power that it buys
    n_replicates : simulated trials at the declared number of patients, for each value and shape
    precision : half-width of the 95% interval of each number of patients, relative to it; trials : most of them simulated for it
    most : largest number of patients that is looked at
    n_jobs, out : as in `run`; progress : called with the choices done and the choices there are

    Returns
    -------
    WhomToEnroll; numbers of patients with their 95% interval from simulation; screened, months and cost with the range of 95% of futures, which
    holds the sampling of the survey (bootstrap by cluster, where declared), the search, and the luck of recruiting

    Raises
    ------
    DeclarationError
        When a value, shape or design cannot be simulated; nothing has been simulated then.
    """
    started = time.perf_counter()
    declared = read_trial(scenario) if isinstance(scenario, (str, Path)) else scenario
    asked, left_out = _asked(declared, over, analysis, power, budget)
    path = next(iter(asked.over))
    _check(declared, asked, path, n_replicates, precision, most)
    plan = _plan(declared, asked, path)
    workers = n_jobs or processors()
    count = _Count(progress, sum(len(values) + len(rivals) for _, values, rivals in plan.values()), workers == 1)
    points = Points.of(declared, out, Workers(1, "serial", None, count.told))
    search = _Searcher(declared, points, asked, n_replicates, precision, trials, most)
    search.try_all(plan)
    choices = list(_side_by_side(search.value, [pair for _, values, _ in plan.values() for pair in values], workers, count))
    designs = list(_side_by_side(search.design, [rival for _, _, rivals in plan.values() for rival in rivals], workers, count))
    shapes = []
    for name, (label, values, rivals) in plan.items():
        shapes.append(UnderShape(name, label, tuple(choices[: len(values)]), tuple(designs[: len(rivals)])))
        del choices[: len(values)], designs[: len(rivals)]
    analyses = tuple(shapes[0].choices[0].shares)
    return WhomToEnroll(declared, asked, path, tuple(shapes), analyses, search.spent, time.perf_counter() - started, left_out)


@dataclass(slots=True)
class _Count:
    """Tells of choices done, not of trials: their number is not known before a search ends."""

    progress: Progress | None
    total: int
    serial: bool
    done: int = 0
    busy: bool = False
    """whether anything had to be simulated"""

    def told(self, *_: object) -> None:
        """Trials go on; who calls may be a thread, which must not be interrupted."""
        self.busy = True
        if self.serial and self.progress:
            self.progress(AS_DECLARED, self.done, self.total)

    def after(self) -> None:
        """One more is done."""
        self.done += 1
        if self.busy and not self.serial and self.progress:
            self.progress(AS_DECLARED, self.done, self.total)


def _side_by_side(work: Callable[..., Choice], tasks: Sequence[tuple[Any, ...]], n_jobs: int, count: _Count) -> Iterator[Choice]:
    """Choices in the order of their tasks; none depends on another, so that any number of workers finds the same."""
    if n_jobs == 1:
        found: Iterable[Choice] = (work(*task) for task in tasks)
    else:
        from joblib import Parallel, delayed

        found = Parallel(return_as="generator", backend="threading", n_jobs=n_jobs)(delayed(work)(*task) for task in tasks)
    for choice in found:
        count.after()
        yield choice


Values = list[tuple[Any, dict[str, Any]]]
Rivals = list[tuple[str, dict[str, Any], str, tuple[str, ...]]]


def _asked(
    scenario: Scenario, over: Mapping[str, Sequence[Any]] | None, analysis: str | None, power: float | None, budget: float | None
) -> tuple[Enrollment, tuple[str, ...]]:
    """What is asked: as declared, with what was given in its place; and the designs that are left out, for they change another analysis."""
    base = scenario.enrollment
    given = {"analysis": analysis, "power": power, "budget": budget, "over": {key: tuple(values) for key, values in over.items()} if over else None}
    new = {key: value for key, value in given.items() if value is not None}
    if base is None:
        new |= {} if over else {"over": {_lowest(scenario): CUTS}}
        if analysis is None:
            raise SimtrialsError(f"name the analysis that must reach the power, with --analysis; the scenario has {', '.join(scenario.analyses)}")
        asked = Enrollment.model_validate(new)
    else:
        asked = base.model_copy(update=new)
    left_out: tuple[str, ...] = ()
    if base is not None and asked.analysis != base.analysis:
        about_other = {name: one for name, one in asked.designs.items() if _is_about(one, base.analysis) and not _is_about(one, asked.analysis)}
        left_out = tuple(_label(name, one) for name, one in about_other.items())
        asked = asked.model_copy(update={"designs": {name: one for name, one in asked.designs.items() if name not in about_other}})
    if len(asked.over) != 1:
        raise SimtrialsError(f"name one field to go over, got {len(asked.over)}; for instance eligibility.0.at_least=0,1,2,3")
    if asked.analysis not in scenario.analyses:
        raise SimtrialsError(f"no analysis called {asked.analysis!r}; the scenario has {', '.join(scenario.analyses)}")
    values = next(iter(asked.over.values()))
    if len(values) < 2 or len(set(map(repr, values))) < len(values):
        raise SimtrialsError(f"{next(iter(asked.over))} needs at least two different values")
    if not 0 < asked.power < 1:
        raise SimtrialsError(f"power must lie between 0 and 1, got {asked.power:g}")
    if asked.budget is not None and (scenario.costs is None or not asked.budget > 0):
        raise SimtrialsError("a budget needs prices, and must be above 0: declare [costs] with per_patient, per_screen and others")
    if all(isinstance(value, int | float) for value in values):
        asked = asked.model_copy(update={"over": {path: tuple(sorted(values)) for path in asked.over}})
    return asked, left_out


def _is_about(rival: Rival, analysis: str) -> bool:
    """Whether a design, which names no analysis of its own, redefines this one, such as in a subgroup."""
    return rival.analysis is None and any(f"{path}.".startswith(f"analyses.{analysis}.") for path in rival.set)


def _check(scenario: Scenario, asked: Enrollment, path: str, n_replicates: int, precision: float, most: int) -> None:
    """Raises SimtrialsError where a number of the search makes no sense, or the field is the number that is searched for."""
    if path == PATIENTS:
        raise SimtrialsError(f"{path} is what is searched for; go over a rule or the screening, such as eligibility.0.at_least=0,1,2,3")
    if not 0 < precision < 1:
        raise SimtrialsError(f"precision must lie between 0 and 1, got {precision:g}")
    nominal = scenario.analyses[asked.analysis].nominal
    if asked.power <= nominal:
        raise SimtrialsError(f"power must be above {nominal:g}, which is reached without any effect, got {asked.power:g}")
    if n_replicates < 2 or most < 4:
        raise SimtrialsError(f"at least 2 replicates and a largest number of at least 4 patients are needed, got {n_replicates} and {most}")


def _lowest(scenario: Scenario) -> str:
    """The path of the lowest value of a biomarker that is admitted."""
    for i, rule in enumerate(scenario.eligibility):
        if isinstance(rule, Limits) and rule.variable in scenario.assays and rule.at_least is not None:
            return f"eligibility.{i}.at_least"
    raise SimtrialsError("no rule admits a biomarker from a lowest value on; name the field to go over, such as eligibility.0.at_least=0,1,2,3")


def _plan(scenario: Scenario, asked: Enrollment, path: str) -> dict[str, tuple[str, Values, Rivals]]:
    """What is looked at under each shape: label, values with what they set, designs with what they set, their analysis and others to show."""
    shapes = asked.shapes or {"declared": Shape(label="as declared", set={})}
    plan = {}
    for name, shape in shapes.items():
        values: Values = [(value, {**shape.set, path: value}) for value in asked.over[path]]
        rivals: Rivals = [
            (_label(key, one), {**shape.set, **one.set}, one.analysis or asked.analysis, one.also) for key, one in asked.designs.items()
        ]
        plan[name] = (shape.label or name.replace("_", " "), values, rivals)
    return plan


def _label(name: str, rival: Rival) -> str:
    return rival.label or name.replace("_", " ")


@dataclass(slots=True)
class _Searcher:
    """Works out choices; those of the same scenario after each other, others in any order."""

    declared: Scenario
    points: Points
    asked: Enrollment
    n_replicates: int
    precision: float
    trials: int
    most: int
    _spent: list[int] = field(default_factory=list)
    _locks: dict[str, Lock] = field(default_factory=lambda: defaultdict(Lock))
    _funnels: dict[tuple[str, str], Funnel] = field(default_factory=dict)
    _found: dict[tuple[str, str], Found] = field(default_factory=dict)

    @property
    def spent(self) -> int:
        """Trials that the answers stand on."""
        return sum(self._spent)

    def try_all(self, plan: Mapping[str, tuple[str, Values, Rivals]]) -> None:
        """Every value, shape and design is made ready and screened before anything is simulated.

        Raises
        ------
        DeclarationError
            With every fault.
        """
        problems: list[Problem] = []
        for shape in self.asked.shapes.values() or [Shape(set={})]:
            for changes in (shape.set, *({**shape.set, **one.set} for one in self.asked.designs.values())):
                try:
                    problems += self._means(changes)
                except DeclarationError as error:
                    problems += error.problems
        if problems:
            raise DeclarationError(list(dict.fromkeys(problems)), self.declared.name)
        for _, values, rivals in plan.values():
            wanted = [(changes, self.asked.analysis) for _, changes in values]
            for changes, analysis in [*wanted, *((changes, analysis) for _, changes, analysis, _ in rivals)]:
                try:
                    point = self.points.at(changes)
                    _ = point.store.n_blocks or point.simulation
                    self._screened(changes, analysis)
                except DeclarationError as error:
                    problems += error.problems
        if problems:
            raise DeclarationError(list(dict.fromkeys(problems)), self.declared.name)

    def _means(self, changes: Mapping[str, Any]) -> list[Problem]:
        """Effects whose size is a mean over those enrolled: with every value of a rule the drug itself would be another one."""
        point, found = self.points.at(changes), []
        for name, endpoint in _trial(point.scenario).endpoints.items():
            for arm, effect in endpoint.effects.items():
                if not (effect.needs_biomarker and effect.size_name.startswith("mean_")):
                    continue
                trial = build(_trial(point.scenario), self.points.tables, point.scenario.seed, _trial(point.scenario).expressions)
                size = next(one.size for one in trial.effects[name] if one.arm == trial.trial.design.arms.index(arm))
                week = effect.at_week if effect.at_week is not None else endpoint.visits[-1]
                words = "is a mean over those enrolled, so that every value of the rule would change the drug, not only who gets it; "
                words += f"state the size where the shape is 1, which is now points = {size:.4g} with at_week = {week:g}"
                found.append(Problem(f"endpoints.{name}.effects.{arm}.{effect.size_name}", words))
        return found

    def _screened(self, changes: Mapping[str, Any], analysis: str) -> Funnel:
        point = self.points.at(changes)
        key = (point.known, analysis)
        if key not in self._funnels:
            here = _trial(point.scenario)
            of = here.analyses[analysis]
            self._funnels[key] = funnel(here, self.points.tables, of.endpoint, self.asked.survey, of.arm, of.week)
        return self._funnels[key]

    def value(self, value: Any, changes: Mapping[str, Any]) -> Choice:
        """One value of the rule: power at the declared number, what the wanted power takes, what the budget buys."""
        with self._locks[self.points.at(changes).known]:
            return self._value(value, changes)

    def _value(self, value: Any, changes: Mapping[str, Any]) -> Choice:
        point = self.points.at(changes)
        names = self.declared.primary or tuple(self.declared.analyses)
        names = tuple(dict.fromkeys([self.asked.analysis, *names])) if self.asked.analysis not in names else names
        shares = {name: point.share([name], self.n_replicates) for name in names}
        self._spent.append(self.n_replicates)
        made, found = self._search(changes, self.asked.analysis, shares[self.asked.analysis])
        takes = takes_of(_trial(self.points.at(changes).scenario), made, found)
        affordable, bought, capped = self._bought(changes, made)
        return Choice(_plain(value), value, self.asked.analysis, made, shares, found, takes, affordable, bought, capped)

    def design(self, label: str, changes: Mapping[str, Any], analysis: str, also: tuple[str, ...]) -> Choice:
        """One design: what the wanted power takes, and the power of other analyses there."""
        with self._locks[self.points.at(changes).known]:
            return self._design(label, changes, analysis, also)

    def _design(self, label: str, changes: Mapping[str, Any], analysis: str, also: tuple[str, ...]) -> Choice:
        made, found = self._search(changes, analysis)
        shares = {}
        if found.n is not None:
            point = self.points.at({**changes, PATIENTS: found.n})
            shares = {name: point.share([name], self.n_replicates) for name in (analysis, *also)}
            self._spent.append(self.n_replicates)
        return Choice(label, None, analysis, made, shares, found, takes_of(_trial(self.points.at(changes).scenario), made, found))

    def _search(self, changes: Mapping[str, Any], analysis: str, seen: Share | None = None) -> tuple[Funnel, Found]:
        """Screening and the number that reaches the power; a design that is a value of the rule as well has the same answer."""
        key = (self.points.at(changes).known, analysis)
        if key not in self._found:
            self._found[key] = self._searched(changes, analysis, seen)
        return self._screened(changes, analysis), self._found[key]

    def _searched(self, changes: Mapping[str, Any], analysis: str, seen: Share | None) -> Found:
        here = _trial(self.points.at(changes).scenario)
        numbers = feasible_numbers(here, self.most)

        def simulate(n: int, of: int) -> Share:
            return self.points.at({**changes, numbers.path: n}, independent=n).share([analysis], of)

        nominal = here.analyses[analysis].nominal
        teeth = teeth_of(Points(here, self.points.out, self.points.workers, self.points.tables), [analysis], numbers.path)
        search = Search(simulate, self.asked.power, numbers.step, numbers.least, numbers.most, nominal, self.precision, self.trials, teeth=teeth)
        start = _first_guess(here.design.n_patients, seen, self.asked.power, nominal)
        found = search.run(min(max(start, numbers.least), numbers.most))
        self._spent.append(found.replicates)
        return found

    def _bought(self, changes: Mapping[str, Any], made: Funnel) -> tuple[int | None, Share | None, bool]:
        """Patients that the budget pays for, power with as many, and whether it would pay for more than the most that is looked at."""
        if self.asked.budget is None:
            return None, None, False
        here = _trial(self.points.at(changes).scenario)
        numbers = feasible_numbers(here, self.most)

        n = _largest(lambda n: expected_cost(here, made, n), self.asked.budget, numbers.step, numbers.least, numbers.most)
        if n is None:
            return None, None, False
        self._spent.append(self.n_replicates)
        capped = n + numbers.step > numbers.most and expected_cost(here, made, n + numbers.step) <= self.asked.budget
        return n, self.points.at({**changes, numbers.path: n}).share([self.asked.analysis], self.n_replicates), capped


def _first_guess(n: int, seen: Share | None, power: float, nominal: float) -> int:
    """Where a search begins, by the power that n patients have: on the line in sqrt(n) through it and no effect; n where that tells nothing."""
    if seen is None:
        return n
    without, here = float(ndtri(nominal)), float(ndtri((seen.shown + 0.5) / (seen.of + 1)))
    return round(n * min(((float(ndtri(power)) - without) / (here - without)) ** 2, 64.0)) if here > without + 0.2 else n


def _trial(scenario: Any) -> Scenario:
    assert isinstance(scenario, Scenario)
    return scenario


def _largest(cost: Callable[[int], float], budget: float, step: int, least: int, most: int) -> int | None:
    """The largest feasible number that costs at most the budget; None where not even the least does."""
    low, high = -(-least // step), most // step
    if cost(low * step) > budget:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cost(middle * step) <= budget else (low, middle - 1)
    return low * step


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
