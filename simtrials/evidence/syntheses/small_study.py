"""Syntheses that look at small-study effects: regressions on standard errors, trim and fill, weights that ignore the spread of true effects."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.check import fault
from simtrials.core.data import Estimates
from simtrials.core.errors import did_you_mean
from simtrials.evidence.syntheses.base import SYNTHESES, Synthesis, benefit_side, estimates, estimates_from
from simtrials.evidence.table import Effects, Measured, StudyTable
from simtrials.stats.limit_meta_analysis import limit_meta_analysis
from simtrials.stats.meta_analysis import CI_RULES, TAU2_METHODS
from simtrials.stats.pet_peese import peese, pet, pet_peese, unrestricted_wls, waap_wls
from simtrials.stats.quantiles import t_critical
from simtrials.stats.small_study import begg_test, egger_test
from simtrials.stats.trim_and_fill import trim_and_fill


@SYNTHESES.register
class PetPeese(Synthesis):
    """The effect of a study without sampling error: regression on standard errors (PET), on variances (PEESE), or the one that PET chooses."""

    adjusts: ClassVar[bool] = True
    kind: Literal["pet_peese"] = "pet_peese"
    use: Literal["pet_peese", "pet", "peese"] = Field(default="pet_peese", description="which of the regressions")
    rule: Literal["one_sided", "two_sided", "two_sided_positive"] = Field(
        default="one_sided",
        description="when PEESE is taken: PET significant towards benefit, either way, or either way and a benefit",
    )

    @property
    def method(self) -> str:
        return {"pet": "PET", "peese": "PEESE"}.get(self.use, f"PET-PEESE, {self.rule.replace('_', ' ')} rule")

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        level = 1 - self.alpha
        if self.use == "pet":
            return estimates_from(pet(effects.yi, effects.vi, level=level), measured)
        if self.use == "peese":
            return estimates_from(peese(effects.yi, effects.vi, level=level), measured)
        return estimates_from(pet_peese(effects.yi, effects.vi, rule=self.rule, alternative=benefit_side(measured), level=level), measured)


@SYNTHESES.register
class TrimAndFill(Synthesis):
    """Studies that seem to be missing are filled in as mirror images."""

    adjusts: ClassVar[bool] = True
    kind: Literal["trim_and_fill"] = "trim_and_fill"
    estimator: Literal["L0", "R0", "Q0"] = Field(default="L0", description="estimator of the number of missing studies")
    tau2: str = Field(default="REML", description="common, or the estimator of tau2")
    ci: str = Field(default="wald", description="rule of test and interval, as for kind pooled")
    side: Literal["auto", "unfavorable"] = Field(default="unfavorable", description="where studies are missing: without benefit, or as the data say")

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        for name, value, known in (("tau2", self.tau2, TAU2_METHODS), ("ci", self.ci, CI_RULES)):
            if value not in known:
                raise fault(f"{name}: no rule called {value!r}{did_you_mean(value, known)}")
        return self

    @property
    def method(self) -> str:
        return f"trim and fill, {self.estimator}"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        side: Literal["auto", "left", "right"] = "auto" if self.side == "auto" else "left" if measured.benefit > 0 else "right"
        found = trim_and_fill(effects.yi, effects.vi, estimator=self.estimator, side=side, tau2=self.tau2, ci=self.ci, level=1 - self.alpha)  # type: ignore[arg-type]
        return estimates_from(found, measured, n_filled=found.n_filled)


@SYNTHESES.register
class UnrestrictedWls(Synthesis):
    """Weights of the common-effect model, with a standard error that follows the residual variance; or of studies with adequate power only."""

    kind: Literal["unrestricted_wls"] = "unrestricted_wls"
    adequately_powered: bool = Field(default=False, description="true: only studies with 80% power for that mean, if there are two (WAAP)")

    @property
    def method(self) -> str:
        return "WAAP-WLS" if self.adequately_powered else "unrestricted WLS"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        fit = waap_wls if self.adequately_powered else unrestricted_wls
        return estimates_from(fit(effects.yi, effects.vi, level=1 - self.alpha), measured)


@SYNTHESES.register
class LimitMetaAnalysis(Synthesis):
    """The effect of a study of infinite size in a radial regression that allows for small-study effects (Ruecker and colleagues 2011)."""

    adjusts: ClassVar[bool] = True
    kind: Literal["limit_meta_analysis"] = "limit_meta_analysis"

    @property
    def method(self) -> str:
        return "limit meta-analysis"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        return estimates_from(limit_meta_analysis(effects.yi, effects.vi, level=1 - self.alpha), measured)


@SYNTHESES.register
class Asymmetry(Synthesis):
    """A test of small-study effects; it shows a benefit where small studies show more of it than large ones."""

    kind: Literal["asymmetry"] = "asymmetry"
    test: Literal["egger", "egger_mixed", "begg"] = Field(default="egger", description="regression, regression with tau2, or rank correlation")

    @property
    def method(self) -> str:
        return {"egger": "Egger's test", "egger_mixed": "Egger's test, mixed", "begg": "Begg's test"}[self.test]

    @property
    def estimates_the_mean(self) -> bool:
        return False

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        if self.test == "begg":
            ranked = begg_test(effects.yi, effects.vi)
            nothing = np.full(ranked.correlation.shape, np.nan)
            return Estimates(ranked.correlation, nothing, nothing, nothing, ranked.status, "slope", measured.benefit, p_value=ranked.p_value)
        fitted = egger_test(effects.yi, effects.vi, form="lm" if self.test == "egger" else "mixed")
        reach = np.abs(fitted.slope_std_error)
        half = t_critical(fitted.df, self.alpha) * reach
        sloped = Measured("slope", measured.binary, measured.sign, "slope")
        return estimates(sloped, fitted.slope, fitted.slope_std_error, fitted.slope - half, fitted.slope + half, fitted.status, fitted.df)
