"""Methods that can be asked for beside the main analysis: a table of name, label and function of effects and variances.

A further method is one line of `METHODS` (and, if its result has other fields, a small function that turns it into an `Answer`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.stats import meta_status
from simtrials.stats.limit_meta_analysis import limit_meta_analysis
from simtrials.stats.meta_analysis import CiRule, Tau2Choice, meta_analysis
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.p_uniform import p_uniform
from simtrials.stats.p_uniform_star import p_uniform_star
from simtrials.stats.pet_peese import peese, pet, pet_peese, unrestricted_wls, waap_wls
from simtrials.stats.publication_bias_sensitivity import worst_case
from simtrials.stats.selection_models import step_selection
from simtrials.stats.trim_and_fill import trim_and_fill


class Answer(NamedTuple):
    """What a method says of the mean effect, on the scale of the analysis (logarithms for ratios); NaN with the reason in `note`."""

    estimate: float
    std_error: float
    lower: float
    upper: float
    p_value: float
    note: str


SHORT = {
    MetaStatus.EMPTY_CELL: "no study in a bin of P",
    MetaStatus.TOO_FEW_STUDIES: "too few studies",
    MetaStatus.NO_SIGNIFICANT_STUDY: "no significant study",
    MetaStatus.NO_NONAFFIRMATIVE_STUDY: "significant studies only",
}
"""Reasons as methods of effects and variances have them."""
Run = Callable[[FloatArray, FloatArray, str], Answer]
"""(effects (k,), variances (k,), "greater" or "less": the side of a benefit) -> Answer"""


@dataclass(frozen=True, slots=True)
class Method:
    """A method by its name on the command line, with what tables call it."""

    name: str
    label: str
    run: Run


def sentence_of(status: int, n_studies: int) -> str:
    """Why a meta-analysis has no or only part of a result; empty where it has."""
    if status == MetaStatus.OK:
        return ""
    if not n_studies:
        return "no study"
    return SHORT.get(MetaStatus(status)) or meta_status.SENTENCES[MetaStatus(status)]


def pooled(tau2: Tau2Choice, ci: CiRule) -> Run:
    """A random-effects or common-effect meta-analysis."""

    def run(yi: FloatArray, vi: FloatArray, alternative: str) -> Answer:
        found = meta_analysis(yi, vi, tau2=tau2, ci=ci, tau2_ci="none")
        note = sentence_of(int(found.status), len(yi)) or (f"tau {np.sqrt(found.tau2):.2f}" if tau2 != "common" else "")
        return Answer(float(found.estimate), float(found.std_error), float(found.lower), float(found.upper), float(found.p_value), note)

    return run


def fitted(fit: Callable[[FloatArray, FloatArray, Any], Any], told: Callable[[Any], str] = lambda found: "") -> Run:
    """Any function of `stats` whose result has estimate, std_error, lower, upper, p_value and status; `told` says more of the result."""

    def run(yi: FloatArray, vi: FloatArray, alternative: str) -> Answer:
        found = fit(yi, vi, alternative)
        numbers = {name: float(getattr(found, name, np.nan)) for name in ("estimate", "std_error", "lower", "upper", "p_value")}
        return Answer(**numbers, note=sentence_of(int(found.status), len(yi)) or told(found))

    return run


def _chances(found: Any) -> str:
    """Of a step selection model: chances of publication relative to the most significant results, and the test of selection."""
    return f"relative chance {', '.join(f'{weight:.2f}' for weight in found.weight[1:])} (P = {float(found.selection_p_value):.2f})"


def _without_benefit(alternative: str) -> Any:
    """The side of the funnel on which studies without benefit lie."""
    return "left" if alternative == "greater" else "right"


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("common", "common effect", pooled("common", "wald")),
        Method("dersimonian_laird", "DerSimonian-Laird, Wald", pooled("DL", "wald")),
        Method("reml_wald", "REML, Wald", pooled("REML", "wald")),
        Method("reml_hartung_knapp", "REML, Hartung-Knapp", pooled("REML", "hartung_knapp")),
        Method("reml_hartung_knapp_adhoc", "REML, ad hoc Hartung-Knapp", pooled("REML", "hartung_knapp_adhoc")),
        Method("reml_kenward_roger", "REML, Kenward-Roger", pooled("REML", "kenward_roger")),
        Method("paule_mandel_hartung_knapp", "Paule-Mandel, Hartung-Knapp", pooled("PM", "hartung_knapp")),
        Method("profile_likelihood", "ML, profile likelihood", pooled("ML", "profile_likelihood")),
        Method("henmi_copas", "Henmi-Copas", pooled("DL", "henmi_copas")),
        Method("unrestricted_wls", "unrestricted WLS", fitted(lambda y, v, side: unrestricted_wls(y, v))),
        Method("waap_wls", "WAAP-WLS", fitted(lambda y, v, side: waap_wls(y, v))),
        Method(
            "trim_and_fill",
            "trim and fill, L0",
            fitted(lambda y, v, side: trim_and_fill(y, v, side=_without_benefit(side)), lambda found: f"{int(found.n_filled)} filled in"),
        ),
        Method("pet", "PET", fitted(lambda y, v, side: pet(y, v))),
        Method("peese", "PEESE", fitted(lambda y, v, side: peese(y, v))),
        Method("pet_peese", "PET-PEESE, one-sided rule", fitted(lambda y, v, side: pet_peese(y, v, rule="one_sided", alternative=side))),
        Method("limit_meta_analysis", "limit meta-analysis", fitted(lambda y, v, side: limit_meta_analysis(y, v))),
        Method("step_selection", "selection, one step at P = .025", fitted(lambda y, v, side: step_selection(y, v, (0.025,), side), _chances)),
        Method("step_selection_2", "selection, steps at P = .025, .5", fitted(lambda y, v, side: step_selection(y, v, (0.025, 0.5), side), _chances)),
        Method("p_uniform_star", "p-uniform*", fitted(lambda y, v, side: p_uniform_star(y, v, side))),
        Method("p_uniform", "p-uniform", fitted(lambda y, v, side: p_uniform(y, v, side))),
        Method("worst_case", "worst case of selection", fitted(lambda y, v, side: worst_case(y, v, side))),
    )
}
"""Methods by name, in the order of tables."""


def methods_named(names: tuple[str, ...]) -> tuple[Method, ...]:
    """Methods in the order asked for; SimtrialsError for an unknown name."""
    for name in names:
        if name not in METHODS:
            raise SimtrialsError(f"no method called {name!r}{did_you_mean(name, METHODS)}")
    return tuple(METHODS[name] for name in dict.fromkeys(names))
