"""Work that is done once per trial: the population read, the assays calibrated, the effects scaled to the enrolled, the covariances factored."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category, Column, ExpressionError, parse
from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams, uniforms
from simtrials.trial.assays import Assay
from simtrials.trial.assays.base import Laboratory
from simtrials.trial.departures import BaselineInflation, RaterNoise, Ready, Sites
from simtrials.trial.effects import Effect
from simtrials.trial.eligibility import EligibilityRule, Limits
from simtrials.trial.eligibility.base import judged
from simtrials.trial.endpoints import Course, Endpoint
from simtrials.trial.endpoints.base import Profile
from simtrials.trial.following import Plan
from simtrials.trial.latent import LatentFactor, factor
from simtrials.trial.people import Luck, People, Provider
from simtrials.trial.populations.base import Candidates, providers_of
from simtrials.trial.trial import Trial

SAMPLE = 4096
"""Candidates per replicate of the sample that scales effects: 256 x 4,096, about a million."""
FEWEST = 100
"""A rule that fewer of this million pass is taken for a mistake."""


@dataclass(frozen=True, slots=True)
class SizedEffect:
    """An effect with its size in the endpoint's unit and its onset at the visits (V,)."""

    arm: int
    effect: Effect
    size: float
    onset: FloatArray
    path: str


@dataclass(frozen=True, slots=True)
class PreparedTrial:
    """A trial ready to be simulated: plain arrays and closures, nothing left to decide."""

    trial: Trial
    seed: int
    candidates: Candidates | None
    laboratories: Mapping[str, Laboratory]
    courses: Mapping[str, Course]
    effects: Mapping[str, tuple[SizedEffect, ...]]
    factor: LatentFactor
    providers: Mapping[str, Provider]
    levels: Mapping[str, tuple[str, ...] | None]
    strata: tuple[tuple[str, int], ...]
    departures: tuple[Ready, ...]
    columns: tuple[str, ...]
    pass_rate: float
    notes: tuple[str, ...]

    def draw(self, streams: Streams, n_replicates: int, n_candidates: int) -> People:
        """The next candidates of a block."""
        luck: Luck = {}
        if self.candidates is not None:
            luck |= self.candidates.draw(streams, n_replicates, n_candidates)
        for laboratory in self.laboratories.values():
            luck |= laboratory.draw(streams, n_replicates, n_candidates)
        for course in self.courses.values():
            luck |= course.draw_screening(streams, n_replicates, n_candidates)
        for rule in self.trial.eligibility:
            luck |= rule.draw(streams, n_replicates, n_candidates)
        for name, departure in self.trial.departures.items():
            path = f"departures.{name}"
            if isinstance(departure, BaselineInflation):
                luck[path] = uniforms(streams[path], (n_replicates, n_candidates))
            elif isinstance(departure, RaterNoise) and _reads_at_screening(self.trial.endpoints[departure.endpoint]):
                luck[f"{path}.screening"] = departure.screening_luck(path, streams, n_replicates, n_candidates)
        return People(luck, self.providers)

    @property
    def plan(self) -> Plan:
        """How patients are followed."""
        weeks = sorted({week for endpoint in self.trial.endpoints.values() for week in endpoint.visits})
        return Plan(self.trial, self.courses, self.departures, tuple(weeks))

    @property
    def baselines_in_strata(self) -> tuple[str, ...]:
        """Endpoints whose baseline the allocation looks at."""
        named = {name for text, _ in self.strata for name in parse(text).names}
        return tuple(name for name in self.trial.endpoints if f"{name}.baseline" in named)

    @property
    def sites(self) -> tuple[str, Sites] | None:
        """Name and declaration of the sites, if there are any."""
        return _sites(self.trial)


def used_names(trial: Trial, extra: Iterable[str]) -> frozenset[str]:
    """Columns that the trial's rules, strata and the given expressions look at."""
    names = {rule.variable for rule in trial.eligibility if isinstance(rule, Limits)}
    for text in (*trial.strata_expressions, *extra):
        names |= parse(text).names
    return frozenset(names | {assay.column for assay in trial.assays.values()})


