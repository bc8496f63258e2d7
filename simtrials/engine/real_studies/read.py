"""Study results from a file: the numbers that each row has for an outcome, and what it lacks."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category
from simtrials.engine.real_studies.naming import ANHEDONIA, STANDARDIZED, Outcome, ScoreKind, both_arms, column_of, known_scale, roles_of
from simtrials.engine.real_studies.question import Question, filled
from simtrials.engine.real_studies.rows import Arm, StudyRow
from simtrials.engine.real_trial.naming import source_of
from simtrials.engine.real_trial.read import cell_texts
from simtrials.trial.endpoints.scales import SCALES

MOST_TOLD = 8
"""Faulty cells of one column that are told one by one."""
YES, NO = ("yes", "y", "true", "1"), ("no", "n", "false", "0")


def read_rows(table: Table, rows: tuple[int, ...], question: Question, study: str | None) -> tuple[list[StudyRow], tuple[str, ...]]:
    """The rows with their numbers for the outcome and what they lack, and sentences on the kind of scores that was taken.

    Raises
    ------
    DeclarationError
        With every faulty cell, and how to choose between kinds of scores where both are there.
    """
    reader = _Reader(table, rows)
    if study is not None and study not in table.columns:
        reader.problems.append(Problem("study", f"no column called {study!r}{did_you_mean(study, table.columns)}"))
        study = None
    found = list(reader.named(study))
    said: tuple[str, ...] = ()
    if question.given:
        found = reader.with_effects(found)
    elif question.outcome is not None and question.outcome.events is not None:
        found = reader.with_counts(found, question.outcome)
    elif question.outcome is not None:
        found, said = reader.with_scores(found, question)
    if reader.problems:
        raise DeclarationError(reader.problems, source_of(table))
    return found, said


class _Reader:
    """Columns as checked numbers; faulty cells are gathered and told together."""

    def __init__(self, table: Table, rows: tuple[int, ...]) -> None:
        self.table, self.rows = table, rows
        self.problems: list[Problem] = []
        self.columns: dict[str, FloatArray] = {}

    def named(self, study: str | None) -> Iterable[StudyRow]:
        """Rows by name and sample, without numbers."""
        name, sample = study or column_of("study", self.table), column_of("sample", self.table)
        names = [None] * self.table.n_rows if name is None else cell_texts(self.table.columns[name])
        samples = [None] * self.table.n_rows if sample is None else cell_texts(self.table.columns[sample])
        subgroup, shared = self._yes_or_no("subgroup"), self._yes_or_no("shared_control")
        for row in self.rows:
            yield StudyRow(row, names[row] or f"row {row + 1}", samples[row], subgroup[row], shared[row], Arm(), Arm())

    def with_effects(self, found: list[StudyRow]) -> list[StudyRow]:
        """Effects and variances as they are given; sizes of arms where there are any."""
        vi = column_of("vi", self.table)
        sei = None if vi is not None else column_of("sei", self.table)
        effects, spread = self._numbers("yi"), self._numbers("sei" if vi is None else "vi", above=0.0)
        variances = spread**2 if vi is None else spread
        sizes = [self._numbers(role, above=0.0, whole=True) for role in both_arms("n")]
        used = f"{column_of('yi', self.table)}, {vi or sei}"
        missing = {"yi": effects, vi or sei or "vi": variances}
        return [
            replace(
                row,
                active=Arm(n=float(sizes[0][row.row])),
                control=Arm(n=float(sizes[1][row.row])),
                yi=float(effects[row.row]),
                vi=float(variances[row.row]),
                used=used,
                missing=tuple(name for name, values in missing.items() if np.isnan(values[row.row])),
            )
            for row in found
        ]

    def with_counts(self, found: list[StudyRow], outcome: Outcome) -> list[StudyRow]:
        """Patients and events of both arms."""
        what = outcome.events or ""
        sizes = [self._numbers(role, above=0.0, whole=True) for role in both_arms("n")]
        events = [self._numbers(role, whole=True) for role in both_arms(what)]
        for n, count, role in zip(sizes, events, both_arms(what), strict=True):
            self._no_more_than(count, n, role, f"{what} of")
        made = []
        for row in found:
            active, control = (Arm(n=float(n[row.row]), events=float(count[row.row])) for n, count in zip(sizes, events, strict=True))
            lacking = self._lacking(row.row, roles_of(outcome))
            made.append(replace(row, active=active, control=control, used=f"{what}, n", missing=lacking))
        return made

    def with_scores(self, found: list[StudyRow], question: Question) -> tuple[list[StudyRow], tuple[str, ...]]:
        """Means and SDs of changes or of endpoint scores; which of them, as asked for or as the file leaves no choice."""
        outcome = question.outcome
        assert outcome is not None
        scales = cell_texts(self.table.columns["scale"]) if "scale" in self.table.columns else [None] * self.table.n_rows
        sizes = [self._numbers(role, above=0.0, whole=True) for role in both_arms("n")]
        kinds: tuple[ScoreKind, ...] = ("change", "endpoint")
        lacking = {kind: {row.row: self._lacking(row.row, roles_of(outcome, kind)) for row in found} for kind in kinds}
        made = []
        for row in found:
            scale = known_scale(scales[row.row])
            falls = SCALES[scale].improves == "down" if scale is not None else question.improves == "down"
            if outcome.name == "anhedonia" and scale not in ANHEDONIA:
                row = replace(row, missing=("a scale of anhedonia",))
            elif outcome.name != "anhedonia" and scale in ANHEDONIA:
                row = replace(row, missing=(f"a scale of {outcome.spoken}; {scales[row.row]} measures anhedonia",))
            made.append(replace(row, falls=falls, active=Arm(n=float(sizes[0][row.row])), control=Arm(n=float(sizes[1][row.row]))))
        able = [row for row in made if not row.missing]
        kinds_used, said = self._chosen(able, lacking, question)
        for kind in kinds_used:
            self._checked_scores(kind)
        return [row if row.missing else self._scored(row, lacking, kinds_used) for row in made], said

    def _chosen(
        self, able: list[StudyRow], lacking: dict[ScoreKind, dict[int, tuple[str, ...]]], question: Question
    ) -> tuple[tuple[ScoreKind, ...], tuple[str, ...]]:
        """Kinds of scores to use, the preferred one first; a mix that nobody asked for is a problem."""
        has: dict[ScoreKind, list[StudyRow]] = {kind: [row for row in able if not lacking[kind][row.row]] for kind in lacking}
        only_change = [row for row in has["change"] if row not in has["endpoint"]]
        only_endpoint = [row for row in has["endpoint"] if row not in has["change"]]
        if question.scores in ("change", "endpoint"):
            kind: ScoreKind = "change" if question.scores == "change" else "endpoint"
            other = only_endpoint if kind == "change" else only_change
            said = f"Asked for {_spoken(kind)} only; {_count(len(other), 'row')} with the other kind only {_be(other)} left out." if other else ""
            return (kind,), (said,) if said else ()
        if not (only_change and only_endpoint):
            if len(has["endpoint"]) > len(has["change"]):
                return ("endpoint",), ()
            return ("change",), ()
        names = f"{_some(only_change)} {_have(only_change)} changes only, {_some(only_endpoint)} {_have(only_endpoint)} endpoint scores only"
        if question.scores is None:
            why = "their SDs differ, so standardized effects are not the same" if question.measure.name in STANDARDIZED else "both can be pooled"
            self.problems.append(Problem("scores", f"{names}; {why}: choose change, endpoint or both (--scores)"))
            return ("change",), ()
        warned = "; standardized by different SDs" if question.measure.name in STANDARDIZED else ""
        return ("change", "endpoint"), (f"Changes and endpoint scores are pooled, as asked for{warned}: {names}.",)

    def _scored(self, row: StudyRow, lacking: dict[ScoreKind, dict[int, tuple[str, ...]]], kinds: tuple[ScoreKind, ...]) -> StudyRow:
        kind = next((kind for kind in kinds if not lacking[kind][row.row]), None)
        if kind is None:
            return replace(row, missing=lacking[kinds[0]][row.row])
        arms = []
        for arm in ("active", "control"):
            n, mean, sd = (self.columns[f"{what}_{arm}"][row.row] for what in ("n", f"{kind}_mean", f"{kind}_sd"))
            arms.append(Arm(n=float(n), mean=float(mean), sd=float(sd)))
        return replace(row, active=arms[0], control=arms[1], used=_spoken(kind))

    def _checked_scores(self, kind: ScoreKind) -> None:
        for role in both_arms(f"{kind}_mean"):
            self._numbers(role)
        for role in both_arms(f"{kind}_sd"):
            self._numbers(role, above=0.0)

    def _lacking(self, row: int, roles: tuple[str, ...]) -> tuple[str, ...]:
        """Columns that a row would need; one name for both arms where both lack it."""
        names = []
        for role in roles:
            column = column_of(role, self.table)
            if column is None or not filled(self.table.columns[column][np.array([row])])[0]:
                names.append(column or role)
        whats = [name.rpartition("_")[0] for name in names]
        both = {what for what in whats if what and whats.count(what) == 2}
        return tuple(dict.fromkeys(what if what in both else name for what, name in zip(whats, names, strict=True)))

    def _numbers(self, role: str, above: float | None = None, whole: bool = False) -> FloatArray:
        """A column as numbers, NaN where empty; cells that cannot be are told, once."""
        if role in self.columns:
            return self.columns[role]
        name = column_of(role, self.table)
        if name is None:
            self.columns[role] = np.full(self.table.n_rows, np.nan)
            return self.columns[role]
        column = self.table.columns[name]
        texts = cell_texts(column)
        values = np.array([_number(text) for text in texts]) if isinstance(column, Category) else np.asarray(column)
        rows = np.array(self.rows, dtype=np.int64)
        present = filled(column)[rows]
        numbers = values[rows]
        no_number = present & ~np.isfinite(numbers)
        low = present & ~no_number & (numbers <= above if above is not None else numbers < (0 if whole else -np.inf))
        broken = present & ~no_number & ~low & whole & (numbers != np.round(numbers))
        rule = "a number above 0" if above is not None else "0 or more"
        for bad, must in ((no_number, "a number"), (low, rule), (broken, "a whole number")):
            self._told(name, rows[bad], must, texts)
        checked = np.where(np.isfinite(values), values, np.nan)
        checked[rows[no_number | low | broken]] = np.nan
        self.columns[role] = checked
        return self.columns[role]

    def _told(self, name: str, rows: Iterable[int], must: str, texts: list[str | None]) -> None:
        bad = list(rows)
        for row in bad[:MOST_TOLD]:
            text = texts[row] or ""
            shown = repr(text) if math.isnan(_number(text)) else text
            self.problems.append(Problem(f"{name} (line {row + 2})", f"must be {must}, got {shown}"))
        if len(bad) > MOST_TOLD:
            self.problems.append(Problem(name, f"{len(bad) - MOST_TOLD} more cells must be {must}"))

    def _no_more_than(self, count: FloatArray, n: FloatArray, role: str, what: str) -> None:
        name = column_of(role, self.table)
        for row in self.rows:
            if count[row] > n[row]:
                self.problems.append(Problem(f"{name} (line {row + 2})", f"{count[row]:g} {what} {n[row]:g} patients"))

    def _yes_or_no(self, name: str) -> list[bool]:
        if name not in self.table.columns:
            return [False] * self.table.n_rows
        texts = cell_texts(self.table.columns[name])
        for row in self.rows:
            if texts[row] is not None and (texts[row] or "").lower() not in (*YES, *NO):
                self.problems.append(Problem(f"{name} (line {row + 2})", f"must be yes or no, got {texts[row]!r}"))
        return [(text or "").lower() in YES for text in texts]


def _number(text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def _spoken(kind: ScoreKind) -> str:
    return "changes" if kind == "change" else "endpoint scores"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"


def _be(rows: list[StudyRow]) -> str:
    return "is" if len(rows) == 1 else "are"


def _have(rows: list[StudyRow]) -> str:
    return "has" if len(rows) == 1 else "have"


def _some(rows: list[StudyRow]) -> str:
    names = [row.told() for row in rows]
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
