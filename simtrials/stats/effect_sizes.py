"""Effect sizes of studies and their sampling variances: one name for each measure, arrays of any shape with studies on the last axis.

Measures carry the names of R's metafor, and contrasts are active minus control or active / control (logarithms). Means and standard deviations
are taken as they are given: a mean change with the SD of changes gives an effect on change scores (`effect_size_inputs` turns baseline and
final SDs, intervals, test statistics and quartiles into them).

| from means | |
|---|---|
| MD | difference of means |
| SMD | standardised by the pooled SD, Hedges' g |
| SMDH | by the root mean square of the two SDs |
| SMD1, SMD1H | by the SD of the control arm (Glass), variances assumed equal or not |
| ROM | logarithm of the ratio of means |
| CVR, VR | logarithm of the ratio of coefficients of variation, of SDs |

| from counts | |
|---|---|
| RR, OR, RD | log risk ratio, log odds ratio, risk difference |
| AS | difference of arcsine square roots of risks |
| PETO | Peto's one-step log odds ratio |
| PHI, YUQ, YUY, RTET | phi coefficient, Yule's Q and Y, tetrachoric correlation |
| PBIT, OR2DN, OR2DL | probit difference; log odds ratio as SMD, by normal (1.65) and logistic (pi / sqrt 3) latent outcomes |
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.core.status import Status
from simtrials.stats.effect_sizes_counts import COUNT_EFFECTS, CountMeasure, Tables, To
from simtrials.stats.shown import readable

MeanMeasure = Literal["MD", "SMD", "SMDH", "SMD1", "SMD1H", "ROM", "CVR", "VR"]
Measure = MeanMeasure | CountMeasure
Variance = Literal["LS", "LS2", "UB", "AV", "H0", "HO"]
Correction = Literal["exact", "approximate", "none"]


@readable
class EffectSizes(NamedTuple):
    """Effects and sampling variances, in the shape of the inputs."""

    yi: FloatArray
    vi: FloatArray
    """squared units of the effect; known constants in what follows"""
    status: IntArray
    """`Status`; EMPTY_CELL for an infinite effect, NO_VARIATION for one whose SD or variance is 0, TOO_FEW_PATIENTS; both numbers are then NaN"""


def effect_sizes(
    measure: Measure,
    *,
    mean_active: ArrayLike | None = None,
    sd_active: ArrayLike | None = None,
    n_active: ArrayLike | None = None,
    mean_control: ArrayLike | None = None,
    sd_control: ArrayLike | None = None,
    n_control: ArrayLike | None = None,
    events_active: ArrayLike | None = None,
    events_control: ArrayLike | None = None,
    variance: Variance = "LS",
    correction: Correction = "exact",
    add: float = 0.5,
    to: To = "only0",
    drop00: bool = False,
) -> EffectSizes:
    """Effect sizes of studies from means and SDs, or from counts of events.

    Parameters
    ----------
    measure : a name of the tables above
    mean_active, sd_active, n_active, mean_control, sd_control, n_control : (..., study), for measures from means
    events_active, n_active, events_control, n_control : (..., study), for measures from counts
    variance : for SMD "LS" (usual, 1/n1 + 1/n2 + g^2 / 2N), "LS2" (Borenstein 2009), "UB" (unbiased), "AV" (LS with the mean g of the studies) or
        "H0" (under no effect, independent of g); for MD "LS" (arms may differ) or "HO" (pooled SD); other measures have one
    correction : of small-sample bias in standardised differences, "exact" by gamma functions, "approximate" by 1 - 3 / (4m - 1), or
        "none", which gives Cohen's d with the variance of the same formula
    add, to : what is added to the four cells, and where: "only0" tables with a zero cell, "all", "if0all" all of a meta-analysis if any has one,
        "none", "treatment_arm" in proportion to the size of the other arm, twice `add` in total, in tables with a zero cell (Sweeting 2004)
    drop00 : leave out studies in which nobody, or everybody, has the event

    Returns
    -------
    EffectSizes; a study with any input missing has NaN and TOO_FEW_PATIENTS

    Raises
    ------
    ValueError where an input is missing, or a count or SD is negative

    Source: Hedges (1981), Journal of Educational Statistics 6, 107-128; Hedges and Olkin (1985); Borenstein (2009) in Cooper, Hedges and
    Valentine, chapter 12; Fleiss and Berlin (2009), ibid., chapter 13; Sweeting, Sutton and Lambert (2004), Statistics in Medicine 23,
    1351-1375; Nakagawa et al. (2015), Methods in Ecology and Evolution 6, 143-152 (CVR, VR); as in R's metafor::escalc.
    """
    if measure in COUNT_EFFECTS:
        given = {"events_active": events_active, "n_active": n_active, "events_control": events_control, "n_control": n_control}
        tables = Tables.checked(*_all_given(measure, given))
        yi, vi = COUNT_EFFECTS[measure](tables.corrected(add, to, drop00))
        empty, constant = ~np.isfinite(yi) | ~np.isfinite(vi), vi == 0
        return _with_status(yi, vi, ~tables.known(drop00), (empty, Status.EMPTY_CELL), (constant, Status.NO_VARIATION))
    if measure not in MEAN_EFFECTS:
        known = [*MEAN_EFFECTS, *COUNT_EFFECTS]
        raise ValueError(f"effect sizes: no measure called {measure!r}{did_you_mean(str(measure), known)}")
    moments = {"mean_active": mean_active, "sd_active": sd_active, "n_active": n_active}
    moments |= {"mean_control": mean_control, "sd_control": sd_control, "n_control": n_control}
    if measure == "VR":
        moments |= {"mean_active": 0.0, "mean_control": 0.0}
    arms = Arms.checked(*_all_given(measure, moments))
    yi, vi = MEAN_EFFECTS[measure](arms, _allowed(measure, variance), correction)
    few = np.isnan(sum(arms)) | (arms.n_active < 2) | (arms.n_control < 2)
    constant = arms.pooled_sd == 0 if measure == "MD" else (arms.sd_active == 0) | (arms.sd_control == 0)
    return _with_status(yi, vi, few, (constant, Status.NO_VARIATION), (~np.isfinite(yi) | ~np.isfinite(vi), Status.EMPTY_CELL))


def _all_given(measure: str, given: dict[str, ArrayLike | None]) -> list[ArrayLike]:
    missing = [name for name, values in given.items() if values is None]
    if missing:
        raise ValueError(f"effect sizes: {measure} needs {', '.join(missing)}")
    return [values for values in given.values() if values is not None]


VARIANCES: dict[str, tuple[Variance, ...]] = {
    "MD": ("LS", "HO"),
    "SMD": ("LS", "LS2", "UB", "AV", "H0"),
    "SMD1": ("LS", "LS2", "UB", "AV"),
    "SMDH": ("LS", "LS2"),
}


def _allowed(measure: str, variance: Variance) -> Variance:
    allowed = VARIANCES.get(measure, ("LS",))
    if variance not in allowed:
        raise ValueError(f"effect sizes: {measure} has no variance called {variance!r}{did_you_mean(variance, allowed)}")
    return variance


def _with_status(yi: FloatArray, vi: FloatArray, few: BoolArray, *reasons: tuple[BoolArray, Status]) -> EffectSizes:
    conditions, codes = zip((few, Status.TOO_FEW_PATIENTS), *reasons, strict=True)
    status = np.select(conditions, [int(code) for code in codes], int(Status.OK))
    unknown = status != Status.OK
    return EffectSizes(np.where(unknown, np.nan, yi), np.where(unknown, np.nan, vi), status)


class Arms(NamedTuple):
    """Means, SDs and sizes of two arms, all of one shape."""

    mean_active: FloatArray
    sd_active: FloatArray
    n_active: FloatArray
    mean_control: FloatArray
    sd_control: FloatArray
    n_control: FloatArray

    @classmethod
    def checked(cls, *values: ArrayLike) -> "Arms":
        arms = cls(*np.broadcast_arrays(*(np.asarray(column, dtype=np.float64) for column in values)))
        if any((column < 0).any() for column in (arms.sd_active, arms.sd_control, arms.n_active, arms.n_control)):
            raise ValueError("effect sizes: SDs and numbers of patients are not negative")
        return arms

    @property
    def df(self) -> FloatArray:
        return self.n_active + self.n_control - 2

    @property
    def n(self) -> FloatArray:
        return self.n_active + self.n_control

    @property
    def pooled_sd(self) -> FloatArray:
        squares = (self.n_active - 1) * self.sd_active**2 + (self.n_control - 1) * self.sd_control**2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(squares / self.df))


def hedges_correction(df: ArrayLike, correction: Correction = "exact") -> FloatArray:
    """The factor J that takes the small-sample bias out of a standardised mean difference; 0 for one degree of freedom.

    Parameters
    ----------
    df : any shape, degrees of freedom of the SD, at least 1 (NaN below)
    correction : "exact" by gamma functions, "approximate" by 1 - 3 / (4 df - 1), or "none", which is 1

    Source: Hedges (1981), Journal of Educational Statistics 6, 107-128, equations 6d and 6e.
    """
    m = np.where(np.asarray(df, dtype=np.float64) >= 1, df, np.nan)
    if correction == "none":
        return np.where(np.isnan(m), np.nan, 1.0)
    if correction == "approximate":
        return np.asarray(1 - 3 / (4 * m - 1))
    return np.asarray(np.exp(gammaln(m / 2) - np.log(m / 2) / 2 - gammaln((m - 1) / 2)))


def _weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Over the studies of each meta-analysis, (..., 1)."""
    known = ~np.isnan(values * weights)
    total = weights.sum(axis=-1, where=known, keepdims=True) if values.ndim else weights
    above = (values * weights).sum(axis=-1, where=known, keepdims=True) if values.ndim else values * weights
    return np.asarray(above / np.where(total > 0, total, np.nan))


