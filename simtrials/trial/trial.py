"""A trial as it is declared."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from simtrials.core.check import Component, Correlation, Many, fault
from simtrials.trial.assays import ASSAYS, Assay
from simtrials.trial.departures import DEPARTURES, Departure
from simtrials.trial.designs import DESIGNS, Design
from simtrials.trial.eligibility import RULES, EligibilityRule
from simtrials.trial.endpoints import ENDPOINTS, Endpoint
from simtrials.trial.populations import POPULATIONS, Population


class EndpointCorrelation(Component):
    """Two endpoints of one patient go together: correlation rho times the visit correlation of the first one named."""

    between: tuple[str, str] = Field(strict=False, description="names of two endpoints; the visit correlation of the first is used")
    rho: Correlation = Field(
        description="correlation of the latent values at the same visit; an event is a high value, a worse score of a falling scale too"
    )

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.between[0] == self.between[1]:
            raise fault(f"between must name two different endpoints, got {list(self.between)}")
        return self


class Trial(Component):
    """Who, measured how, enrolled by which rules, in which design, with which endpoints."""

    population: Annotated[Population, POPULATIONS] | None = Field(
        default=None, description="who could be enrolled; without it patients have no covariates"
    )
    assays: dict[str, Annotated[Assay, ASSAYS]] = Field(default_factory=dict, description="biomarkers that are measured, by name")
    eligibility: Many[Annotated[EligibilityRule, RULES]] = Field(default=(), description="rules in the order in which they are applied")
    design: Annotated[Design, DESIGNS] = Field(description="arms, sample size, allocation")
    endpoints: dict[str, Annotated[Endpoint, ENDPOINTS]] = Field(min_length=1, description="what is measured, by name")
    departures: dict[str, Annotated[Departure, DEPARTURES]] = Field(
        default_factory=dict, description="how patients and ratings depart from the plan, by name; events happen in this order"
    )
    correlations: Many[EndpointCorrelation] = Field(default=(), description="endpoints that go together in a patient")

    @property
    def weeks(self) -> float:
        """Length of the trial in weeks: as declared, or the last visit."""
        return self.design.weeks or max(endpoint.visits[-1] for endpoint in self.endpoints.values())

    @property
    def strata_expressions(self) -> tuple[str, ...]:
        """Expressions whose levels are the strata of allocation."""
        return self.design.allocation.strata_expressions
