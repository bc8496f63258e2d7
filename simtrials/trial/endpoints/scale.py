"""An integer, bounded symptom scale over scheduled visits.

Declared on the latent scale (before rounding and bounds) among the enrolled; change, response and remission are all read off the same
whole numbers, so their powers are consistent with each other.
"""

import itertools
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtr

from simtrials.core.arrays import ArmArray, BoolArray, FloatArray, patient_major
from simtrials.core.check import Component, Finite, Many, NonNegative, OneOrOther, OpenProbability, Positive, PositiveWeeks, fault
from simtrials.core.data import Improves, Measurements, Scale
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.kernels import kernel
from simtrials.core.rng import Streams, normals
from simtrials.trial.correlations import CORRELATIONS, Unstructured, VisitCorrelation
from simtrials.trial.effects import Effect
from simtrials.trial.endpoints.base import ENDPOINTS, Benefit, Course, Endpoint, Latent, Profile, visits_first
from simtrials.trial.endpoints.scales import SCALES
from simtrials.trial.people import Luck, People


class OwnScale(Component):
    """A symptom scale that is not in the table of known ones."""

    name: str = Field(description="name of the scale")
    minimum: Finite = Field(description="lowest possible score, points")
    maximum: Finite = Field(description="highest possible score, points")
    remission_cut: Finite | None = Field(
        default=None, description="remission is a score at or below it (at or above it for a scale that rises), points"
    )
    improves: Improves = Field(default="down", description="direction that is better for the patient")
    domain: str = Field(default="severity", description="what it measures, in a word")

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        whole = (self.minimum, self.maximum, self.minimum if self.remission_cut is None else self.remission_cut)
        if any(value != round(value) for value in whole):
            raise fault(
                f"a symptom scale has whole numbers; minimum, maximum and remission_cut must be whole, got {', '.join(f'{v:g}' for v in whole)}"
            )
        if self.minimum >= self.maximum:
            raise fault(f"minimum must be below maximum, got {self.minimum:g} and {self.maximum:g}")
        if self.remission_cut is not None and not self.minimum <= self.remission_cut <= self.maximum:
            raise fault(f"remission_cut must be in the range of the scale, {self.minimum:g} to {self.maximum:g} points, got {self.remission_cut:g}")
        return self


class Baseline(Component):
    """Score at randomisation, latent scale."""

    mean: Finite = Field(description="mean, points")
    sd: Positive = Field(description="SD, points")
    describes: Literal["enrolled", "screened"] = Field(
        default="enrolled", description="whom mean and SD describe when a rule selects on the screening score: the enrolled, or all who are screened"
    )


class ControlCourse(Component):
    """Mean and SD of scores in the control arm, latent scale: a fall that levels off, 1 - exp(-week / time_constant)."""

    change: Finite = Field(description="mean change from baseline at at_week, points; a fall is negative")
    at_week: PositiveWeeks = Field(description="week at which the change is stated")
    time_constant: NonNegative = Field(description="weeks after which 63% of the final change is reached; 0 is at once")
    score_sd: Annotated[float | tuple[float, ...], OneOrOther(Positive, Many[Positive])] = Field(
        description="SD of the score at the visits, one value or one per visit, points"
    )

    def share(self, week: float) -> float:
        """Share of the stated change that is reached at `week`."""
        if self.time_constant == 0.0:
            return 1.0
        return float(np.expm1(-week / self.time_constant) / np.expm1(-self.at_week / self.time_constant))


class Prognostic(Component):
    """A biomarker that foretells the course under control, separate from what the drug does."""

    slope: Finite = Field(description="points of change at at_week per unit of ln usual biomarker; positive is a worse course on a scale that falls")
    biomarker: str | None = Field(default=None, description="the assay; default: the only one")


class ScreeningReading(Component):
    """A reading before enrolment, with its own noise, so that a severity threshold brings its regression to the mean."""

    correlation: OpenProbability = Field(description="correlation of the screening and the baseline score among all who are screened")


