"""CRP from body mass index, age and sex, on top of another population."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from simtrials.core.check import Finite, Positive
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category, Column
from simtrials.core.rng import Streams, normals
from simtrials.trial.people import Luck
from simtrials.trial.populations.base import POPULATIONS, Candidates, Population, Transform


@POPULATIONS.register
class CrpRegression(Population):
    """ln CRP = intercept + BMI + age + sex + normal residual; defaults: 342 people of NHANES 2017-18, PHQ-9 >= 10, age 18 to 65, weighted."""

    kind: Literal["crp_regression"] = "crp_regression"
    base: Annotated[Population, POPULATIONS] = Field(description="the population that has BMI, age and sex")
    column: str = Field(default="crp_mg_l", description="name of the CRP column that is made, mg/L")
    intercept: Finite = Field(default=0.460, description="mean ln CRP of a man of 40 years with BMI 28 kg/m2, ln mg/L")
    bmi_slope: Finite = Field(default=0.0671, description="per kg/m2 of BMI, ln mg/L")
    age_slope: Finite = Field(default=0.0062, description="per year of age, ln mg/L")
    female: Finite = Field(default=0.215, description="woman against man, ln mg/L")
    residual_sd: Positive = Field(default=0.996, description="SD of the residual, ln mg/L")
    bmi: str = Field(default="bmi_kg_m2", description="column of BMI, kg/m2")
    age: str = Field(default="age_years", description="column of age, years")
    sex: str = Field(default="sex", description="column of sex, with a level 'female'")

    def files(self) -> tuple[str, ...]:
        return self.base.files()

    def known_levels(self, tables: Mapping[str, Table]) -> Mapping[str, tuple[str, ...] | None]:
        return {**self.base.known_levels(tables), self.column: None}

    def prepare(self, tables: Mapping[str, Table], used: frozenset[str]) -> Candidates:
        needed = {self.bmi, self.age, self.sex}
        people = self.base.prepare(tables, (used - {self.column}) | needed)
        for field in ("bmi", "age", "sex"):
            name = getattr(self, field)
            if name not in people.levels:
                raise DeclarationError(
                    [Problem(f"population.{field}", f"the base population has no column {name!r}{did_you_mean(name, people.levels)}")]
                )
            if field != "sex" and people.levels[name] is not None:
                raise DeclarationError([Problem(f"population.{field}", f"{name!r} is a category; it must be a number")])
        if "female" not in (people.levels[self.sex] or ()):
            raise DeclarationError([Problem("population.sex", f"{self.sex!r} must be a category with a level 'female'")])
        return Regressed(self, people)


@dataclass(slots=True)
class Regressed(Candidates):
    """The base population with a CRP column."""

    declared: CrpRegression
    people: Candidates

    @property
    def levels(self) -> dict[str, tuple[str, ...] | None]:  # type: ignore[override]
        return {**self.people.levels, self.declared.column: None}

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.people.notes

    def limits(self, name: str, streams: Streams) -> tuple[float, float]:
        return Candidates.limits(self, name, streams) if name == self.declared.column else self.people.limits(name, streams)

    def draw(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        luck = self.people.draw(streams, n_replicates, n_candidates)
        return {**luck, "population.crp_residual": normals(streams["population.crp_residual"], (n_replicates, n_candidates))}

    def column(self, luck: Luck, name: str, transform: Transform | None = None) -> Column:
        if name != self.declared.column:
            return self.people.column(luck, name, transform)
        made, (bmi, age, sex) = self.declared, (self.people.column(luck, name) for name in (self.declared.bmi, self.declared.age, self.declared.sex))
        assert isinstance(bmi, np.ndarray)
        assert isinstance(age, np.ndarray)
        assert isinstance(sex, Category)
        woman = sex.codes == sex.levels.index("female")
        mean = made.intercept + made.bmi_slope * (bmi - 28) + made.age_slope * (age - 40) + made.female * woman
        crp = np.exp(mean + made.residual_sd * luck["population.crp_residual"])
        return transform(crp) if transform else crp
