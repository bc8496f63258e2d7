"""A finished run: its tallies, measures and estimates, read from the store whenever they are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.measures import Measure, Truth, share_mcse
from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.blocks import NOT_ENROLLED, Meaning
from simtrials.engine.declared import SCENARIO, Pattern
from simtrials.engine.files import scenario_from
from simtrials.engine.logistics import Logistics, logistics
from simtrials.engine.results import Results, read_content, read_truths, truths_from, without_none
from simtrials.engine.scenario import Scenario
from simtrials.inference.analyses import SETS
from simtrials.inference.judge import Levels

if TYPE_CHECKING:
    from simtrials.report.words import Words


@dataclass(frozen=True, slots=True, repr=False)
class Run(Results):
    """A finished run of a scenario. `estimand_values` are the truths of declared estimands which name their variable, `portrait` what the
    scenario amounts to."""

    scenario: Scenario
    estimand_values: Mapping[str, Truth]
    portrait: Mapping[str, Any]

    @property
    def asked(self) -> Mapping[str, Levels]:
        return self.scenario.analyses

    @property
    def declared_patterns(self) -> Mapping[str, Pattern]:
        return self.scenario.patterns

    @property
    def name(self) -> str:
        return self.scenario.name

    def about(self, name: str) -> tuple[str, str]:
        return self.estimand(name), self.scenario.analyses[name].endpoint

    def whole_cell(self, cell: str) -> Sequence[Measure]:
        return [*self.screening(cell), *self.logistics(cell)]

    def screening(self, cell: str = SCENARIO) -> list[Measure]:
        """Numbers screened per enrolled patient (mean and quantiles over trials), and the share of candidates who fail each rule."""
        counts = np.zeros(1, dtype=np.int64)
        failures: dict[str, float] = {}
        squares = 0.0
        for columns in self.shards(cell):
            screened = columns["screened"]
            more = np.bincount(screened)
            counts = np.pad(counts, (0, max(0, more.size - counts.size)))
            counts[: more.size] += more
            squares += float(np.square(screened.astype(np.float64)).sum())
            for name, values in columns.items():
                if name.startswith(NOT_ENROLLED):
                    failures[name.removeprefix(NOT_ENROLLED)] = failures.get(name.removeprefix(NOT_ENROLLED), 0.0) + float(values.sum())
        return _screening_measures(counts, squares, failures, self.scenario.design.n_patients)

    def logistics(self, cell: str = SCENARIO) -> list[Measure]:
        """Months to the last patient randomised and to the last visit, and cost: mean, and what 5 and 95 of 100 trials stay below."""
        if self.scenario.recruitment is None and self.scenario.costs is None:
            return []
        found, block = list[Logistics](), 0
        for columns in self.shards(cell):
            found.append(logistics(self.scenario, columns["screened"], block))
            block += -(-columns["screened"].size // BLOCK_SIZE)
        made = []
        for name in ("months_to_enroll", "months", "cost"):
            values = np.concatenate([getattr(one, name) for one in found])
            if np.isfinite(values).all():
                made += _spread_of(name, values)
        return made

    def estimand(self, analysis: str) -> str:
        """The estimand in words: contrast, outcome, week, population."""
        return estimand_in_words(self.scenario, analysis)

    def summary(self, headed: bool = True) -> str:
        from simtrials.report.text import summary

        return summary(self, headed)

    def plot(self, figure: str = "power", path: str | Path | None = None) -> Any:
        """One of the report's figures by name; saved when a path is given."""
        from simtrials.report.figures import draw

        return draw(self, figure, path)

    def words(self, *analyses: str) -> "Words":
        """Words for a protocol: a sample-size paragraph for each analysis (default: the primary ones, else the first) and the ADEMP table."""
        from simtrials.report.words import words_of_run

        return words_of_run(self, analyses)

    def report(self) -> Path:
        from simtrials.report.html import write_report

        return write_report(self)


