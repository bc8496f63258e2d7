"""What can be asked of a file of study results, and how its columns are called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from simtrials.core.data import Table
from simtrials.trial.endpoints.scales import SCALES

OutcomeName = Literal["severity", "anhedonia", "response", "remission", "dropout", "serious_adverse_event", "event"]
Benefit = Literal["higher", "lower"]
SharedControl = Literal["combine", "split", "refuse"]
Subgroups = Literal["prefer_whole", "prefer_subgroup", "refuse"]
Scores = Literal["change", "endpoint", "both"]
ScoreKind = Literal["change", "endpoint"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Something that studies report: counts of patients, or scores of a kind of scale."""

    name: OutcomeName
    spoken: str
    events: str | None
    """the columns of its counts are called <events>_active and <events>_placebo; None for scores"""
    benefit: Benefit
    """whether more events (or a larger benefit in points) are better"""


OUTCOMES: dict[str, Outcome] = {
    outcome.name: outcome
    for outcome in (
        Outcome("severity", "severity", None, "higher"),
        Outcome("anhedonia", "anhedonia", None, "higher"),
        Outcome("response", "response", "responders", "higher"),
        Outcome("remission", "remission", "remitters", "higher"),
        Outcome("dropout", "dropout", "dropouts", "lower"),
        Outcome("serious_adverse_event", "serious adverse events", "sae", "lower"),
        Outcome("event", "events", "events", "lower"),
    )
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A measure of effect as a reader sees it."""

    name: str
    label: str
    ratio: bool
    """computed as a logarithm and shown as a ratio"""
    of: Literal["scores", "counts", "given"]

    @property
    def null(self) -> float:
        """No effect, as shown."""
        return 1.0 if self.ratio else 0.0


MEASURES: dict[str, Shown] = {
    shown.name: shown
    for shown in (
        Shown("RR", "risk ratio", True, "counts"),
        Shown("OR", "odds ratio", True, "counts"),
        Shown("RD", "risk difference", False, "counts"),
        Shown("PETO", "Peto odds ratio", True, "counts"),
        Shown("AS", "arcsine difference", False, "counts"),
        Shown("SMD", "Hedges g", False, "scores"),
        Shown("SMDH", "Hedges g, unequal SDs", False, "scores"),
        Shown("SMD1", "Glass delta, placebo SD", False, "scores"),
        Shown("MD", "mean difference", False, "scores"),
        Shown("GEN", "effect", False, "given"),
    )
}
"""Measures by name; the first of each kind is the default. A file with effects and variances may name any of them."""
STANDARDIZED = ("SMD", "SMDH", "SMD1")

ARMS = (("active",), ("placebo", "control"))
"""How columns of the two arms end, active first."""
KNOWN_AS: Mapping[str, tuple[str, ...]] = {
    "study": ("study", "trial", "author", "name", "slab"),
    "sample": ("sample_id",),
    "yi": ("yi",),
    "vi": ("vi",),
    "sei": ("sei", "se"),
}
"""How files usually call what is needed."""
METAFOR = {
    "n_active": "n1i",
    "n_control": "n2i",
    "events_active": "ai",
    "events_control": "ci",
    "endpoint_mean_active": "m1i",
    "endpoint_sd_active": "sd1i",
    "endpoint_mean_control": "m2i",
    "endpoint_sd_control": "sd2i",
}
"""The names of R's metafor for the same columns."""
ANHEDONIA = {scale.name for scale in SCALES.values() if scale.domain == "anhedonia"}


def column_of(role: str, table: Table) -> str | None:
    """The column that holds `role`, a usual name or `<what>_active` and `<what>_control`."""
    if role in KNOWN_AS:
        return next((name for name in KNOWN_AS[role] if name in table.columns), None)
    what, _, arm = role.rpartition("_")
    endings = ARMS[0] if arm == "active" else ARMS[1]
    found = next((f"{what}_{ending}" for ending in endings if f"{what}_{ending}" in table.columns), None)
    return found or (METAFOR[role] if METAFOR.get(role) in table.columns else None)


def control_word(table: Table) -> str:
    """Whether the file calls its control arms placebo."""
    return "placebo" if any(name.endswith("_placebo") for name in table.columns) else "control"


def both_arms(what: str) -> tuple[str, str]:
    """Roles of the two arms."""
    return f"{what}_active", f"{what}_control"


def roles_of(outcome: Outcome, kind: ScoreKind = "change") -> tuple[str, ...]:
    """All columns that an outcome needs."""
    if outcome.events is not None:
        return (*both_arms("n"), *both_arms(outcome.events))
    return (*both_arms("n"), *both_arms(f"{kind}_mean"), *both_arms(f"{kind}_sd"))


def known_scale(name: str | None) -> str | None:
    """The known scale of that name, whatever its hyphens, spaces and capitals."""
    plain = {_bare(scale): scale for scale in SCALES}
    return None if name is None else plain.get(_bare(name))


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


WORDS: dict[str, tuple[str, ...]] = {
    "outcome": get_args(OutcomeName),
    "shared_control": get_args(SharedControl),
    "subgroups": get_args(Subgroups),
    "scores": get_args(Scores),
    "benefit": get_args(Benefit),
    "improves": ("down", "up"),
}
"""What may be written for each choice."""