@ENDPOINTS.register
class SymptomScale(Endpoint):
    """Scores of a symptom scale at baseline and at visits."""

    sizes: ClassVar[tuple[str, ...]] = ("points", "mean_points", "smd", "mean_smd")
    kind: Literal["scale"] = "scale"
    scale: Annotated[str | OwnScale, OneOrOther(str, OwnScale)] = Field(description="name of a known scale, or a table that describes one")
    weeks: Many[PositiveWeeks] = Field(description="weeks of the visits after baseline")
    baseline: Baseline = Field(description="score at randomisation")
    control_course: ControlCourse = Field(description="course in the control arm")
    correlation: Annotated[VisitCorrelation, CORRELATIONS] = Field(description="correlation of scores, baseline first")
    prognostic: Prognostic | None = Field(default=None, description="biomarker that foretells the course under control")
    screening: ScreeningReading | None = Field(default=None, description="a reading before enrolment")

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if isinstance(self.scale, str) and self.scale not in SCALES:
            raise fault(f"no scale called {self.scale!r} is known{did_you_mean(self.scale, SCALES)} (or describe it in a table)")
        if not self.weeks or any(b <= a for a, b in itertools.pairwise(self.weeks)):
            raise fault(f"weeks must be rising, got {list(self.weeks)}")
        sds = self.control_course.score_sd
        if isinstance(sds, tuple) and len(sds) != len(self.weeks):
            raise fault(f"control_course.score_sd must have one value per visit ({len(self.weeks)}), got {len(sds)}")
        scale = self.symptom_scale
        if not scale.minimum <= self.baseline.mean <= scale.maximum:
            raise fault(
                f"baseline.mean must be in the range of {scale.name}, {scale.minimum:g} to {scale.maximum:g} points, got {self.baseline.mean:g}"
            )
        end = self.baseline.mean + self.control_course.change
        if not scale.minimum <= end <= scale.maximum:
            raise fault(f"control_course.change leads to a mean of {end:g} points, outside {scale.name} ({scale.minimum:g} to {scale.maximum:g})")
        try:
            self.correlation.matrix(self.latent_weeks)
        except ValueError as error:
            raise fault(f"correlation {error}") from None
        return self

    @property
    def latent_weeks(self) -> tuple[float, ...]:
        """Baseline and the visits."""
        return (0.0, *self.weeks)

    @property
    def visits(self) -> tuple[float, ...]:
        return self.weeks

    @property
    def outcomes(self) -> tuple[str, ...]:
        remission = ("remission",) if self.symptom_scale.remission_cut is not None else ()
        return ("change", "percent_change", "score", "response", *remission, "sustained_response")

    @property
    def symptom_scale(self) -> Scale:
        if isinstance(self.scale, str):
            return SCALES[self.scale]
        return Scale(**self.scale.model_dump())

    @property
    def improves(self) -> Improves:
        return self.symptom_scale.improves

    @property
    def has_baseline(self) -> bool:
        return True

    @property
    def domain(self) -> str:
        return self.symptom_scale.domain

    @property
    def unit(self) -> str:
        return f"{self.symptom_scale.name} points"

    @property
    def biomarkers(self) -> frozenset[str | None]:
        return super().biomarkers | ({self.prognostic.biomarker} if self.prognostic else set())

    @property
    def score_sds(self) -> FloatArray:
        """(V,) SD of the score at the visits in the control arm, points."""
        return np.broadcast_to(np.array(self.control_course.score_sd, dtype=np.float64), (len(self.weeks),)).copy()

    def ending_at(self, week: float, every_visit: bool) -> Endpoint:
        if week not in self.weeks:
            raise ValueError(f"has no visit at week {week:g}; visits are at {', '.join(f'{w:g}' for w in self.weeks)}")
        kept = tuple(visit for visit in self.weeks if visit == week or (every_visit and visit < week))
        sds = tuple(float(self.score_sds[self.weeks.index(visit)]) for visit in kept)
        course = self.control_course.model_copy(update={"score_sd": sds})
        matrix = self.correlation.between(self.latent_weeks, (0.0, *kept), (0.0, *kept))
        correlation = Unstructured(values=tuple(tuple(row) for row in matrix.tolist()))
        return self.model_copy(update={"weeks": kept, "control_course": course, "correlation": correlation})

    def latent(self) -> Latent:
        sds = np.array([self.baseline.sd, *self.score_sds])
        covariance = self.correlation.matrix(self.latent_weeks) * np.outer(sds, sds)
        slope = self.prognostic.slope if self.prognostic else 0.0
        loading = np.array([0.0, *(slope * self.control_course.share(week) for week in self.weeks)])
        return Latent(self.latent_weeks, covariance, loading)

    def size(self, effect: Effect, mean_shape: float) -> float:
        value = getattr(effect, effect.size_name) * (self._sd_of(effect) if effect.smd_sd else 1.0)
        return float(value / mean_shape if effect.size_name.startswith("mean_") else value)

    def _sd_of(self, effect: Effect) -> float:
        """The SD that an smd is in, at the effect's week (the last visit by default)."""
        week = effect.at_week if effect.at_week is not None else self.weeks[-1]
        if week not in self.weeks:
            raise ValueError(f"at_week: {week:g} is not a visit; visits are at {', '.join(f'{w:g}' for w in self.weeks)}")
        visit = 1 + self.weeks.index(week)
        c = self.latent().covariance
        variance = {"baseline": c[0, 0], "score": c[visit, visit], "change": c[0, 0] + c[visit, visit] - 2 * c[0, visit]}
        return float(np.sqrt(variance[effect.smd_sd or "change"]))

    def prepare(self, name: str, profile: Profile) -> Course:
        scale, fall = self.symptom_scale, self.control_course
        means = np.array([self.baseline.mean + fall.change * fall.share(week) for week in self.weeks])
        reading = None if self.screening is None else self._screening(name, self.screening.correlation, profile)
        marker = self.prognostic.biomarker if self.prognostic else None
        centre = 0.0
        if self.prognostic:
            marker = marker or next(iter(profile.ln_usual_mean))
            centre = profile.ln_usual_mean[marker]
        return ScaleCourse(name, scale, self.weeks, self.baseline.mean, means, self.latent().loading[1:], marker, centre, reading)

    def _screening(self, name: str, correlation: float, profile: Profile) -> "Reading":
        scale = self.symptom_scale
        admitted = profile.admitted.get(name, _anyone)
        scores = np.arange(scale.minimum, scale.maximum + 1)
        keep = scores[admitted(scores)]
        declared = (self.baseline.mean, self.baseline.sd)
        screened = declared if self.baseline.describes == "screened" else _screened_from_enrolled(*declared, correlation, keep, scale, name)
        return Reading(*screened, correlation, *declared)


