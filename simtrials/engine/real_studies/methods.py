"""Methods that can be asked for beside the main analysis: a table of name, label and function of effects and variances.

A further method is one line of `METHODS` (and, if its result has other fields, a small function that turns it into an `Answer`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.core.status import SENTENCES as FIT_SENTENCES
from simtrials.core.status import Status
from simtrials.stats import meta_status
from simtrials.stats.meta_analysis import CiRule, Tau2Choice, meta_analysis
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.quantiles import normal_critical, normal_p_value
from simtrials.stats.selection_models import step_selection


class Answer(NamedTuple):
    """What a method says of the mean effect, on the scale of the analysis (logarithms for ratios); NaN with the reason in `note`."""

    estimate: float
    std_error: float
    lower: float
    upper: float
    p_value: float
    note: str


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
    return meta_status.SENTENCES[MetaStatus(status)] if n_studies else "no study"


def pooled(tau2: Tau2Choice, ci: CiRule) -> Run:
    """A random-effects or common-effect meta-analysis."""

    def run(yi: FloatArray, vi: FloatArray, alternative: str) -> Answer:
        found = meta_analysis(yi, vi, tau2=tau2, ci=ci, tau2_ci="none")
        note = sentence_of(int(found.status), len(yi)) or (f"tau {np.sqrt(found.tau2):.2f}" if tau2 != "common" else "")
        return Answer(float(found.estimate), float(found.std_error), float(found.lower), float(found.upper), float(found.p_value), note)

    return run


def selected(*steps: float) -> Run:
    """A step selection model; its interval is of Wald form."""

    def run(yi: FloatArray, vi: FloatArray, alternative: str) -> Answer:
        found = step_selection(yi[np.newaxis], vi[np.newaxis], steps, alternative)  # type: ignore[arg-type]
        status = int(found.status[0])
        if status != Status.OK:
            why = "no study on one side of a step" if status == Status.EMPTY_CELL else FIT_SENTENCES[Status(status)]
            return Answer(np.nan, np.nan, np.nan, np.nan, np.nan, why)
        chances = ", ".join(f"{weight:.2f}" for weight in found.weight[0, 1:])
        return _of_wald(found, f"relative chance {chances} (P = {float(found.p_value[0]):.2f})")

    return run


def _of_wald(found: Any, note: str) -> Answer:
    """Estimate and standard error of the first replicate with a normal interval."""
    estimate, std_error = float(found.estimate[0]), float(found.std_error[0])
    margin = float(normal_critical(0.05)) * std_error
    return Answer(estimate, std_error, estimate - margin, estimate + margin, float(normal_p_value(np.array(estimate / std_error))), note)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("common", "common effect", pooled("common", "wald")),
        Method("dersimonian_laird", "DerSimonian-Laird, Wald", pooled("DL", "wald")),
        Method("reml_wald", "REML, Wald", pooled("REML", "wald")),
        Method("reml_hartung_knapp", "REML, Hartung-Knapp", pooled("REML", "hartung_knapp")),
        Method("reml_hartung_knapp_adhoc", "REML, Hartung-Knapp, not below 1", pooled("REML", "hartung_knapp_adhoc")),
        Method("reml_kenward_roger", "REML, Kenward-Roger", pooled("REML", "kenward_roger")),
        Method("paule_mandel_hartung_knapp", "Paule-Mandel, Hartung-Knapp", pooled("PM", "hartung_knapp")),
        Method("profile_likelihood", "ML, profile likelihood", pooled("ML", "profile_likelihood")),
        Method("henmi_copas", "Henmi-Copas", pooled("DL", "henmi_copas")),
        Method("step_selection", "selection, one step at P = .025", selected(0.025)),
        Method("step_selection_2", "selection, steps at P = .025, .5", selected(0.025, 0.5)),
    )
}
"""Methods by name, in the order of tables."""


def methods_named(names: tuple[str, ...]) -> tuple[Method, ...]:
    """Methods in the order asked for; SimtrialsError for an unknown name."""
    for name in names:
        if name not in METHODS:
            raise SimtrialsError(f"no method called {name!r}{did_you_mean(name, METHODS)}")
    return tuple(METHODS[name] for name in dict.fromkeys(names))
