"""Bodies of evidence as they are declared."""

from typing import Annotated, Literal

from pydantic import Field

from simtrials.core.check import Component, Many, Positive
from simtrials.evidence.extraction import EXTRACTION, ExtractionStep
from simtrials.evidence.fidelities import FIDELITIES, Fidelity, Patients
from simtrials.evidence.outcomes import ReviewedOutcome, TrueEffects
from simtrials.evidence.practices import PRACTICES, Practice
from simtrials.evidence.reporting import OUTCOME_SELECTIONS, PUBLICATIONS, OutcomeSelection, Publication
from simtrials.evidence.studies import STUDIES, Studies
from simtrials.evidence.syntheses import SYNTHESES, Synthesis
from simtrials.evidence.template import Template
from simtrials.trial.assays import ASSAYS, Assay
from simtrials.trial.departures import DEPARTURES, Departure
from simtrials.trial.eligibility import RULES, EligibilityRule
from simtrials.trial.endpoints import ENDPOINTS, Endpoint
from simtrials.trial.populations import POPULATIONS, Population
from simtrials.trial.trial import EndpointCorrelation


class Reporting(Component):
    """Declares what becomes of studies that are finished."""

    fill: Literal["published", "run"] = Field(
        default="published", description="published: studies are run until every place holds a published one; run: one study is run per place"
    )
    publication: Many[Annotated[Publication, PUBLICATIONS]] = Field(default=(), description="how likely studies are published; none: all are")
    outcomes: Many[Annotated[OutcomeSelection, OUTCOME_SELECTIONS]] = Field(default=(), description="outcomes that are chosen by their results")


class Evidence(Component):
    """Trials that share a declaration, the studies that are made of it, what is reported and extracted of them, and how it is synthesized."""

    population: Annotated[Population, POPULATIONS] | None = Field(
        default=None, description="who could be enrolled; without it patients have no covariates"
    )
    assays: dict[str, Annotated[Assay, ASSAYS]] = Field(default_factory=dict, description="biomarkers that are measured, by name")
    eligibility: Many[Annotated[EligibilityRule, RULES]] = Field(default=(), description="rules of every trial, before the rule of the study")
    endpoints: dict[str, Annotated[Endpoint, ENDPOINTS]] = Field(
        min_length=1, description="what is measured, by name; effects.active states the mean effect over studies, each at its own end"
    )
    departures: dict[str, Annotated[Departure, DEPARTURES]] = Field(default_factory=dict, description="how patients and ratings depart from the plan")
    correlations: Many[EndpointCorrelation] = Field(default=(), description="endpoints that go together in a patient")
    biomarker: str | None = Field(default=None, description="the assay that rules of studies are about; default: the first")
    cut: Positive = Field(default=2.0, description="value of it at or above which patients belong to the review's stratum, mg/L for CRP")
    studies: Annotated[Studies, STUDIES] = Field(description="how many studies, how large, of what kind")
    true_effects: TrueEffects = Field(default_factory=TrueEffects, description="how true effects differ between studies")
    fidelity: Annotated[Fidelity, FIDELITIES] = Field(default_factory=Patients, description="how the results of a study are made")
    practices: Many[Annotated[Practice, PRACTICES]] = Field(default=(), description="what investigators try until their result is significant")
    reporting: Reporting = Field(default_factory=Reporting, description="what is published, and which outcomes are reported")
    extraction: Many[Annotated[ExtractionStep, EXTRACTION]] = Field(default=(), description="steps from reports to the reviewers' table")
    outcomes: dict[str, ReviewedOutcome] = Field(min_length=1, description="outcomes of the review, by name")
    syntheses: dict[str, Annotated[Synthesis, SYNTHESES]] = Field(min_length=1, description="what is concluded, by name")

    @property
    def template(self) -> Template:
        """What the trials share."""
        parts = self.population, self.assays, self.eligibility, self.endpoints, self.departures, self.correlations
        return Template(*parts, self.biomarker, self.cut)
