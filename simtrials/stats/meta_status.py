"""Why a meta-analysis could not be fitted, as a number per meta-analysis and as a sentence for the reader.

Numbers below 20 mean what they mean in `simtrials.core.status`.
"""

from collections.abc import Iterable
from enum import IntEnum

from simtrials.core.errors import did_you_mean

ELSEWHERE = {"FE": "common", "EE": "common", "CE": "common", "knha": "hartung_knapp", "adhoc": "hartung_knapp_adhoc", "z": "wald"}
"""Names of R's metafor that are other names here."""


def called_here(word: str, known: Iterable[str]) -> str:
    """The end of a sentence on a word that is not known: what metafor's name is called here, else the nearest known word."""
    here = ELSEWHERE.get(word)
    return f"; metafor's {word!r} is {here!r} here" if here in set(known) else did_you_mean(word, known)


class MetaStatus(IntEnum):
    """Outcome of one meta-analysis; where it is not `OK`, what cannot be estimated is NaN and the rest stands as the sentence says."""

    OK = 0
    NO_VARIATION = 2
    COLLINEAR = 3
    NOT_CONVERGED = 5
    EMPTY_CELL = 6
    TOO_FEW_STUDIES = 20
    SINGLE_STUDY = 21
    ZERO_VARIANCE = 22
    NO_SIGNIFICANT_STUDY = 40
    NO_NONAFFIRMATIVE_STUDY = 41


SENTENCES = {
    MetaStatus.OK: "estimated",
    MetaStatus.NO_VARIATION: "all studies agree exactly, so that the residual variance is 0",
    MetaStatus.COLLINEAR: "moderators are collinear",
    MetaStatus.NOT_CONVERGED: "the fit did not converge",
    MetaStatus.EMPTY_CELL: "no events (or only events) in an arm of all studies, or no study in a bin of p-values",
    MetaStatus.TOO_FEW_STUDIES: "no more studies than coefficients",
    MetaStatus.SINGLE_STUDY: "one study: its own estimate, heterogeneity unknown",
    MetaStatus.ZERO_VARIANCE: "a study has no sampling variance",
    MetaStatus.NO_SIGNIFICANT_STUDY: "no study is significant on the side asked for",
    MetaStatus.NO_NONAFFIRMATIVE_STUDY: "all studies are significant on the side asked for",
}
