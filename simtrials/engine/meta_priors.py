"""Priors from a meta-analysis: what `simtrials meta` found becomes the distribution of a new trial's effect, or of the mean effect.

`"meta:DIR_OR_FILE"` stands where a distribution would; `#mean` takes the mean effect, `#NAME` one of the groups of `--by`. The 95% interval of the
distribution is the prediction interval (or the confidence interval of the mean) that was reported, with the degrees of freedom of its rule.

Source: Higgins, Thompson and Spiegelhalter (2009), Journal of the Royal Statistical Society A 172, 137-159, sections 3 and 5.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simtrials.core.errors import DeclarationError, Problem, SimtrialsError, did_you_mean
from simtrials.stats.quantiles import normal_critical, t_critical
from simtrials.trial.distributions import Distribution, Normal, StudentT

START, NEW_TRIAL, MEAN = "meta:", "new_trial", "mean"
FILE = "meta.json"
"""What a folder of `simtrials meta --out` has for other commands."""
STANDARDIZED, POINTS, LOG_ODDS = ("SMD", "SMDH", "SMD1"), ("MD",), ("OR", "PETO")
MEASURES_OF = {
    "smd": STANDARDIZED,
    "mean_smd": STANDARDIZED,
    "points": POINTS,
    "mean_points": POINTS,
    "log_odds_ratio": LOG_ODDS,
}
"""Fields that may have such a prior, and the measures whose unit they share."""
SD_OF_SCORES = {"change": "change", "endpoint": "score"}
"""The SD by which scores of a kind are divided, as `smd_sd` calls it."""


@dataclass(frozen=True, slots=True)
class MetaPrior:
    """A distribution, and in words what it comes from."""

    distribution: Distribution
    source: str


def with_meta_priors(raw: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """The tables of a scenario with every `meta:` prior replaced by its distribution; where it comes from is added to the sources.

    Raises
    ------
    DeclarationError
        With every prior that cannot be had: no such file, no such unit, nothing that was estimated.
    """
    priors = raw.get("priors")
    if not isinstance(priors, Mapping):
        return dict(raw)
    problems: list[Problem] = []
    words: list[str] = []
    found: dict[str, Any] = {}
    for path, value in priors.items():
        try:
            found[path] = _resolved(path, value, raw, folder, words)
        except SimtrialsError as error:
            problems.append(Problem(f"priors.{path}", str(error)))
    if problems:
        raise DeclarationError(problems)
    if not words:
        return dict(raw)
    sources = dict(raw.get("sources") or {})
    stated = [sources["priors"]] if "priors" in sources else []
    sources["priors"] = "; ".join(dict.fromkeys([*stated, *words]))
    return dict(raw) | {"priors": found, "sources": sources}


def _resolved(path: str, value: Any, raw: Mapping[str, Any], folder: Path | None, words: list[str]) -> Any:
    """The same value; a text becomes a table, also inside a truncated distribution."""
    if isinstance(value, Mapping) and isinstance(value.get("of"), str):
        return dict(value) | {"of": _resolved(path, value["of"], raw, folder, words)}
    if not isinstance(value, str):
        return value
    made = meta_prior(value, path, raw, folder)
    words.append(made.source)
    return made.distribution.model_dump(mode="json", exclude_none=True)


def meta_prior(text: str, path: str, raw: Mapping[str, Any], folder: Path | None = None) -> MetaPrior:
    """The prior of the field at `path` of the scenario `raw`, from what a text such as `meta:severity#mean` names.

    Returns
    -------
    MetaPrior; Student's t, or a normal distribution where the rule has one; in the unit of the field, benefit positive.

    Raises
    ------
    SimtrialsError
        When there is no such meta-analysis, it has no such result, or its unit is not that of the field.
    """
    if not text.startswith(START):
        raise SimtrialsError(f'expected a distribution such as {{ kind = "normal", mean = 0.3, sd = 0.1 }} or "meta:FOLDER", got {text!r}')
    name, *marks = text.removeprefix(START).split("#")
    found = _read(name, folder)
    unknown = [mark for mark in marks if mark not in (NEW_TRIAL, MEAN)]
    pooled, of_group = _pooled(found, unknown)
    what = MEAN if MEAN in marks else NEW_TRIAL
    _same_unit(path, found, raw, what, text)
    sign = 1.0 if found["benefit"] == "higher" else -1.0
    center, scale, df = _mean(pooled) if what == MEAN else _new_trial(pooled, str(found["prediction"]))
    made: Distribution
    made = Normal(mean=sign * center, sd=scale) if math.isinf(df) else StudentT(center=sign * center, scale=scale, df=df)
    shape = f"normal, SD {scale:.3g}" if math.isinf(df) else f"t with {df:.3g} degrees of freedom, scale {scale:.3g}"
    rules = f"{found['method']}, {found['ci']}" + (f", prediction {found['prediction']}" if what == NEW_TRIAL else "")
    of = "mean effect" if what == MEAN else "effect in a new trial"
    outcome = f"{found['outcome']} " if found.get("outcome") else ""
    source = f"meta-analysis of {found['data']}{of_group}: {outcome}{found['measure']}, {pooled['n_studies']} comparisons ({rules}); "
    return MetaPrior(made, f"{source}{of} around {sign * center:.3g}, {shape}")


def _read(name: str, folder: Path | None) -> dict[str, Any]:
    """What `simtrials meta` wrote or printed."""
    places = [place / FILE if place.is_dir() else place for place in dict.fromkeys([(folder or Path()) / name, Path(name)])]
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        _not_a_run(places)
        raise SimtrialsError(f"no file {name!r}; write it with: simtrials meta DATA --out {name}, or with --json > {name}.json")
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise SimtrialsError(f"{place} is not what simtrials meta --json prints") from None
    needed = ("data", "measure", "benefit", "method", "ci", "prediction", "pooled")
    lost = [key for key in needed if not isinstance(found, dict) or key not in found]
    if lost:
        raise SimtrialsError(f"{place} is not what simtrials meta --json prints: it has no {lost[0]!r}")
    return dict(found)


def _not_a_run(places: list[Path]) -> None:
    """A folder of simulated trials or reviews holds many answers, none of which is what is known."""
    for place in places:
        if (place.parent / "run.json").is_file():
            raise SimtrialsError(
                f"{place.parent} holds a simulation; each of its trials or reviews has an answer of its own, and none is what is known. "
                "Name the folder of a meta-analysis of real trials (simtrials meta DATA --out DIR)"
            )


def _pooled(found: Mapping[str, Any], groups: list[str]) -> tuple[Mapping[str, Any], str]:
    """The pooled result, or that of a group; SimtrialsError where it could not be estimated."""
    pooled, of_group = found["pooled"], ""
    if groups:
        known = {str(one["group"]): one for one in found.get("groups") or []}
        if groups[0] not in known:
            raise SimtrialsError(f"no group called {groups[0]!r}{did_you_mean(groups[0], [*known, MEAN, NEW_TRIAL])}")
        pooled, of_group = known[groups[0]], f", {groups[0]}"
    if pooled["estimate"] is None or pooled["status"] != 0:
        raise SimtrialsError(f"the meta-analysis has no usable mean{of_group}: {found.get('status') or 'it could not be estimated'}")
    return pooled, of_group


def _mean(pooled: Mapping[str, Any]) -> tuple[float, float, float]:
    """Center, scale and degrees of freedom of the mean effect."""
    center, std_error, df = pooled["estimate"], pooled["std_error"], math.inf if pooled["df"] is None else pooled["df"]
    limits = pooled["lower"], pooled["upper"]
    if not std_error or None in limits or abs(limits[1] - center - _critical(df) * std_error) > 1e-6 * (1 + abs(center)):
        raise SimtrialsError("the interval of the mean is not that of a t or normal distribution; pool again with --ci hartung_knapp or --ci wald")
    return center, std_error, df


def _new_trial(pooled: Mapping[str, Any], rule: str) -> tuple[float, float, float]:
    """Center, scale sqrt(tau2 + se^2) and degrees of freedom of the effect in a new trial, as its prediction interval has them."""
    fewer = {"t_k_minus_1": 1, "t_k_minus_2": 2}
    known = math.inf if pooled["df"] is None else pooled["df"]
    df = math.inf if rule == "normal" else known if rule == "as_interval" else float(pooled["n_studies"] - fewer[rule])
    lower, upper = pooled["prediction_lower"], pooled["prediction_upper"]
    if lower is None or upper is None or not df > 0:
        raise SimtrialsError("the meta-analysis has no prediction interval; write #mean behind its name for the mean effect, or pool again")
    return pooled["estimate"], (upper - lower) / 2 / _critical(df), df


def _critical(df: float) -> float:
    return normal_critical(0.05) if math.isinf(df) else float(t_critical(df, 0.05))  # type: ignore[arg-type]


def _same_unit(path: str, found: Mapping[str, Any], raw: Mapping[str, Any], what: str, text: str) -> None:
    """The measure has the unit of the field, and the field means what the prior is of."""
    field, measure = path.rpartition(".")[2], found["measure"]
    fields = [name for name, measures in MEASURES_OF.items() if measure in measures]
    if field not in MEASURES_OF:
        raise SimtrialsError(f"a meta-analysis says nothing of {field!r}; it can be the prior of {', '.join(MEASURES_OF)} of an effect")
    if measure not in MEASURES_OF[field]:
        instead = f"state the effect as {' or '.join(fields)}, or pool" if fields else "pool"
        raise SimtrialsError(f"{field} is not in the unit of {measure}: {instead} with --measure {MEASURES_OF[field][0]}")
    if "studies" in raw and what == NEW_TRIAL:
        raise SimtrialsError(f'here {field} is the mean of true effects, which differ between studies by themselves; write "{text}#mean"')
    meant = SD_OF_SCORES.get(str(found.get("scores")))
    declared = _at(raw, f"{path.rpartition('.')[0]}.smd_sd")
    if measure in STANDARDIZED and meant is not None and declared not in (None, meant):
        raise SimtrialsError(f'the meta-analysis divides by the SD of the {meant}, and the effect says smd_sd = "{declared}"; write "{meant}"')


def _at(raw: Any, path: str) -> Any:
    """A value of plain tables by its path, None where there is none."""
    for part in path.split("."):
        raw = raw.get(part) if isinstance(raw, Mapping) else None
    return raw
