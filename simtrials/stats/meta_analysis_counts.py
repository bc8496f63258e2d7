"""Meta-analysis of events in two arms without the detour of effect sizes: pooled tables, and models of the counts themselves.

| method | measures | effects of studies | zero cells |
|---|---|---|---|
| mantel_haenszel | OR, RR, RD | common | nothing added to the pooled tables |
| peto | OR | common, small, arms alike in size | nothing added |
| beta_binomial | OR, RR, RD | risks of both arms vary with one correlation; arms of a study as if independent | in the likelihood |
| glmm_unconditional | OR | normal, an intercept for each study (UM.FS) | in the likelihood |
| glmm_random_study | OR | normal, normal intercepts (UM.RS) | in the likelihood |
| glmm_conditional | OR | normal, given the number of events, for rare events (CM.AL) | in the likelihood |

What is computed where: `pooled_counts`, `beta_binomial`, `count_glmm`.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.stats.beta_binomial import beta_binomial
from simtrials.stats.count_glmm import count_glmm
from simtrials.stats.effect_sizes_counts import COUNT_EFFECTS, RULES, Tables, To
from simtrials.stats.heterogeneity import chi2_p_value
from simtrials.stats.pooled_counts import AssociationTests, PooledMeasure, ZeroCells, association_tests, mantel_haenszel, peto
from simtrials.stats.quantiles import normal_critical, normal_p_value
from simtrials.stats.shown import readable

CountMethod = Literal["mantel_haenszel", "peto", "beta_binomial", "glmm_unconditional", "glmm_random_study", "glmm_conditional"]
METHODS: tuple[str, ...] = get_args(CountMethod)
MEASURES: tuple[str, ...] = get_args(PooledMeasure)


@readable
class CountMetaAnalysis(NamedTuple):
    """Results in the shape of the input without its last axis, numbers for one body of evidence; NaN where something cannot be estimated."""

    estimate: FloatArray
    """log odds ratio, log risk ratio or risk difference, active against control"""
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided normal test of an effect of 0"""
    tau2: FloatArray
    """variance of log odds ratios between studies, of the binomial-normal models"""
    study_variance: FloatArray
    """variance of logits of risk between studies, of glmm_random_study"""
    rho: FloatArray
    """correlation within arms, of the beta-binomial model; 0 where the binomial fits best"""
    q: FloatArray
    """heterogeneity: Cochran's Q about the pooled effect, or the likelihood-ratio test of the binomial-normal models; NaN for beta_binomial"""
    q_p_value: FloatArray
    q_wald: FloatArray
    """Wald's test of heterogeneity of the binomial-normal models"""
    i2: FloatArray
    """share of the variance of effects that is not sampling error, 0 to 1; NaN for beta_binomial"""
    n_studies: IntArray
    """those that count for the pooled effect"""
    status: IntArray
    """`MetaStatus`"""


def meta_analysis_counts(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    measure: PooledMeasure = "OR",
    method: CountMethod = "mantel_haenszel",
    level: float = 0.95,
    add: tuple[float, float] = (0.5, 0.0),
    to: tuple[To, To] = ("only0", "none"),
    drop00: bool | tuple[bool, bool] | None = None,
) -> CountMetaAnalysis:
    """Pool the events of two arms over studies, (k,) for one meta-analysis or (..., k) for many.

    Parameters
    ----------
    events_active, n_active, events_control, n_control : events and patients, NaN for a study that is absent; one with an empty arm is absent too
    measure : "OR" log odds ratio, "RR" log risk ratio, "RD" risk difference, as the table of methods allows
    method : a name of the table above
    level : of the interval, which is Wald's
    add, to : what is added to the four cells, and where, as in `effect_sizes`: first in the effects of single studies, which only Q and I2 use, then
        in the pooled effect, which models of the counts do not allow
    drop00 : whether studies in which nobody, or everybody, has the event are left out of the same two; one word for both. Default as in R's
        metafor: (True, False), and True for the binomial-normal models. glmm_unconditional never uses such studies

    Returns
    -------
    CountMetaAnalysis. TOO_FEW_STUDIES without a study; SINGLE_STUDY its own effect, heterogeneity unknown; EMPTY_CELL where a ratio is 0, infinite
    or 0 / 0; NO_VARIATION, without an interval, where the standard error is 0; NOT_CONVERGED

    Source: the modules named above; zero cells as in R's metafor (rma.mh, rma.peto, rma.glmm).
    """
    _checked("method", method, METHODS)
    _checked("measure", measure, MEASURES)
    if measure != "OR" and method not in ("mantel_haenszel", "beta_binomial"):
        raise ValueError(f'meta_analysis_counts: {method} goes with measure = "OR", got {measure!r}')
    is_model = method not in ("mantel_haenszel", "peto")
    if is_model and to[1] != "none" and add[1] != 0:
        raise ValueError(f'meta_analysis_counts: {method} needs no correction of zero cells; the second word of `to` must be "none", got {to[1]!r}')
    zeros = _zero_cells(add, to, drop00, method)
    tables, shape = _tables(events_active, n_active, events_control, n_control)
    n_replicates = len(tables.a)
    nothing = np.full(n_replicates, np.nan)
    tau2 = study_variance = rho = q_wald = nothing
    if method in ("mantel_haenszel", "peto"):
        pooled = peto(tables, zeros) if method == "peto" else mantel_haenszel(tables, measure, zeros)
        estimate, std_error, q, df, n_studies, status = pooled
        with np.errstate(invalid="ignore", divide="ignore"):
            i2 = np.where(np.isnan(q), np.nan, np.where(q > df, 1 - df / q, 0.0))
    else:
        used = tables.corrected(0.0, "none", zeros.drop00[1])
        if method == "beta_binomial":
            model = beta_binomial(np.stack(used), measure)
            estimate, std_error, rho, n_studies, status, q, i2 = *model[:3], model.n_studies, model.status, nothing, nothing
        else:
            fit = count_glmm(used.a, used.n_active, used.c, used.n_control, method.removeprefix("glmm_"))
            estimate, std_error, tau2, study_variance, q, q_wald = fit[:6]
            n_studies, status, i2 = fit.n_studies, fit.status, _i2_of_model(tables, fit.tau2, zeros)
        df = np.asarray(n_studies - 1.0, dtype=np.float64)
    single = n_studies < 2
    q, i2 = np.where(single, np.nan, q), np.where(single, np.nan, i2)
    with np.errstate(invalid="ignore", divide="ignore"):
        margin = np.where(std_error > 0, normal_critical(1 - level) * std_error, np.nan)
        p_value = normal_p_value(np.where(std_error > 0, estimate / std_error, np.nan))
    effect = estimate, std_error, estimate - margin, estimate + margin, p_value, tau2, study_variance, rho
    columns: list[AnyArray] = [*effect, q, chi2_p_value(q, df), q_wald, i2, n_studies, status]
    return CountMetaAnalysis._make(_shaped(column, shape) for column in columns)


