"""Syntheses of counts, with priors, of two outcomes together, robust to dependence, by permutation, and one trial after another."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from simtrials.core.check import Correlation, Count, Finite, Positive, Within
from simtrials.core.data import Estimates
from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.expressions import Category
from simtrials.evidence.syntheses.base import SYNTHESES, Synthesis, estimates, estimates_from, held
from simtrials.evidence.table import Effects, Measured, StudyTable
from simtrials.stats.bayes_meta import bayesian_meta_analysis
from simtrials.stats.bivariate import bivariate_meta_analysis
from simtrials.stats.cluster_robust import cluster_robust
from simtrials.stats.meta_analysis import meta_regression
from simtrials.stats.meta_analysis_counts import meta_analysis_counts
from simtrials.stats.permutation import permutation_test
from simtrials.stats.three_level import three_level
from simtrials.stats.trial_sequential_analysis import trial_sequential_analysis

OF_COUNTS = {
    "mantel_haenszel": ("RR", "OR", "RD"),
    "peto": ("OR",),
    "beta_binomial": ("RR", "OR", "RD"),
    "glmm_unconditional": ("OR",),
    "glmm_random_study": ("OR",),
    "glmm_conditional": ("OR",),
}
"""Effect sizes of an outcome that each method of counts estimates."""


@SYNTHESES.register
class Counts(Synthesis):
    """Events in two arms pooled without the detour of effect sizes."""

    kind: Literal["counts"] = "counts"
    by: Literal["mantel_haenszel", "peto", "beta_binomial", "glmm_unconditional", "glmm_random_study", "glmm_conditional"] = Field(
        default="mantel_haenszel", description="pooled tables, or a model of the counts"
    )

    @property
    def method(self) -> str:
        spoken = {"mantel_haenszel": "Mantel-Haenszel", "peto": "Peto", "beta_binomial": "beta-binomial"}
        return spoken.get(self.by, f"binomial-normal model, {self.by.removeprefix('glmm_').replace('_', ' ')}")

    def problems(self, place: str, measured: Mapping[str, Measured]) -> Iterator[Problem]:
        outcome = measured.get(self.outcome)
        if outcome is not None and outcome.measure not in OF_COUNTS[self.by]:
            fitting = ", ".join(OF_COUNTS[self.by])
            yield Problem(f"{place}.outcome", f"{self.by} estimates {fitting}, and outcomes.{self.outcome}.measure is {outcome.measure}")

    def of_studies(self, table: StudyTable, rng: np.random.Generator) -> Estimates:
        numbers, measured = table.numbers[self.outcome], table.measured[self.outcome]
        known = table.included[..., np.newaxis]
        events, n = np.where(known, numbers.events, np.nan), np.where(known, numbers.n, np.nan)
        arms = events[..., 1], n[..., 1], events[..., 0], n[..., 0]
        found = meta_analysis_counts(*arms, measure=measured.measure, method=self.by, level=1 - self.alpha)  # type: ignore[arg-type]
        return estimates_from(found, measured)


@SYNTHESES.register
class Bayesian(Synthesis):
    """Normal-normal hierarchical model; shows a benefit where the credible interval leaves out 0."""

    kind: Literal["bayesian"] = "bayesian"
    tau_prior: Literal["half_normal", "half_cauchy", "uniform"] = Field(default="half_normal", description="prior of tau")
    scale: Positive = Field(default=0.5, description="scale of the prior of tau (its upper end if uniform), in the unit of the effect size")
    mu_mean: Finite = Field(default=0.0, description="mean of the normal prior of the mean effect, used when mu_sd is given")
    mu_sd: Positive | None = Field(default=None, description="SD of the normal prior of the mean effect; default: flat")

    @property
    def method(self) -> str:
        return f"Bayesian, {self.tau_prior.replace('_', '-')} {self.scale:g}"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        prior = None if self.mu_sd is None else (self.mu_mean, self.mu_sd)
        found = bayesian_meta_analysis(effects.yi, effects.vi, tau_prior=self.tau_prior, scale=self.scale, mu_prior=prior, level=1 - self.alpha)
        new = table.new_true[self.question]
        made = estimates_from(found, measured, tau=found.tau_median)
        return made.counting({"prediction_coverage": held(found.prediction_lower, found.prediction_upper, new)})


@SYNTHESES.register
class Bivariate(Synthesis):
    """Two outcomes pooled together, so that one borrows from the other in studies that report both."""

    kind: Literal["bivariate"] = "bivariate"
    together_with: str = Field(description="the other outcome of the review")
    within_correlation: Correlation = Field(default=0.5, description="correlation of the two effects within a study, taken as known")

    @property
    def method(self) -> str:
        return f"bivariate with {self.together_with.replace('_', ' ')}"

    def problems(self, place: str, measured: Mapping[str, Measured]) -> Iterator[Problem]:
        if self.together_with not in measured or self.together_with == self.outcome:
            others = [name for name in measured if name != self.outcome]
            yield Problem(f"{place}.together_with", f"no other outcome called {self.together_with!r}{did_you_mean(self.together_with, others)}")

    def of_studies(self, table: StudyTable, rng: np.random.Generator) -> Estimates:
        both = [table.effects(name) for name in (self.outcome, self.together_with)]
        yi, vi = (np.stack([getattr(one, part) for one in both], axis=-1) for part in ("yi", "vi"))
        found = bivariate_meta_analysis(yi, vi, self.within_correlation, level=1 - self.alpha)
        first = [getattr(found, name)[..., 0] for name in ("estimate", "std_error", "lower", "upper")]
        return estimates(table.measured[self.outcome], first[0], first[1], first[2], first[3], found.status, numbers={"tau2": found.tau2[..., 0]})


@SYNTHESES.register
class Clustered(Synthesis):
    """Studies of one drug class (or another label) are more alike: a three-level model, or standard errors robust to that."""

    kind: Literal["clustered"] = "clustered"
    by: Literal["drug_class", "role", "crp_rule", "risk_of_bias", "funder"] = Field(default="drug_class", description="what makes studies alike")
    model: Literal["three_level", "robust"] = Field(default="three_level", description="three-level model by REML, or CR2 with Satterthwaite's df")

    @property
    def method(self) -> str:
        name = "three-level model" if self.model == "three_level" else "cluster-robust (CR2)"
        return f"{name} by {self.by.replace('_', ' ')}"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        column = table.columns[self.by]
        labels = column.codes if isinstance(column, Category) else column
        fit = three_level if self.model == "three_level" else cluster_robust
        found = fit(effects.yi, effects.vi, np.broadcast_to(labels, effects.yi.shape), level=1 - self.alpha)
        return estimates_from(found, measured)


@SYNTHESES.register
class Moderated(Synthesis):
    """Meta-regression on one moderator by REML and Hartung-Knapp; the estimate is its slope."""

    kind: Literal["meta_regression"] = "meta_regression"
    moderator: Literal["weeks", "n", "enriched"] = Field(description="weeks of the trial, patients of the trial, or whether it was enriched")

    @property
    def method(self) -> str:
        return f"meta-regression on {self.moderator}"

    @property
    def estimates_the_mean(self) -> bool:
        return False

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        rule = table.columns["crp_rule"]
        if self.moderator == "enriched" and isinstance(rule, Category):
            column = (rule.codes == rule.levels.index("enriched")).astype(np.float64)
        else:
            column = np.asarray(table.columns[self.moderator], dtype=np.float64)
        column = np.where(np.isfinite(effects.yi), column, np.nan)
        found = meta_regression(effects.yi, effects.vi, np.stack([np.ones_like(column), column], axis=-1), ci="hartung_knapp", level=1 - self.alpha)
        second = [getattr(found, name)[..., 1] for name in ("estimate", "std_error", "lower", "upper")]
        slope = Measured("slope", measured.binary, measured.sign, "slope")
        return estimates(slope, second[0], second[1], second[2], second[3], found.status, found.df)


@SYNTHESES.register
class Permutation(Synthesis):
    """The pooled mean with a permutation test: the signs of effects are flipped, all of them where there are few studies."""

    kind: Literal["permutation"] = "permutation"
    n_random: Annotated[Count, Within(99, 100_000)] = Field(default=999, description="random flips where there are more than max_exact")
    max_exact: Annotated[Count, Within(1, 1_000_000)] = Field(default=2048, description="flips up to which all are tried: 2048 is 11 studies")

    @property
    def method(self) -> str:
        return "DL, permutation test"

    def of_studies(self, table: StudyTable, rng: np.random.Generator) -> Estimates:
        from simtrials.stats.meta_analysis import meta_analysis

        effects, measured = table.effects(self.outcome), table.measured[self.outcome]
        found = permutation_test(effects.yi, effects.vi, tau2="DL", max_exact=self.max_exact, n_random=self.n_random, rng=rng)
        pooled = meta_analysis(effects.yi, effects.vi, tau2="DL", level=1 - self.alpha, tau2_ci="none")
        nothing = np.full(pooled.estimate.shape, np.nan)
        status = np.where(np.isfinite(found.p_value), 0, found.status)
        return Estimates(
            pooled.estimate, pooled.std_error, nothing, nothing, status, measured.scale, measured.benefit, nothing, nothing, p_value=found.p_value
        )


@SYNTHESES.register
class Sequential(Synthesis):
    """Trial sequential analysis: trials in the order of the list, boundaries by the information that an anticipated effect needs."""

    kind: Literal["trial_sequential"] = "trial_sequential"
    anticipated_effect: Finite = Field(description="effect that should not be missed, in the unit of the effect size (logarithm for ratios)")
    power: Annotated[float, Within(0, 1, open_low=True, open_high=True)] = Field(default=0.8, description="power that required information gives")
    diversity: Annotated[float, Within(0, 1, open_high=True)] | None = Field(
        default=None, description="share of variance between trials that enlarges the required information; default: estimated anew"
    )
    spending: Literal["obrien_fleming", "pocock"] = Field(default="obrien_fleming", description="how alpha is spent over information")

    @property
    def method(self) -> str:
        return f"trial sequential, effect {self.anticipated_effect:g}"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        found = trial_sequential_analysis(
            effects.yi,
            effects.vi,
            anticipated_effect=self.anticipated_effect,
            alpha=self.alpha,
            power=self.power,
            diversity="estimated" if self.diversity is None else self.diversity,
            spending=self.spending,
        )
        made = estimates_from(found, measured)
        decision = np.where(found.crossed, np.sign(found.estimate), 0.0)
        return Estimates(
            made.estimate,
            made.std_error,
            made.statistic,
            made.df,
            made.status,
            made.scale,
            made.benefit,
            made.lower,
            made.upper,
            decision=np.nan_to_num(decision).astype(np.int8) * measured.benefit,
            flags={"required_information_reached": np.asarray(found.reached)},
        )
