"""Missing visits replaced by their conditional means, with jackknife standard errors: imputation without random numbers.

The normal model of `imputation` is fitted by restricted maximum likelihood, which for patients who drop out is least squares of each visit on
the earlier ones; a patient with a gap informs the model up to the gap. Each missing visit becomes its mean given the patient's other visits,
at random or by reference. The analysis of covariance that follows estimates what multiple imputation does with infinitely many imputations,
and leaving out patients in turn shows how it varies from trial to trial, which Rubin's rules overstate when imputation is by reference.

Sources: Wolbers, Noci, Delmar, Gower-Page, Yiu and Bartlett (2022), Pharmaceutical Statistics 21:1246-1257; leaving out a patient from a
regression, Cook and Weisberg (1982), Residuals and Influence in Regression, appendix A.2.
"""

from typing import get_args

import numpy as np

from simtrials.core.arrays import ArmArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.imputation import (
    Cohort,
    Draws,
    Regressions,
    draw_coefficients,
    factorise_visits,
    load_rows,
    of_both_arms,
    regressors_and_group,
    residual_df,
    sum_products,
    used_visits,
)
from simtrials.stats.means import Contrast
from simtrials.stats.reference_based import Assumption, complete_patient
from simtrials.stats.rubin import factorise, regressors

COLLINEAR, TOO_FEW_PATIENTS = int(Status.COLLINEAR), int(Status.TOO_FEW_PATIENTS)


class Fit(NamedTuple):
    """Regressions of each visit, and what is needed to leave out a patient."""


def fitted(patients: Cohort, regressions: Regressions = "by_arm") -> Draws:
    """The regressions as estimated, as a single set of parameters without luck: `impute` then returns conditional means.

    Residual variances are restricted maximum likelihood: the divisor counts intercept and columns known at baseline, not earlier visits.
    """