def build(trial: Trial, tables: Mapping[str, Table], seed: int, expressions: Iterable[str] = (), everything: bool = False) -> PreparedTrial:
    """Make a trial ready but for its departures; `expressions` are those of the analyses, so that the columns they need are kept.

    Raises
    ------
    DeclarationError
        With every fault that shows only once data are read: a missing column, a rule that nobody passes, covariances that cannot be.
    """
    streams = Streams(seed, Purpose.PREPARE, 0)
    texts = tuple(dict.fromkeys(expressions))
    candidates = trial.population.prepare(tables, used_names(trial, texts)) if trial.population else None
    laboratories = _laboratories(trial.assays, candidates, streams)
    levels = _levels(trial, candidates)
    unknown = [name for name in trial.population.describe if name not in levels] if trial.population else []
    if unknown:
        raise DeclarationError([Problem("population.describe", f"no column called {unknown[0]!r}{did_you_mean(unknown[0], levels)}")])
    names = _check_names(trial, levels, texts)
    providers = _providers(trial, candidates, laboratories)
    profile = Profile(trial.design.arms, {}, {}, _admitted(trial.eligibility))
    # screening readings of endpoints depend only on the rules, so they can be made before the enrolled are known
    first_courses = {name: endpoint.prepare(name, _blank(profile, trial)) for name, endpoint in trial.endpoints.items()}
    read = [name for name, endpoint in trial.endpoints.items() if _reads_at_screening(endpoint)]
    providers |= {f"{name}.screening": _reading(trial, name, first_courses[name]) for name in read}
    providers |= {f"{name}.baseline": partial(_from_luck, f"{name}.baseline") for name, endpoint in trial.endpoints.items() if endpoint.has_baseline}
    providers |= {judged(name): _judge(name, laboratories) for name in _rule_variables(trial.eligibility)}
    levels |= {f"{name}.screening": None for name in read}
    sites = _sites(trial)
    if sites is not None:
        names_of_sites = tuple(f"site {number + 1}" for number in range(sites[1].number))
        levels["site"] = names_of_sites
        providers["site"] = partial(_site, names_of_sites)
    draft = PreparedTrial(trial, seed, candidates, laboratories, first_courses, {}, LatentFactor({}, {}), providers, levels, (), (), names, 1.0, ())
    enrolled, pass_rate = _enrolled_sample(draft, streams)
    profile = _profile(profile, laboratories, enrolled)
    latent, problems = factor(trial.endpoints, trial.correlations, profile.ln_usual_variance, sites[1].icc if sites else 0.0)
    sized, more = _sized_effects(trial, laboratories, enrolled, streams)
    strata, worse = _strata(trial, levels, draft, streams)
    if latent is None or problems or more or worse:
        raise DeclarationError([*problems, *more, *worse])
    courses = {name: endpoint.prepare(name, profile) for name, endpoint in trial.endpoints.items()}
    columns = tuple(levels) if everything else names
    notes = candidates.notes if candidates is not None else ()
    return PreparedTrial(trial, seed, candidates, laboratories, courses, sized, latent, providers, levels, strata, (), columns, pass_rate, notes)


def _laboratories(assays: Mapping[str, Assay], candidates: Candidates | None, streams: Streams) -> dict[str, Laboratory]:
    made: dict[str, Laboratory] = {}
    problems: list[Problem] = []
    for name, assay in assays.items():
        assert candidates is not None
        try:
            made[name] = assay.prepare(name, candidates, streams)
        except DeclarationError as error:
            problems += error.problems
    if problems:
        raise DeclarationError(problems)
    return made


def _levels(trial: Trial, candidates: Candidates | None) -> dict[str, tuple[str, ...] | None]:
    """Every column known at randomisation, with the levels of categories."""
    levels = dict(candidates.levels) if candidates is not None else {}
    return {**levels, **dict.fromkeys(trial.assays)}


def _reads_at_screening(endpoint: Endpoint) -> bool:
    return getattr(endpoint, "screening", None) is not None


def _rule_variables(rules: Iterable[EligibilityRule]) -> set[str]:
    return {rule.variable for rule in rules if isinstance(rule, Limits)}


