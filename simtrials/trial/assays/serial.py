"""A biomarker whose logarithm varies within a patient from sample to sample, as C-reactive protein does.

Usual CRP belongs to the patient. A sample deviates from it by a slow part (months) and a fast part (days to weeks), so that two samples a
fortnight apart are not independent; now and then an acute-phase reaction multiplies it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import FloatArray, patient_major, replicate_major
from simtrials.core.check import NonNegative, PositiveWeeks, Probability, Within, fault
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.kernels import kernel
from simtrials.core.matrices import cholesky
from simtrials.core.rng import Streams, normals, uniforms
from simtrials.trial.assays.base import ASSAYS, Assay, Laboratory, Rule
from simtrials.trial.people import Luck, People
from simtrials.trial.populations.base import Candidates


@ASSAYS.register
class Serial(Assay):
    """Log-normal variation within a patient, limit of detection, resolution, acute-phase spikes, one or several samples."""

    kind: Literal["serial"] = "serial"
    usual: str | None = Field(default=None, description="column of usual values; give this or `observed`")
    observed: str | None = Field(
        default=None, description="column with one measured sample per person; it is shrunk so that measuring it again returns the data"
    )
    within_person_sd: NonNegative = Field(
        default=0.60, description="SD of the logarithm among samples of one person taken far apart, about a year or more"
    )
    slow_share: Probability = Field(default=0.70, description="share of that variance which changes over months; the rest changes over days to weeks")
    slow_weeks: PositiveWeeks = Field(default=26.0, description="weeks after which two slow deviations correlate 1/e")
    fast_weeks: PositiveWeeks = Field(default=1.5, description="weeks after which two fast deviations correlate 1/e")
    limit_of_detection: NonNegative = Field(default=0.0, description="below it only 'below the limit' is known, stored as limit / sqrt(2)")
    resolution: NonNegative = Field(
        default=0.0, description="step of the reported values; what would round to 0 is reported as half a step; 0 reports every digit"
    )
    cut_applies_to: Literal["reported", "unrounded"] = Field(
        default="reported", description="whether eligibility looks at reported or unrounded values"
    )
    spike_probability: Probability = Field(default=0.0, description="probability that a sample falls into an acute-phase reaction")
    spike_fold: Annotated[float, Within(1)] = Field(default=10.0, description="factor by which an acute-phase reaction raises the sample")
    samples: Annotated[int, Within(1, 6)] = Field(default=1, description="number of screening samples")
    weeks_apart: PositiveWeeks = Field(default=2.0, description="weeks between screening samples")
    rule: Rule = Field(default="single", description="what must meet the eligibility rule: the single sample, the mean, all samples, any sample")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.usual is None) == (self.observed is None):
            raise fault("give one of usual and observed: is the column a patient's usual value, or one measured sample?")
        if self.samples > 1 and self.rule == "single":
            raise fault(f"rule 'single' does not fit {self.samples} samples; use mean, all or any for several")
        return self

    @property
    def column(self) -> str:
        return self.usual or self.observed or ""

    def sample_correlation(self, weeks: FloatArray | float) -> FloatArray:
        """Correlation of the deviations of two samples that lie `weeks` apart."""
        apart = np.abs(np.asarray(weeks, dtype=np.float64))
        return self.slow_share * np.exp(-apart / self.slow_weeks) + (1 - self.slow_share) * np.exp(-apart / self.fast_weeks)

    def prepare(self, name: str, candidates: Candidates, streams: Streams) -> Laboratory:
        field = "usual" if self.usual else "observed"
        what = self._unusable(candidates, streams)
        if what:
            raise DeclarationError([Problem(f"assays.{name}.{field}", what)])
        mean, sd = candidates.moments(self.column, _log, streams)
        shrink = _log if self.usual else self._shrunken(name, mean, sd)
        times = self.weeks_apart * np.arange(self.samples)
        factor = cholesky(self.sample_correlation(np.subtract.outer(times, times)))
        return SerialLaboratory(self, name, candidates, shrink, factor)

    def _unusable(self, candidates: Candidates, streams: Streams) -> str | None:
        """Why the column cannot be a biomarker; None when it can."""
        levels = candidates.levels
        if self.column not in levels:
            return f"no column called {self.column!r}{did_you_mean(self.column, levels)}"
        texts = levels[self.column]
        if texts is not None:
            remedy = "write every value as a number; those below the limit of detection as limit / sqrt(2)"
            return f"{self.column!r} holds texts such as {texts[0]!r}, not numbers; {remedy}"
        low, high = candidates.limits(self.column, streams)
        if not low > 0:
            return f"{self.column!r} has values of 0 or less, which have no logarithm; the lowest is {low:g} {self.unit}"
        if not high <= self.largest:
            return (
                f"{self.column!r} goes up to {high:g} {self.unit}, and `largest` is {self.largest:g}; check the unit, leave such rows out or raise it"
            )
        return None

    def _shrunken(self, name: str, mean: float, sd: float) -> Callable[[FloatArray], FloatArray]:
        """Turns a measured value into the logarithm of a usual one, so that a new measurement has the mean and SD of the data again."""
        spike_mean = self.spike_probability * np.log(self.spike_fold)
        spike_variance = self.spike_probability * (1 - self.spike_probability) * np.log(self.spike_fold) ** 2
        reliability = 1 - (self.within_person_sd**2 + spike_variance) / sd**2
        if not reliability > 0:
            sentence = f"{self.within_person_sd:g} leaves no variation between persons: ln {self.column} has an SD of {sd:.2f} in the data"
            raise DeclarationError([Problem(f"assays.{name}.within_person_sd", sentence)])
        slope = np.sqrt(reliability)
        return lambda value: mean - spike_mean + slope * (_log(value) - mean)


def _log(value: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(value))


@dataclass(frozen=True, slots=True)
class SerialLaboratory(Laboratory):
    """`ln_usual_of` turns the column into ln usual; `factor` correlates the samples of one person."""

    declared: Serial
    name: str
    candidates: Candidates
    ln_usual_of: Callable[[FloatArray], FloatArray]
    factor: FloatArray

    @property
    def rule(self) -> Rule:  # type: ignore[override]
        return self.declared.rule

    def draw(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        shape = (n_replicates, n_candidates)
        luck: Luck = {}
        for j in range(self.declared.samples):
            luck[f"{self.name}.sample.{j}"] = normals(streams[f"{self.name}.sample.{j}"], shape)
            if self.declared.spike_probability > 0:
                luck[f"{self.name}.spike.{j}"] = uniforms(streams[f"{self.name}.spike.{j}"], shape)
        return luck

    def ln_usual(self, people: People) -> FloatArray:
        value = self.candidates.column(people.luck, self.declared.column, self.ln_usual_of)
        assert isinstance(value, np.ndarray)
        return value

    def usual(self, people: People) -> FloatArray:
        return np.exp(self.ln_usual(people))

    def _readings(self, people: People, rounded: bool) -> list[FloatArray]:
        ln_usual = patient_major(self.ln_usual(people))
        sd = self.declared.within_person_sd
        luck = [people.luck[f"{self.name}.sample.{j}"] for j in range(self.declared.samples)]
        readings = []
        for j, weights in enumerate(self.factor):
            deviation = luck[0] if j == 0 else sum(weight * luck[i] for i, weight in enumerate(weights[: j + 1]))
            spike = people.luck.get(f"{self.name}.spike.{j}")
            readings.append(self._report(ln_usual, np.asarray(deviation), spike, sd, rounded))
        return readings

    def _report(self, ln_usual: FloatArray, deviation: FloatArray, spike: FloatArray | None, sd: float, rounded: bool) -> FloatArray:
        made = self.declared
        if spike is not None:
            ln_usual = ln_usual + np.where(patient_major(spike) < made.spike_probability, np.log(made.spike_fold), 0.0)
        step = made.resolution if rounded else 0.0
        return replicate_major(_measure(ln_usual, patient_major(deviation), sd, made.limit_of_detection, step, steps_per_unit(step)))

    def reported(self, people: People) -> FloatArray:
        readings = self._readings(people, rounded=True)
        return readings[0] if len(readings) == 1 else np.asarray(sum(readings) / len(readings))

    def judged(self, people: People) -> Sequence[FloatArray]:
        readings = self._readings(people, rounded=self.declared.cut_applies_to == "reported")
        return [np.asarray(sum(readings) / len(readings))] if self.declared.rule == "mean" else readings

    def repeat(self, people: People, streams: Streams) -> FloatArray:
        ln_usual = self.ln_usual(people)
        deviation = normals(streams[f"{self.name}.repeat"], ln_usual.shape)
        spike = uniforms(streams[f"{self.name}.repeat.spike"], ln_usual.shape) if self.declared.spike_probability > 0 else None
        rounded = self.declared.cut_applies_to == "reported"
        return self._report(patient_major(ln_usual), deviation, spike, self.declared.within_person_sd, rounded)


def steps_per_unit(step: float) -> float:
    """1 / step when that is a whole number, so that 23 steps of 0.1 are exactly 2.3; else 0."""
    if step <= 0:
        return 0.0
    inverse = round(1 / step)
    return float(inverse) if inverse > 0 and abs(inverse * step - 1) < 1e-9 else 0.0


@kernel
def _measure(ln_usual: FloatArray, deviation: FloatArray, sd: float, limit: float, step: float, per_unit: float) -> FloatArray:
    """(P, R) readings: exp(ln usual + deviation), censored at the limit of detection, rounded to the step."""
    out = np.empty(ln_usual.shape)
    below = limit / np.sqrt(2.0)
    for p in range(ln_usual.shape[0]):
        for r in range(ln_usual.shape[1]):
            value = np.exp(ln_usual[p, r] + sd * deviation[p, r])
            if value < limit:
                value = below
            elif step > 0.0:
                steps = max(np.rint(value * per_unit if per_unit > 0.0 else value / step), 0.5)
                value = steps / per_unit if per_unit > 0.0 else steps * step
            out[p, r] = value
    return out