def _mean_difference(arms: Arms, variance: Variance, correction: Correction) -> tuple[FloatArray, FloatArray]:
    if variance == "HO":
        vi = arms.pooled_sd**2 * (1 / arms.n_active + 1 / arms.n_control)
    else:
        vi = arms.sd_active**2 / arms.n_active + arms.sd_control**2 / arms.n_control
    return arms.mean_active - arms.mean_control, vi


def _standardised(
    arms: Arms, sd: FloatArray, df: FloatArray, n: FloatArray, variance: Variance, correction: Correction
) -> tuple[FloatArray, FloatArray]:
    j = hedges_correction(df, correction)
    d = (arms.mean_active - arms.mean_control) / sd
    g = j * d
    sampling = 1 / arms.n_active + 1 / arms.n_control
    if variance == "LS2":
        return g, j**2 * (sampling + d**2 / (2 * n))
    if variance == "UB":
        return g, sampling + (1 - (df - 2) / (df * j**2)) * g**2
    if variance == "H0":
        return g, j**2 * sampling * df / (df - 2)
    typical = _weighted_mean(g, arms.n) if variance == "AV" else g
    return g, sampling + typical**2 / (2 * n)


def _smd(arms: Arms, variance: Variance, correction: Correction) -> tuple[FloatArray, FloatArray]:
    return _standardised(arms, arms.pooled_sd, arms.df, arms.n, variance, correction)


