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
    per_screen: NonNegative = Field(default=0.0, description="each candidate who is screened, all samples")
    per_patient: NonNegative = Field(default=0.0, description="each patient randomised, drug included")
    per_visit: NonNegative = Field(default=0.0, description="each planned visit of a randomised patient, baseline included")

    def total(self, n_screened: FloatArray, n_patients: int, n_visits: int, n_sites: int, months: FloatArray) -> FloatArray:
        """(R,) cost of trials that screened so many (R,) and took so long (R,)."""
        certain = self.fixed + self.per_site * n_sites + (self.per_patient + self.per_visit * n_visits) * n_patients
        return np.asarray(certain + self.per_screen * n_screened + self.per_month * months)