@dataclass(frozen=True, slots=True)
class Reading:
    """Latent mean and SD among the screened, correlation of the two readings, and the mean and SD that the declaration describes."""

    mean: float
    sd: float
    correlation: float
    declared_mean: float
    declared_sd: float


def _enrolled_moments(mean: float, sd: float, correlation: float, keep: FloatArray, scale: Scale) -> tuple[float, float]:
    """Mean and SD of the baseline among candidates whose rounded screening score is one of `keep`: moments of a union of normal intervals."""
    low = np.where(keep <= scale.minimum, -np.inf, (keep - 0.5 - mean) / sd)
    high = np.where(keep >= scale.maximum, np.inf, (keep + 0.5 - mean) / sd)
    share = ndtr(high) - ndtr(low)
    with np.errstate(invalid="ignore"):
        edge_low, edge_high = (np.where(np.isfinite(z), z, 0.0) * _density(z) for z in (low, high))
    total = share.sum()
    first = (_density(low) - _density(high)).sum() / total
    second = 1 + (edge_low - edge_high).sum() / total
    variance = 1 - correlation**2 + correlation**2 * (second - first**2)
    return float(mean + sd * correlation * first), float(sd * np.sqrt(variance))


def _density(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi))


def _anyone(score: FloatArray) -> BoolArray:
    return np.ones(score.shape, dtype=np.bool_)


def _screened_from_enrolled(mean: float, sd: float, correlation: float, keep: FloatArray, scale: Scale, name: str) -> tuple[float, float]:
    """Mean and SD among the screened for which the enrolled have the declared mean and SD."""
    from scipy.optimize import root

    def miss(x: FloatArray) -> FloatArray:
        found = _enrolled_moments(x[0], float(np.exp(x[1])), correlation, keep, scale)
        return np.array([(found[0] - mean) / sd, np.log(found[1] / sd)])

    solution = root(miss, np.array([mean, np.log(sd)]), tol=1e-10)
    if not solution.success or np.abs(miss(solution.x)).max() > 1e-8:
        sentence = (
            f"no population of candidates gives the enrolled a mean of {mean:g} and an SD of {sd:g} under this rule on {name}.screening; "
            "state mean and SD of all who are screened (describes = 'screened') or relax the rule"
        )
        raise DeclarationError([Problem(f"endpoints.{name}.baseline", sentence)])
    return float(solution.x[0]), float(np.exp(solution.x[1]))


