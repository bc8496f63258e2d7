"""What a review collects from its studies: outcomes with their effect size, and the law of true effects between studies."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Component, Correlation, Finite, NonNegative, fault
from simtrials.core.data import EffectScale
from simtrials.core.outcomes import OUTCOMES
from simtrials.evidence.table import Measured
from simtrials.trial.endpoints import Endpoint

OF_MEANS, OF_COUNTS = ("SMD", "MD", "SMDH", "SMD1"), ("RR", "OR", "RD", "AS")
"""Effect sizes of outcomes that are a number, and of those that are yes or no."""
SCALES: dict[str, EffectScale] = {
    "MD": "difference",
    "RR": "log_risk_ratio",
    "OR": "log_odds_ratio",
    "RD": "risk_difference",
    "AS": "arcsine_difference",
}


class ReviewedOutcome(Component):
    """Declares an outcome of the review: which endpoint of the trials, read off how, compared by which effect size."""

    endpoint: str = Field(description="name of the endpoint in the trials")
    outcome: str | None = Field(default=None, description="change, score, response, remission ...; default: the endpoint's first")
    measure: Literal["SMD", "MD", "SMDH", "SMD1", "RR", "OR", "RD", "AS"] | None = Field(
        default=None,
        description="effect size, by its name in effect_sizes: SMD, MD, SMDH, SMD1 from means; RR, OR, RD, AS from counts; default SMD or RR",
    )
    variance: Literal["LS", "LS2", "UB", "AV", "H0", "HO"] = Field(
        default="LS", description="formula of the sampling variance of an SMD, or of an MD"
    )
    correction: Literal["exact", "approximate", "none"] = Field(default="exact", description="small-sample correction of an SMD; none: Cohen's d")
    add: NonNegative = Field(default=0.5, description="added to the four cells of a table, as zero_cells says")
    zero_cells: Literal["only0", "all", "if0all", "none", "treatment_arm"] = Field(
        default="only0", description="which tables something is added to: those with a zero cell, all, all if any has one, none"
    )
    drop_double_zero: bool = Field(default=True, description="leave out studies in which nobody, or everybody, has the event")
    missing: Literal["excluded", "non_response"] = Field(
        default="excluded", description="patients without the outcome: left out, or counted as failures"
    )
    label: str | None = Field(default=None, description="how tables and figures call it")

    def outcome_name(self, endpoint: Endpoint) -> str:
        """The outcome that is read off the endpoint."""
        return self.outcome or endpoint.outcomes[0]

    def measured(self, endpoint: Endpoint) -> Measured:
        """How it is compared."""
        outcome = OUTCOMES[self.outcome_name(endpoint)]
        measure = self.measure or ("RR" if outcome.binary else "SMD")
        better = outcome.higher_is_better if outcome.higher_is_better is not None else endpoint.improves == "up"
        zeros = self.add, self.zero_cells, self.drop_double_zero
        return Measured(
            measure, outcome.binary, 1 if better else -1, SCALES.get(measure, "standardized_mean_difference"), self.variance, self.correction, *zeros
        )


class TrueEffects(Component):
    """The law of true effects: each endpoint's stated effect is their mean over studies, each in the unit in which it is stated."""

    tau: dict[str, NonNegative] = Field(default_factory=dict, description="SD of true effects between studies, by endpoint; default 0")
    correlation: Correlation = Field(default=0.0, description="correlation of the true effects of any two endpoints of one study")
    by_class: dict[str, dict[str, Finite]] = Field(
        default_factory=dict, description="mean effect in studies of a drug class, by class and endpoint, instead of the stated one"
    )
    inflation: dict[str, dict[str, Finite]] = Field(
        default_factory=dict,
        description="what studies of a risk-of-bias level show beyond their true effect, by level (low, some, high) and endpoint",
    )

    @model_validator(mode="after")
    def _is_a_law(self) -> Self:
        levels = set(self.inflation) - {"low", "some", "high"}
        if levels:
            raise fault(f"inflation: risk of bias is low, some or high, got {sorted(levels)[0]!r}")
        return self

    def factor(self, n_endpoints: int) -> FloatArray:
        """(E, E) lower factor of the correlation between endpoints.

        Raises
        ------
        ValueError
            When no law has this correlation.
        """
        matrix = np.full((n_endpoints, n_endpoints), self.correlation)
        np.fill_diagonal(matrix, 1.0)
        if n_endpoints > 1 and self.correlation <= -1 / (n_endpoints - 1):
            raise ValueError(f"correlation must be above {-1 / (n_endpoints - 1):.3g} with {n_endpoints} endpoints, got {self.correlation:g}")
        if self.correlation == 1.0:
            lower = np.zeros((n_endpoints, n_endpoints))
            lower[:, 0] = 1.0
            return lower
        return np.linalg.cholesky(matrix)
