"""What a review of real studies finds: studies with their effects, the mean, groups, moderators, further methods."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.engine.real_studies.methods import sentence_of
from simtrials.engine.real_studies.question import Question
from simtrials.engine.real_studies.rows import Arm, StudyRow
from simtrials.engine.store import write_whole
from simtrials.stats.meta_analysis import MetaAnalysis, MetaRegression
from simtrials.stats.quantiles import normal_critical

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not used, and why."""

    study: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Group:
    """Studies of one group, pooled by themselves."""

    name: str
    members: BoolArray
    pooled: MetaAnalysis


@dataclass(frozen=True, slots=True)
class ByGroup:
    """Groups, and the test that they have one mean (None for a single group); one tau within all groups is behind the test."""

    by: str
    groups: tuple[Group, ...]
    test: MetaRegression | None


@dataclass(frozen=True, slots=True)
class Slope:
    """A coefficient of a meta-regression."""

    name: str
    estimate: float
    std_error: float
    lower: float
    upper: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Moderation:
    """A meta-regression: its coefficients, the intercept first, and all that was fitted."""

    slopes: tuple[Slope, ...]
    fit: MetaRegression


@dataclass(frozen=True, slots=True)
class MethodAnswer:
    """What a further method says of the mean."""

    method: str
    label: str
    estimate: float
    std_error: float
    lower: float
    upper: float
    p_value: float
    note: str


@dataclass(frozen=True, slots=True)
class Review:
    """A meta-analysis of real studies. Effects are on the scale of the analysis: logarithms for ratios."""

    source: str
    checksum: str
    where: str
    question: Question
    method: str
    ci: str
    prediction: str
    control_word: str
    studies: tuple[StudyRow, ...]
    pooled: MetaAnalysis
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    groups: ByGroup | None
    moderation: Moderation | None
    also: tuple[MethodAnswer, ...]
    without_one: tuple[MetaAnalysis, ...]

    @property
    def yi(self) -> FloatArray:
        """(study,) effects."""
        return np.array([study.yi for study in self.studies])

    @property
    def vi(self) -> FloatArray:
        """(study,) sampling variances."""
        return np.array([study.vi for study in self.studies])

    @property
    def weights(self) -> FloatArray:
        """(study,) shares of the mean, adding up to 1."""
        tau2 = float(self.pooled.tau2)
        weight = 1 / (self.vi + (tau2 if tau2 > 0 else 0.0))
        return np.asarray(weight / weight.sum())

    @property
    def n_trials(self) -> int:
        """Different samples among the studies."""
        return len({study.sample or f"row {study.row}" for study in self.studies})

    @property
    def n_patients(self) -> float | None:
        """Patients in all studies, None where sizes are not in the file."""
        total = sum(study.active.n + study.control.n for study in self.studies)
        return None if math.isnan(total) else total

    @property
    def status(self) -> str:
        """Why there is no mean, or no heterogeneity; empty where there is."""
        return sentence_of(int(self.pooled.status), len(self.studies))

    def shown(self, value: float) -> float:
        """A number as a reader sees it: ratios for logarithms."""
        return math.exp(value) if self.question.measure.ratio else value

    def to_frame(self) -> "pd.DataFrame":
        """One row per row of the file that was read: its effect and what it is computed from, or why it is left out."""
        import pandas as pd

        critical = float(normal_critical(0.05))
        group = [""] * len(self.studies) if self.groups is None else [self._group_of(i) for i in range(len(self.studies))]
        rows: list[dict[str, Any]] = []
        for i, (study, weight) in enumerate(zip(self.studies, self.weights, strict=True)):
            arms = _columns_of("active", study.active) | _columns_of("control", study.control)
            margin = critical * math.sqrt(study.vi)
            numbers = {"yi": study.yi, "vi": study.vi, "effect": self.shown(study.yi)}
            limits = {"lower": self.shown(study.yi - margin), "upper": self.shown(study.yi + margin), "weight": float(weight)}
            words = {"measure": self.question.measure.name, "from": study.used, "notes": "; ".join(study.notes), "left_out": ""}
            rows.append({"study": study.name, "line": study.line, "sample_id": study.sample, "group": group[i], **arms, **numbers, **limits, **words})
        rows += [{"study": one.study, "line": one.line, "left_out": one.reason} for one in self.left_out]
        return pd.DataFrame(rows)

    def _group_of(self, i: int) -> str:
        assert self.groups is not None
        return next(group.name for group in self.groups.groups if group.members[i])

    def to_dict(self) -> dict[str, Any]:
        """All that was found, as plain values; None for what cannot be estimated, logarithms for ratios."""
        outcome = self.question.outcome
        return {
            "data": self.source,
            "checksum": self.checksum,
            "where": self.where,
            "outcome": None if outcome is None else outcome.name,
            "measure": self.question.measure.name,
            "logarithms": self.question.measure.ratio,
            "benefit": self.question.benefit,
            "scores": self.question.scores,
            "method": self.method,
            "ci": self.ci,
            "prediction": self.prediction,
            "n_trials": self.n_trials,
            "n_patients": self.n_patients,
            "pooled": _plain(self.pooled),
            "status": self.status,
            "groups": None if self.groups is None else [{"group": group.name, **_plain(group.pooled)} for group in self.groups.groups],
            "between_groups": None if self.groups is None or self.groups.test is None else _plain(self.groups.test),
            "moderators": None if self.moderation is None else [_finite(asdict(slope)) for slope in self.moderation.slopes],
            "meta_regression": None if self.moderation is None else _plain(self.moderation.fit),
            "methods": [_finite(asdict(answer)) for answer in self.also],
            "leave_one_out": [{"without": study.name, **_plain(one)} for study, one in zip(self.studies, self.without_one, strict=False)],
            "studies": [_finite({str(name): value for name, value in row.items()}) for row in self.to_frame().to_dict("records")],
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """The table that the terminal shows."""
        from simtrials.report.real_studies import summary

        return summary(self)

    def plot(self, name: str = "forest", path: str | Path | None = None) -> "Figure":
        """The figure called forest or funnel; saved as SVG or PNG when a path is given."""
        from simtrials.report.figures.real_studies import draw

        return draw(self, name, path)

    def write(self, folder: str | Path) -> dict[str, Path]:
        """Write studies.csv, meta.json, forest and funnel as SVG and PNG, each of them whole or not at all; return their paths."""
        from simtrials.report.figures.real_studies import images

        content: dict[str, str | bytes] = {
            "studies.csv": self.to_frame().to_csv(index=False, lineterminator="\n"),
            "meta.json": json.dumps(self.to_dict(), indent=1) + "\n",
        }
        content |= images(self)
        paths = {name: Path(folder) / name for name in content}
        for name, path in paths.items():
            write_whole(path, content[name])
        return paths

    def __repr__(self) -> str:
        return self.summary()


def _columns_of(name: str, arm: Arm) -> dict[str, float | None]:
    numbers = {"n": arm.n, "events": arm.events, "mean": arm.mean, "sd": arm.sd}
    return {f"{what}_{name}": None if math.isnan(value) else value for what, value in numbers.items()}


def _plain(found: Any) -> dict[str, Any]:
    return _finite({name: np.asarray(value).tolist() for name, value in found._asdict().items()})


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _or_none(value) for name, value in row.items()}


def _or_none(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_or_none(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