def _spread_of(name: str, values: FloatArray) -> list[Measure]:
    """Mean and quantiles of a number of each trial, with their Monte Carlo errors; of a quantile half the distance of those one error apart."""
    n = values.size
    made = [Measure(name, float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)), n)]
    ordered = np.sort(values)
    for suffix, share in (("q05", 0.05), ("q95", 0.95)):
        half = np.sqrt(n * share * (1 - share))
        low, place, high = (ordered[int(np.clip(at, 0, n - 1))] for at in (share * n - half, share * n, share * n + half))
        made.append(Measure(f"{name}_{suffix}", float(place), float(high - low) / 2, n))
    return made


def _screening_measures(counts: AnyArray, squares: float, failures: Mapping[str, float], n_patients: int) -> list[Measure]:
    n = int(counts.sum())
    values = np.arange(counts.size)
    total = float((counts * values).sum())
    mean = total / n
    spread = max(squares / n - mean**2, 0.0)
    below = np.cumsum(counts)
    made = [Measure("screened_per_enrolled", mean / n_patients, float(np.sqrt(spread / n)) / n_patients, n)]
    for name, share in (("screened_per_enrolled_q05", 0.05), ("screened_per_enrolled_q50", 0.5), ("screened_per_enrolled_q95", 0.95)):
        place = int(np.searchsorted(below, share * n))
        half = np.sqrt(n * share * (1 - share))
        edges = np.searchsorted(below, np.clip([share * n - half, share * n + half], 1, n))
        made.append(Measure(name, place / n_patients, float(edges[1] - edges[0]) / 2 / n_patients, n))
    for label, count in failures.items():
        made.append(Measure(f"failed: {label}", count / total, share_mcse(int(count), int(total)), n))
    return made


def estimand_in_words(scenario: Scenario, name: str) -> str:
    """Contrast, outcome, week and population of an analysis."""
    analysis = scenario.analyses[name]
    endpoint = scenario.endpoints[analysis.endpoint]
    contrasts = {
        "difference": "difference in mean",
        "risk_difference": "risk difference of",
        "log_risk_ratio": "log risk ratio of",
        "log_odds_ratio": "log odds ratio of",
        "log_hazard_ratio": "log hazard ratio of",
        "log_win_ratio": "log win ratio, beginning with",
        "log_win_odds": "log win odds, beginning with",
        "net_benefit": "net benefit, beginning with",
        "weeks": "difference in mean weeks to",
        "difference_per_week": "difference per week in mean",
        "slope": "change of benefit in",
        "probability_index": "probability of a better",
    }
    outcome = (analysis.outcome or endpoint.outcomes[0]).replace("_", " ")
    week = analysis.week if analysis.week is not None else endpoint.visits[-1]
    arm = analysis.arm or scenario.design.arms[1]
    group = f", {analysis.where}" if analysis.where else ""
    what = f"{contrasts[analysis.scale_of_effect]} {outcome} ({analysis.endpoint}, week {week:g}), {arm} against {scenario.design.arms[0]}"
    return f"{what}; {SETS[analysis.analysis_set]}{group}"


def load_trial(folder: str | Path, record: dict[str, Any]) -> Run:
    """The run of a trial that was stored, from its record.

    Raises
    ------
    SimtrialsError
        When what belongs to it cannot be read.
    """
    place = Path(folder)
    picture, values = (read_content(place / name) for name in ("portrait.json", "estimands.json"))
    scenario = scenario_from(without_none(record["scenario"]))
    found = {name: read_truths(place, name) for name in record["cells"]}
    return assembled(place, scenario, record, found, truths_from(values), picture)


def assembled(
    folder: Path,
    scenario: Scenario,
    record: dict[str, Any],
    found: dict[str, dict[str, Truth]],
    values: dict[str, Truth],
    picture: dict[str, Any],
) -> Run:
    """A run from what is stored of it."""
    meanings = {name: Meaning(scale, benefit) for name, (scale, benefit) in record["meanings"].items()}
    return Run(
        folder=folder,
        scenario=scenario,
        digest=record["digest"],
        n_replicates=record["n_replicates"],
        stopped=record["stopped"],
        cells=record["cells"],
        meanings=meanings,
        truths=found,
        estimand_values=values,
        portrait=picture,
        record=record,
        notes=tuple(record["notes"]),
    )