@dataclass(frozen=True, slots=True)
class ScaleCourse(Course):
    """Means of the control arm at baseline and visits (latent points), prognostic loading per unit of ln biomarker at the visits."""

    name: str
    scale: Scale
    weeks: tuple[float, ...]
    baseline_mean: float
    means: FloatArray
    loading: FloatArray
    biomarker: str | None
    centre: float
    reading: Reading | None

    def draw_screening(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        if self.reading is None:
            return {}
        path = f"{self.name}.screening"
        return {path: normals(streams[path], (n_replicates, n_candidates))}

    def screening(self, people: People, added: FloatArray | float = 0.0) -> FloatArray:
        if self.reading is None:
            return super().screening(people)
        latent = self.reading.mean + self.reading.sd * people.luck[f"{self.name}.screening"] + added
        return np.clip(np.rint(latent), self.scale.minimum, self.scale.maximum)

    def baseline_luck(self, people: People, luck: FloatArray) -> FloatArray | None:
        if self.reading is None:
            return None
        r = self.reading
        latent = r.mean + r.sd * (r.correlation * people.luck[f"{self.name}.screening"] + np.sqrt(1 - r.correlation**2) * luck)
        return np.asarray((latent - r.declared_mean) / r.declared_sd)

    def baseline(self, deviation: FloatArray) -> FloatArray | None:
        return np.asarray(np.clip(np.rint(self.baseline_mean + deviation[0]), self.scale.minimum, self.scale.maximum))

    def values(self, deviation: FloatArray, arm: ArmArray, benefit: Benefit, people: People, visits: slice) -> FloatArray:
        scale, nothing = self.scale, np.zeros((0, 0, 0))
        prognosis = np.zeros((0, 0))
        if self.biomarker is not None:
            prognosis = np.log(patient_major(people[f"usual:{self.biomarker}"])) - self.centre
        return _scores(
            deviation[1:][visits],
            arm,
            self.means[visits],
            -1.0 if scale.improves == "down" else 1.0,
            benefit.by_arm,
            benefit.size,
            benefit.onset,
            nothing if benefit.kept is None else benefit.kept,
            nothing if benefit.extra is None else benefit.extra,
            prognosis,
            self.loading[visits],
            scale.minimum,
            scale.maximum,
        )

    def packed(self, value: FloatArray, baseline: FloatArray | None, observed: BoolArray | None, people: People) -> Measurements:
        screening = None if self.reading is None else people[f"{self.name}.screening"]
        start = None if baseline is None else baseline.T
        return Measurements(self.weeks, *visits_first(value, observed), start, screening, self.scale, self.scale.improves)


@kernel
def _scores(
    deviation: FloatArray,
    arm: ArmArray,
    means: FloatArray,
    sign: float,
    by_arm: FloatArray,
    size: FloatArray,
    onset: FloatArray,
    kept: FloatArray,
    extra: FloatArray,
    prognosis: FloatArray,
    loading: FloatArray,
    minimum: float,
    maximum: float,
) -> FloatArray:
    """(V, P, R) whole-number scores: mean + deviation + effect + prognosis, rounded and kept within the scale."""
    visits, patients, replicates = deviation.shape
    out = np.empty(deviation.shape)
    layers, foretells, same_in_arm = size.shape[0], prognosis.size > 0, by_arm.any()
    events, others = kept.size > 0, extra.size > 0
    for v in range(visits):
        for p in range(patients):
            for r in range(replicates):
                benefit = 0.0
                for k in range(layers):
                    benefit += size[k, p, r] * onset[k, v]
                if same_in_arm:
                    benefit += by_arm[arm[p, r], v]
                if events:
                    benefit *= kept[v, p, r]
                if others:
                    benefit += extra[v, p, r]
                value = means[v] + deviation[v, p, r] + sign * benefit
                if foretells:
                    value += loading[v] * prognosis[p, r]
                out[v, p, r] = min(max(np.rint(value), minimum), maximum)
    return out
