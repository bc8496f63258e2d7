"""Sites: patients of one site are alike, and the drug may do better in one site than in another."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import gammaincinv, ndtr

from simtrials.core.arrays import AnyArray, FloatArray, patient_major, replicate_major
from simtrials.core.check import Count, NonNegative, Within
from simtrials.core.kernels import kernel
from simtrials.core.rng import Streams, normals, uniforms
from simtrials.trial.departures.base import DEPARTURES, Departure


@DEPARTURES.register
class Sites(Departure):
    """Random site effects on the level after baseline and on the benefit of the drug; sites may be unequal in size.

    The share `icc` of the declared variance after baseline is that between sites, so SD and correlations of scores stay as declared.
    """

    kind: Literal["sites"] = "sites"
    number: Annotated[Count, Within(high=10_000)] = Field(description="number of sites")
    size_cv: NonNegative = Field(default=0.0, description="coefficient of variation of the sites' expected sizes, gamma distributed; 0: equal")
    icc: Annotated[float, Within(0, 1, open_high=True)] = Field(
        default=0.11, description="share of the variance of scores after baseline that lies between sites (0.11: 17 sites of Goldstein 2004)"
    )
    effect_sd: NonNegative = Field(
        default=0.0, description="SD between sites of the drug's final benefit, in SDs of the endpoint's score at its last visit"
    )

    def without_effects(self, control: str) -> Departure:
        return self.model_copy(update={"effect_sd": 0.0})

    def start(self, path: str, streams: Streams, n_replicates: int) -> "SiteEffects":
        """The sites of a block of trials: expected sizes and random effects, drawn once per replicate."""
        shape = (n_replicates, self.number)
        edges = self._edges(normals(streams[f"{path}.size"], shape))
        level = np.sqrt(self.icc) * normals(streams[f"{path}.level"], shape)
        return SiteEffects(edges, level, self.effect_sd * normals(streams[f"{path}.effect"], shape))

    def assign(self, path: str, sites: "SiteEffects", streams: Streams, n_patients: int) -> AnyArray:
        """(R, P) the site of each of the next patients."""
        place = uniforms(streams[f"{path}.patient"], (sites.edges.shape[0], n_patients))
        return replicate_major(_site(patient_major(place), patient_major(sites.edges)))

    def _edges(self, luck: FloatArray) -> FloatArray:
        """(R, S) cumulated shares of the sites."""
        if self.size_cv == 0.0:
            return np.broadcast_to(np.arange(1, self.number + 1) / self.number, luck.shape)
        size = gammaincinv(1 / self.size_cv**2, ndtr(luck))
        return np.asarray(np.cumsum(size, axis=1) / size.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class SiteEffects:
    """(R, S) cumulated shares of the sites; level (a benefit) and addition to the drug's benefit, in SDs of the score."""

    edges: FloatArray
    level: FloatArray
    effect: FloatArray

    def of_patients(self, by_site: FloatArray, site: AnyArray) -> FloatArray:
        """(P, R) the number of each patient's site (R, P)."""
        place = patient_major(site)
        return np.asarray(by_site[np.arange(place.shape[1]), place])


@kernel
def _site(place: FloatArray, edges: FloatArray) -> AnyArray:
    """(P, R) first site whose cumulated share (S, R) exceeds the place."""
    site = np.empty(place.shape, dtype=np.int16)
    for p in range(place.shape[0]):
        for r in range(place.shape[1]):
            s = 0
            while s < edges.shape[0] - 1 and edges[s, r] <= place[p, r]:
                s += 1
            site[p, r] = s
    return site
