"""When the last patient is in: sites open over time and screen candidates as Poisson processes whose rates differ between sites."""

from typing import Annotated

import numpy as np
from pydantic import Field

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Component, Count, NonNegative, Positive, Within
from simtrials.core.rng import Streams

MONTH = 365.25 / 12 / 7
"""Weeks in a month."""


class Recruitment(Component):
    """Declares sites and how fast they screen.

    Given their rates, sites screen candidates as Poisson processes from the day they open; the rates follow a gamma distribution over sites.

    Source: Anisimov and Fedorov (2007), Statistics in Medicine 26, 4958-4975.
    """

    sites: Annotated[Count, Within(1, 2_000)] = Field(description="number of sites")
    screened_per_site_month: Positive = Field(description="candidates that a site screens in a month, mean over sites")
    site_cv: NonNegative = Field(default=0.5, description="coefficient of variation of the sites' rates")
    months_between_openings: NonNegative = Field(default=0.0, description="months from the opening of one site to that of the next; the first at 0")

    def months(self, n_screened: FloatArray, streams: Streams) -> FloatArray:
        """(R,) months until so many candidates (R,) are screened."""
        shape = (n_screened.size, self.sites)
        rates = np.full(shape, self.screened_per_site_month)
        if self.site_cv > 0:
            k = self.site_cv**-2
            rates = self.screened_per_site_month / k * streams["rates"].standard_gamma(k, shape)
        needed = streams["arrivals"].standard_gamma(n_screened)
        opened = self.months_between_openings * np.arange(self.sites)
        together = np.cumsum(rates, axis=1)
        before = np.concatenate([np.zeros((n_screened.size, 1)), np.cumsum(together[:, :-1] * np.diff(opened), axis=1)], axis=1)
        last = (before <= needed[:, np.newaxis]).sum(axis=1) - 1
        row = np.arange(n_screened.size)
        return np.asarray(opened[last] + (needed - before[row, last]) / together[row, last])
