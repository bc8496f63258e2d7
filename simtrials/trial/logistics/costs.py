"""What a trial costs."""

import numpy as np
from pydantic import Field

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Component, NonNegative


class Costs(Component):
    """Declares prices; a trial's cost is the sum of what it uses times its price."""

    currency: str = Field(default="EUR", description="currency of all prices")
    fixed: NonNegative = Field(default=0.0, description="whatever the size: protocol, database, insurance")
    per_site: NonNegative = Field(default=0.0, description="to open and close a site")
    per_month: NonNegative = Field(default=0.0, description="running costs from the first site's opening to the last patient's last visit")
    per_screen: NonNegative = Field(default=0.0, description="each candidate who is screened, samples aside")
    per_sample: NonNegative = Field(default=0.0, description="each sample of a biomarker that is taken at screening")
    per_patient: NonNegative = Field(default=0.0, description="each patient randomised, drug included")
    per_visit: NonNegative = Field(default=0.0, description="each planned visit of a randomised patient, baseline included")

    def total(self, n_screened: FloatArray, n_patients: int, n_visits: int, n_samples: int, n_sites: int, months: FloatArray) -> FloatArray:
        """(R,) cost of trials that screened so many (R,), with so many samples each, and took so long (R,)."""
        return np.asarray(self.without_screening(n_patients, n_visits, n_sites, months) + self.of_screening(n_screened, n_samples))

    def without_screening(self, n_patients: FloatArray | int, n_visits: int, n_sites: int, months: FloatArray) -> FloatArray:
        """(R,) cost of all that is not screening, of trials that took so long (R,)."""
        certain = self.fixed + self.per_site * n_sites + (self.per_patient + self.per_visit * n_visits) * n_patients
        return np.asarray(certain + self.per_month * months)

    def of_screening(self, n_screened: FloatArray, n_samples: int) -> FloatArray:
        """(R,) cost of screening so many candidates (R,), with so many samples each."""
        return np.asarray((self.per_screen + self.per_sample * n_samples) * n_screened)
