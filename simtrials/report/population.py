"""What the terminal shows of a fitted population: rows, prevalences, regression, correlations, notes. Plain text, 80 columns."""

import math
import textwrap

from simtrials.engine.population_fit import PopulationFit
from simtrials.engine.population_fit.results import Estimated
from simtrials.report.look import TERMINAL_COLUMNS
from simtrials.report.numbers import DASH, decimals, fixed, whole, with_mcse
from simtrials.report.text import aligned

SHOWN = {"gaussian_copula": "copula", "crp_regression": "regression", "resampled": "resampled"}
INDENT = "  "


def summary(fit: PopulationFit) -> str:
    """The terminal block of a fit."""
    blocks = [_head(fit), _rows(fit), _prevalences(fit), _regression(fit), _correlations(fit), _notes(fit)]
    return "\n".join(block for block in blocks if block)


def _paragraph(text: str, indent: str = "", hanging: str | None = None) -> str:
    following = indent if hanging is None else hanging
    return textwrap.fill(text, TERMINAL_COLUMNS, initial_indent=indent, subsequent_indent=following, break_on_hyphens=False)


def _head(fit: PopulationFit) -> str:
    filtered = f", {fit.request.where}" if fit.request.where else ""
    weighted = f", weighted by {fit.request.weights}" if fit.request.weights else ""
    return _paragraph(f"{fit.name}: {whole(fit.n)} people{filtered}{weighted}")


def _rows(fit: PopulationFit) -> str:
    """Rows used and left out by reason."""
    lines = [("rows in the file", whole(fit.n_rows))]
    lines += [(f"left out: {reason.reason}", whole(reason.n)) for reason in fit.left_out]
    lines += [("used", whole(fit.n))]
    if fit.request.weights:
        lines += [("equally weighted people who would tell as much (Kish)", whole(fit.effective_size))]
    if fit.limit is not None:
        lines += [(f"of these below the limit of detection, {fit.limit:g} mg/L", whole(fit.n_below))]
    lines += [(f"of these {reason.reason}", whole(reason.n)) for reason in fit.lacking]
    if fit.lacking:
        lines += [("with every covariate", whole(fit.n_complete))]
    return aligned(lines, right=(1,), flexible=(0,))


def _prevalences(fit: PopulationFit) -> str:
    lines = [("CRP, mg/L", "data, % (SE)", f"{SHOWN[fit.kind]}, % (MCSE)", "log-normal, %")]
    for row in fit.prevalences:
        fitted = with_mcse(100 * row.share.fitted, 100 * row.share.mcse, 1)
        lines.append((f">= {row.cut:g}", _data(row.share, 100, 1), fitted, fixed(100 * row.log_normal, 1)))
    for name, found, value in (("mean of ln CRP", fit.ln_mean, fit.log_normal.mean), ("SD of ln CRP", fit.ln_sd, fit.log_normal.sd)):
        lines.append((name, _data(found, 1, 2), with_mcse(found.fitted, found.mcse, 2), fixed(value, 2)))
    return aligned(lines, right=(1, 2, 3))


def _data(found: Estimated, factor: float, places: int) -> str:
    """`51.1 (4.4)`, or a dash where the data cannot tell."""
    if found.data is None or found.std_error is None:
        return DASH
    return f"{fixed(factor * found.data, places)} ({fixed(factor * found.std_error, places)})"


def _regression(fit: PopulationFit) -> str:
    if fit.regression is None:
        return ""
    found = fit.regression
    labels = ("man of 40 years with BMI 28", "per kg/m2 of BMI", "per year of age", "woman against man", "residual SD")
    values = (found.intercept, found.bmi_slope, found.age_slope, found.female, found.residual_sd)
    lines = [(f"ln CRP of {whole(found.n)} people", "estimate (SE)")]
    for label, value, error in zip(labels, values, found.std_errors, strict=True):
        places = max(2, decimals(error, 4) + 1)
        lines.append((label, f"{fixed(value, places)} ({fixed(error, places)})"))
    lines.append(("variance explained", f"{fixed(100 * found.explained, 0)}%"))
    return aligned(lines, right=(1,))


def _correlations(fit: PopulationFit) -> str:
    if not fit.associations:
        return ""
    lines = [("correlation", "data (SE)", f"{SHOWN[fit.kind]} (MCSE)")]
    for pair in fit.associations:
        found = pair.correlation
        lines.append((f"{pair.first}, {pair.second}", _data(found, 1, 2), with_mcse(found.fitted, found.mcse, 2)))
    return aligned(lines, right=(1, 2), flexible=(0,))


def _notes(fit: PopulationFit) -> str:
    notes = [*_verdict(fit), *_cannot_tell(fit)]
    notes.append(f"SE: sampling error of the data. MCSE: Monte Carlo standard error, {whole(fit.n_simulated)} simulated people.")
    notes += [f"{note[0].upper()}{note[1:]}." if note.split()[0].isalpha() else f"{note}." for note in fit.notes]
    return "\n".join(_paragraph(note, INDENT) for note in notes)


def _verdict(fit: PopulationFit) -> list[str]:
    """How far the population is from the data, beside how far the data may be from the truth."""
    known = [row.share for row in fit.prevalences if row.share.data is not None and row.share.std_error is not None]
    if not known:
        return []
    gap = max(abs(share.fitted - (share.data or 0.0)) for share in known)
    error = max(share.std_error or 0.0 for share in known)
    return [
        f"The population is within {fixed(math.ceil(1000 * gap) / 10, 1)} percentage points of the data at these cut-offs; "
        f"the data's own sampling error is up to {fixed(100 * error, 1)}."
    ]


def _cannot_tell(fit: PopulationFit) -> list[str]:
    """Why a prevalence is missing."""
    unknown = [f"{row.cut:g}" for row in fit.prevalences if row.share.data is None]
    if not unknown:
        return []
    assert fit.limit is not None
    return [f"{DASH}: the data cannot tell who has {' or '.join(unknown)} mg/L or more, as the limit of detection is {fit.limit:g} mg/L."]