def _smd_by_control(arms: Arms, variance: Variance, correction: Correction) -> tuple[FloatArray, FloatArray]:
    return _standardised(arms, arms.sd_control, arms.n_control - 1, arms.n_control, variance, correction)


def _smd_by_control_unequal(arms: Arms, variance: Variance, correction: Correction) -> tuple[FloatArray, FloatArray]:
    g = hedges_correction(arms.n_control - 1, correction) * (arms.mean_active - arms.mean_control) / arms.sd_control
    ratio = (arms.sd_active / arms.sd_control) ** 2
    return g, ratio / arms.n_active + 1 / arms.n_control + g**2 / (2 * arms.n_control)


def _smd_unequal(arms: Arms, variance: Variance, correction: Correction) -> tuple[FloatArray, FloatArray]:
    j = hedges_correction(arms.df, correction)
    active, control = arms.sd_active**2, arms.sd_control**2
    both = active + control
    g = j * (arms.mean_active - arms.mean_control) / np.sqrt(both / 2)
    if variance == "LS2":
        of_sd = g**2 / (2 * both**2) * (active / arms.n_active + control / arms.n_control)
        return g, of_sd + 2 / both * (active / arms.n_active + control / arms.n_control)
    df_active, df_control = arms.n_active - 1, arms.n_control - 1
    of_sd = g**2 * (active**2 / df_active + control**2 / df_control) / (2 * both**2)
    return g, j**2 * (of_sd + (active / df_active + control / df_control) / (both / 2))


def _ratio_of_means(arms: Arms, variance: Variance, correction: Correction) -> tuple[FloatArray, FloatArray]:
    ratio = arms.mean_active / arms.mean_control
    vi = _squared_cv(arms.sd_active, arms.mean_active, arms.n_active) + _squared_cv(arms.sd_control, arms.mean_control, arms.n_control)
    return np.log(np.where(ratio > 0, ratio, np.nan)), vi


def _squared_cv(sd: FloatArray, mean: FloatArray, n: FloatArray) -> FloatArray:
    return np.asarray(sd**2 / (n * mean**2))


def _ratio_of_sds(arms: Arms, variance: Variance, correction: Correction) -> tuple[FloatArray, FloatArray]:
    of_active, of_control = 1 / (2 * (arms.n_active - 1)), 1 / (2 * (arms.n_control - 1))
    return np.log(arms.sd_active / arms.sd_control) + of_active - of_control, of_active + of_control


def _ratio_of_cvs(arms: Arms, variance: Variance, correction: Correction) -> tuple[FloatArray, FloatArray]:
    sds, vi_sds = _ratio_of_sds(arms, variance, correction)
    means, vi_means = _ratio_of_means(arms, variance, correction)
    return sds - means, vi_sds + vi_means


def _quietly(effect: "MeanEffect") -> "MeanEffect":
    """Divisions by 0 give what the status names."""

    def computed(arms: Arms, variance: Variance, correction: Correction) -> tuple[FloatArray, FloatArray]:
        with np.errstate(all="ignore"):
            return effect(arms, variance, correction)

    return computed


MeanEffect = Callable[[Arms, Variance, Correction], tuple[FloatArray, FloatArray]]
MEAN_EFFECTS: dict[str, MeanEffect] = {
    "MD": _quietly(_mean_difference),
    "SMD": _quietly(_smd),
    "SMDH": _quietly(_smd_unequal),
    "SMD1": _quietly(_smd_by_control),
    "SMD1H": _quietly(_smd_by_control_unequal),
    "ROM": _quietly(_ratio_of_means),
    "CVR": _quietly(_ratio_of_cvs),
    "VR": _quietly(_ratio_of_sds),
}