def _check_names(trial: Trial, levels: Mapping[str, tuple[str, ...] | None], texts: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that strata and analyses use; rules that look at something unknown, or at a category as a number, are problems."""
    known = [*levels, *(f"{name}.screening" for name, endpoint in trial.endpoints.items() if _reads_at_screening(endpoint))]
    problems = []
    for i, rule in enumerate(trial.eligibility):
        if not isinstance(rule, Limits):
            continue
        place, category = f"eligibility[{i}]", levels.get(rule.variable)
        if rule.variable not in known:
            problems.append(
                Problem(f"{place}.variable", f"nothing called {rule.variable!r} is measured at screening{did_you_mean(rule.variable, known)}")
            )
        elif rule.one_of is None and category is not None:
            problems.append(Problem(place, f"{rule.variable!r} is a category; write one_of with some of {', '.join(category)}"))
        elif rule.one_of is not None and category is None:
            problems.append(Problem(place, f"{rule.variable!r} is a number; write at_least or at_most"))
        elif rule.one_of is not None and category is not None:
            problems += [
                Problem(f"{place}.one_of", f"no level {level!r}{did_you_mean(level, category)}") for level in rule.one_of if level not in category
            ]
    known += [f"{name}.baseline" for name, endpoint in trial.endpoints.items() if endpoint.has_baseline]
    known += ["site"] if any(isinstance(departure, Sites) for departure in trial.departures.values()) else []
    for i, text in enumerate(trial.strata_expressions):
        problems += [
            Problem(f"design.allocation.strata[{i}]", f"nothing called {name!r} is known{did_you_mean(name, known)}")
            for name in sorted(parse(text).names - set(known))
        ]
    if problems:
        raise DeclarationError(problems)
    used = {name for text in (*trial.strata_expressions, *texts) for name in parse(text).names}
    return tuple(name for name in known if name in used and not name.endswith(".baseline"))


def _providers(trial: Trial, candidates: Candidates | None, laboratories: Mapping[str, Laboratory]) -> dict[str, Provider]:
    providers: dict[str, Provider] = dict(providers_of(candidates)) if candidates is not None else {}
    for name, laboratory in laboratories.items():
        providers[name] = laboratory.reported
        providers[f"usual:{name}"] = laboratory.usual
    return providers


def _sites(trial: Trial) -> tuple[str, Sites] | None:
    return next(((name, departure) for name, departure in trial.departures.items() if isinstance(departure, Sites)), None)


def _from_luck(name: str, people: People) -> AnyArray:
    """What was worked out after enrolment and put into the patients' luck."""
    return people.luck[name]


def _site(levels: tuple[str, ...], people: People) -> Category:
    """The site is drawn after enrolment and put into the patients' luck."""
    return Category(people.luck["site"], levels)


def _reading(trial: Trial, name: str, course: Course) -> Provider:
    """The screening reading as it is recorded, with the noise of raters, and raised by those who want to enrol, where that is declared."""
    noises = [(f"departures.{key}", d) for key, d in trial.departures.items() if isinstance(d, RaterNoise) and d.endpoint == name]
    inflations = [(f"departures.{key}", d) for key, d in trial.departures.items() if isinstance(d, BaselineInflation) and d.endpoint == name]
    scale = trial.endpoints[name].symptom_scale

    def read(people: People) -> FloatArray:
        added = sum(noise.sd * people.luck[f"{path}.screening"] for path, noise in noises)
        reading = course.screening(people, added)
        for path, inflation in inflations:
            assert scale is not None
            worse = 1.0 if scale.improves == "down" else -1.0
            reading = inflation.inflated(reading, people.luck[path], worse, scale.minimum, scale.maximum)
        return reading

    return read


def _judge(name: str, laboratories: Mapping[str, Laboratory]) -> Provider:
    if name in laboratories:
        laboratory = laboratories[name]
        combine = np.logical_or if laboratory.rule == "any" else np.logical_and
        return lambda people: (laboratory.judged(people), combine)
    return lambda people: ([people[name]], np.logical_and)


def _admitted(rules: Iterable[EligibilityRule]) -> dict[str, Callable[[FloatArray], BoolArray]]:
    """For each endpoint with a rule on its screening score: which scores are admitted."""
    by_endpoint: dict[str, list[Limits]] = {}
    for rule in rules:
        if isinstance(rule, Limits) and rule.variable.endswith(".screening"):
            by_endpoint.setdefault(rule.variable.removesuffix(".screening"), []).append(rule)
    return {name: _all_within(limits) for name, limits in by_endpoint.items()}


def _all_within(rules: list[Limits]) -> Callable[[FloatArray], BoolArray]:
    def within(score: FloatArray) -> BoolArray:
        low = max((rule.at_least for rule in rules if rule.at_least is not None), default=-np.inf)
        high = min((rule.at_most for rule in rules if rule.at_most is not None), default=np.inf)
        return (score >= low) & (score <= high)

    return within


def _blank(profile: Profile, trial: Trial) -> Profile:
    zero = dict.fromkeys(trial.assays, 0.0)
    return Profile(profile.arms, zero, zero, profile.admitted)


def _enrolled_sample(draft: PreparedTrial, streams: Streams) -> tuple[People, float]:
    """About a million candidates, those who pass, as one long replicate, and the share that passes."""
    rules = draft.trial.eligibility
    if not rules and not draft.laboratories:
        return People({}, draft.providers), 1.0
    people = draft.draw(streams, BLOCK_SIZE, SAMPLE)
    keep = np.ones((BLOCK_SIZE, SAMPLE), dtype=bool)
    problems = []
    for i, rule in enumerate(rules):
        met = rule.met(people)
        if met.sum() < FEWEST or (keep & met).sum() < FEWEST:
            alone, together = met.mean(), (keep & met).mean()
            share = f"{100 * together:.2g}% of candidates" + ("" if i == 0 else f" pass the rules so far ({100 * alone:.2g}% this one)")
            problems.append(Problem(f"eligibility[{i}]", f"(almost) nobody can be enrolled: {share}{' pass' if i == 0 else ''}; widen the rule"))
            break
        keep &= met
    if problems:
        raise DeclarationError(problems)
    return people.take(lambda values: values.T[keep.T][np.newaxis]), float(keep.mean())


def _profile(profile: Profile, laboratories: Mapping[str, Laboratory], enrolled: People) -> Profile:
    logs = {name: np.log(laboratory.usual(enrolled)) for name, laboratory in laboratories.items()}
    return Profile(profile.arms, {n: float(v.mean()) for n, v in logs.items()}, {n: float(v.var()) for n, v in logs.items()}, profile.admitted)


def _sized_effects(
    trial: Trial, laboratories: Mapping[str, Laboratory], enrolled: People, streams: Streams
) -> tuple[dict[str, tuple[SizedEffect, ...]], list[Problem]]:
    """Every effect in its endpoint's unit, where its shape is 1."""
    sized: dict[str, tuple[SizedEffect, ...]] = {}
    problems: list[Problem] = []
    for name, endpoint in trial.endpoints.items():
        ready = []
        for arm, effect in endpoint.effects.items():
            path = f"effects.{name}.{arm}"
            mean = _mean_shape(effect, laboratories, enrolled, path, streams)
            if effect.size_name.startswith("mean_") and abs(mean) < 0.02:
                place = f"endpoints.{name}.effects.{arm}.{effect.size_name}"
                problems.append(
                    Problem(place, f"benefit and harm nearly cancel over the enrolled (mean shape {mean:.3f}); give points or smd instead")
                )
                continue
            onset = np.array([effect.onset(week, endpoint.visits[-1]) for week in endpoint.visits])
            ready.append(SizedEffect(trial.design.arms.index(arm), effect, endpoint.size(effect, mean), onset, path))
        sized[name] = tuple(ready)
    return sized, problems


def _mean_shape(effect: Effect, laboratories: Mapping[str, Laboratory], enrolled: People, path: str, streams: Streams) -> float:
    """Mean of the shape over the enrolled."""
    if not effect.needs_biomarker:
        return 1.0
    marker = marker_of(effect, laboratories, enrolled)
    luck = effect.draw(path, streams, *marker.shape)
    return float(effect.shape(marker, luck.get(path)).mean())


def marker_of(effect: Effect, laboratories: Mapping[str, Laboratory], people: People) -> FloatArray:
    """(R, P) the biomarker value that the effect acts on."""
    name = effect.biomarker or next(iter(laboratories))
    value = people[f"usual:{name}" if effect.acts_on == "usual" else name]
    assert isinstance(value, np.ndarray)
    return value


def _strata(
    trial: Trial, levels: Mapping[str, tuple[str, ...] | None], draft: PreparedTrial, streams: Streams
) -> tuple[tuple[tuple[str, int], ...], list[Problem]]:
    """Each stratum expression with its number of levels."""
    few = draft.draw(streams, 1, 64) if trial.strata_expressions else None
    if few is not None:
        few.luck["site"] = np.zeros((1, 64), dtype=np.int16)
        few.luck |= {f"{name}.baseline": np.zeros((1, 64)) for name, endpoint in trial.endpoints.items() if endpoint.has_baseline}
    strata, problems = [], []
    for i, text in enumerate(trial.strata_expressions):
        assert few is not None
        try:
            strata.append((text, n_levels(parse(text).evaluate(few), text)))
        except ExpressionError as error:
            problems.append(Problem(f"design.allocation.strata[{i}]", str(error)))
    return tuple(strata), problems


def n_levels(value: Column | BoolArray, text: str) -> int:
    """Number of levels of a stratum; a number is no stratum."""
    if isinstance(value, Category):
        return len(value.levels)
    if value.dtype == np.bool_:
        return 2
    raise ExpressionError(f"{text!r} is a number, not a stratum; make it a condition, as in '{text} >= 3'")


def stratum_codes(strata: tuple[tuple[str, int], ...], people: Mapping[str, Column]) -> AnyArray:
    """(R, P) one whole number per combination of the levels."""
    code: AnyArray | None = None
    for text, size in strata:
        value = parse(text).evaluate(people)
        level = value.codes if isinstance(value, Category) else value
        code = level.astype(np.int16) if code is None else (code * np.int16(size) + level).astype(np.int16)
    assert code is not None
    return code
