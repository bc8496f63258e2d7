"""Latent normals of all endpoints of a patient, correlated within and between endpoints.

Every endpoint draws its own independent normals; a lower triangular factor mixes in those of earlier endpoints, so that adding an endpoint
leaves the luck of those before it as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import Problem
from simtrials.core.kernels import kernel
from simtrials.core.matrices import cholesky, nearest_correlation
from simtrials.core.rng import Streams, normals
from simtrials.trial.endpoints import Endpoint, Latent, SymptomScale
from simtrials.trial.trial import EndpointCorrelation


@dataclass(frozen=True, slots=True)
class LatentFactor:
    """Lower factor in blocks: `parts[name]` lists (endpoint whose luck is used, matrix (M of name, M of that endpoint))."""

    sizes: Mapping[str, int]
    parts: Mapping[str, tuple[tuple[str, FloatArray], ...]]

    def draw(self, streams: Streams, n_replicates: int, n_patients: int) -> dict[str, FloatArray]:
        """(P, M, R) independent normals of each endpoint, patients slowest."""
        luck = {name: normals(streams[f"endpoints.{name}"], (n_replicates, n_patients, size)) for name, size in self.sizes.items()}
        return {name: values.transpose(1, 2, 0) for name, values in luck.items()}

    def deviations(self, name: str, luck: Mapping[str, FloatArray]) -> FloatArray:
        """(M, P, R) deviations from the mean, in the endpoint's unit."""
        patients, size, replicates = luck[name].shape
        out = np.zeros((size, patients, replicates))
        for other, matrix in self.parts[name]:
            _add_product(matrix, luck[other], out)
        return out


@kernel
def _add_product(matrix: FloatArray, luck: FloatArray, out: FloatArray) -> None:
    """out[m, p, r] += sum over k of matrix[m, k] luck[p, k, r]."""
    size, patients, replicates = out.shape
    for p in range(patients):
        for m in range(size):
            for k in range(matrix.shape[1]):
                weight = matrix[m, k]
                if weight != 0.0:
                    for r in range(replicates):
                        out[m, p, r] += weight * luck[p, k, r]


def factor(
    endpoints: Mapping[str, Endpoint], correlations: tuple[EndpointCorrelation, ...], ln_usual_variance: Mapping[str, float], icc: float = 0.0
) -> tuple[LatentFactor | None, list[Problem]]:
    """The factor of all endpoints, or the problems that stand in its way."""
    latents = {name: endpoint.latent() for name, endpoint in endpoints.items()}
    starts = dict(zip(latents, np.cumsum([0, *(len(latent.weeks) for latent in latents.values())]), strict=False))
    total = sum(len(latent.weeks) for latent in latents.values())
    covariance, loading = np.zeros((total, total)), {name: np.zeros(total) for name in ln_usual_variance}
    spans = {name: slice(start, start + len(latents[name].weeks)) for name, start in starts.items()}
    for name, latent in latents.items():
        covariance[spans[name], spans[name]] = latent.covariance
        marker = _prognostic_marker(endpoints[name], ln_usual_variance)
        if marker is not None:
            loading[marker][spans[name]] = latent.loading
    problems = [problem for i, pair in enumerate(correlations) for problem in _cross(pair, i, endpoints, covariance, spans)]
    if problems:
        return None, problems
    site = np.concatenate([_site_loading(endpoints[name], latent, icc) for name, latent in latents.items()])
    rest = covariance - np.outer(site, site) - sum(v * np.outer(loading[name], loading[name]) for name, v in ln_usual_variance.items())
    problems = _not_a_covariance(covariance, rest, latents, spans)
    if problems:
        return None, problems
    lower = cholesky(rest)
    parts = {
        name: tuple((other, lower[span, spans[other]]) for other in latents if starts[other] <= starts[name] and lower[span, spans[other]].any())
        for name, span in spans.items()
    }
    return LatentFactor({name: len(latent.weeks) for name, latent in latents.items()}, parts), []


def _site_loading(endpoint: Endpoint, latent: Latent, icc: float) -> FloatArray:
    """(M,) what a site one SD above the mean adds to each reading: the share of the variance of scores after baseline that lies between sites."""
    sign = -1.0 if endpoint.improves == "down" else 1.0
    after = np.array([week > 0 for week in latent.weeks]) & isinstance(endpoint, SymptomScale)
    return np.where(after, sign * np.sqrt(icc * np.diag(latent.covariance)), 0.0)


def _prognostic_marker(endpoint: Endpoint, markers: Mapping[str, float]) -> str | None:
    if not isinstance(endpoint, SymptomScale) or endpoint.prognostic is None:
        return None
    return endpoint.prognostic.biomarker or next(iter(markers), None)


def _cross(
    pair: EndpointCorrelation, index: int, endpoints: Mapping[str, Endpoint], covariance: FloatArray, spans: Mapping[str, slice]
) -> list[Problem]:
    """Fill in the covariance between two endpoints: rho times the visit correlation of the first."""
    first, second = pair.between
    weeks, other_weeks = endpoints[first].latent().weeks, endpoints[second].latent().weeks
    leader = endpoints[first]
    if len(weeks) == 1 and len(other_weeks) > 1:
        return [Problem(f"correlations[{index}].between", f"name {second!r} first, since its visit correlation is used")]
    try:
        if isinstance(leader, SymptomScale):
            visit = leader.correlation.between(leader.latent_weeks, weeks, other_weeks)
        else:
            own = _correlation(leader.latent().covariance)
            visit = own[:, [_nearest(weeks, week) for week in other_weeks]]
    except ValueError as error:
        return [
            Problem(
                f"correlations[{index}].between", f"the visit correlation of {first!r} {error}, where {second!r} is measured; name {second!r} first"
            )
        ]
    sds = [np.sqrt(np.diag(covariance[spans[name], spans[name]])) for name in pair.between]
    block = pair.rho * visit * np.outer(*sds)
    covariance[spans[first], spans[second]] = block
    covariance[spans[second], spans[first]] = block.T
    return []


def _nearest(weeks: tuple[float, ...], week: float) -> int:
    """Position of a week: baseline with baseline, else the last."""
    return 0 if week == 0.0 and weeks[0] == 0.0 else len(weeks) - 1


def _correlation(covariance: FloatArray) -> FloatArray:
    sd = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(sd, sd))


def _not_a_covariance(whole: FloatArray, rest: FloatArray, latents: Mapping[str, Latent], spans: Mapping[str, slice]) -> list[Problem]:
    """Whether the joint covariance, and what prognosis leaves of it, can exist."""
    scaled = _correlation(whole)
    if np.linalg.eigvalsh(scaled)[0] < -1e-10:
        near = nearest_correlation(scaled)
        i, j = sorted(np.unravel_index(int(np.argmax(np.abs(near - scaled))), scaled.shape))
        names = {
            span.start + k: f"{name} at {'baseline' if week == 0 else f'week {week:g}'}"
            for name, span in spans.items()
            for k, week in enumerate(latents[name].weeks)
        }
        sentence = (
            "the endpoints cannot be correlated like this: together with their visit correlations this is no correlation matrix; "
            f"most at fault are {names[int(i)]} and {names[int(j)]} ({scaled[i, j]:.2f}, nearest valid {near[i, j]:.2f}); use a smaller rho"
        )
        return [Problem("correlations", sentence)]
    sd = np.sqrt(np.diag(whole))
    if np.linalg.eigvalsh(rest / np.outer(sd, sd))[0] < -1e-10:
        return [
            Problem(
                "endpoints", "prognosis and sites explain more variation than the declared SDs and correlations leave; use a smaller slope or icc"
            )
        ]
    return []
