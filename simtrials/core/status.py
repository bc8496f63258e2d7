"""Why a replicate could not be estimated, as a number per replicate and as a sentence for the reader."""

from enum import IntEnum


class Status(IntEnum):
    """Outcome of one analysis in one replicate; everything but `OK` comes with NaN in the estimate or is named in the report."""

    OK = 0
    TOO_FEW_PATIENTS = 1
    NO_VARIATION = 2
    COLLINEAR = 3
    SEPARATED = 4
    NOT_CONVERGED = 5
    EMPTY_CELL = 6
    TOO_FEW_STUDIES = 20
    SINGLE_STUDY = 21
    ZERO_VARIANCE = 22


SENTENCES = {
    Status.OK: "estimated",
    Status.TOO_FEW_PATIENTS: "too few patients in an arm",
    Status.NO_VARIATION: "the outcome does not vary",
    Status.COLLINEAR: "covariates are collinear",
    Status.SEPARATED: "logistic fit separated",
    Status.NOT_CONVERGED: "the fit did not converge",
    Status.EMPTY_CELL: "no events (or only events) in an arm",
    Status.TOO_FEW_STUDIES: "too few studies",
    Status.SINGLE_STUDY: "only one study",
    Status.ZERO_VARIANCE: "a study has no sampling variance",
}