def count_association_tests(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    continuity_correction: bool = True,
    add: tuple[float, float] = (0.5, 0.0),
    to: tuple[To, To] = ("only0", "none"),
    drop00: bool | tuple[bool, bool] | None = None,
) -> AssociationTests:
    """Tests that go with the pooled odds ratio: of no effect (Mantel and Haenszel, Cochran), of one odds ratio in all (Breslow and Day, Tarone).

    Arguments as for `meta_analysis_counts`; the second of each pair of rules for zero cells counts. Results in the shape of the input without its
    last axis.

    Source: as in `pooled_counts.association_tests`.
    """
    tables, shape = _tables(events_active, n_active, events_control, n_control)
    found = association_tests(tables, _zero_cells(add, to, drop00, "mantel_haenszel"), continuity_correction=continuity_correction)
    return AssociationTests(*(_shaped(column, shape) for column in found))


def _zero_cells(add: tuple[float, float], to: tuple[To, To], drop00: bool | tuple[bool, bool] | None, method: str) -> ZeroCells:
    for name, pair in (("add", add), ("to", to)):
        if isinstance(pair, str) or np.shape(pair) != (2,):
            raise ValueError(f"meta_analysis_counts: {name} has two entries, for single studies and for the pooled effect, got {pair!r}")
    for word in to:
        _checked("to", word, RULES)
    if drop00 is None:
        drop00 = (True, method.startswith("glmm"))
    elif not isinstance(drop00, tuple):
        drop00 = (bool(drop00), bool(drop00))
    return ZeroCells((float(add[0]), float(add[1])), to, drop00)


def _tables(*counts: ArrayLike) -> tuple[Tables, tuple[int, ...]]:
    """Tables of shape (replicate, study), and the shape of the input."""
    arrays = [np.asarray(count, dtype=np.float64) for count in counts]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    if not shape or shape[-1] == 0:
        raise ValueError("meta_analysis_counts: counts of at least one study are needed")
    if any((np.isinf(array) | (array != np.rint(array)) & ~np.isnan(array)).any() for array in arrays):
        raise ValueError("meta_analysis_counts: events and patients are whole numbers, NaN for an absent study")
    return Tables.checked(*(np.broadcast_to(array, shape).reshape(-1, shape[-1]) for array in arrays)), shape


def _i2_of_model(tables: Tables, tau2: FloatArray, zeros: ZeroCells) -> FloatArray:
    """Tau2 over itself and the typical sampling variance of log odds ratios of single studies.

    Source: Higgins and Thompson (2002), Statistics in Medicine 21, 1539-1558, equation 9.
    """
    vi = COUNT_EFFECTS["OR"](tables.corrected(zeros.add[0], zeros.to[0], zeros.drop00[0]))[1]
    weight = 1 / np.where(np.isfinite(vi), vi, np.nan)
    first, second = np.nansum(weight, axis=-1), np.nansum(weight**2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        typical = ((~np.isnan(weight)).sum(axis=-1) - 1) / (first - second / first)
        return np.asarray(np.where(tau2 == 0, 0.0, tau2 / (typical + tau2)))


def _checked(name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise ValueError(f"meta_analysis_counts: {name} = {given!r} is not known{did_you_mean(str(given), known)}")


def _shaped(column: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """In the shape of the input without its last axis; a number where that is no shape."""
    return column.reshape(shape[:-1]) if len(shape) > 1 else column[0]
