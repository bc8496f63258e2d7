"""A real trial from a file in long format, one row per patient and visit, as analyses see simulated ones: a block of one trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.core.data import Improves, Measurements, Scale, Table, TrialData
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category, Column, ExpressionError, parse
from simtrials.engine.files import read_table
from simtrials.engine.real_trial.naming import KNOWN_AS, Naming, resolved, rows_kept, source_of
from simtrials.trial.endpoints.scales import SCALES

CONTROLS = ("placebo", "control", "pbo", "sham")
"""Arms that are taken for control where none is named."""
MOST_VISITS = 40


@dataclass(frozen=True, slots=True)
class Observed:
    """The endpoint of a real trial: what analyses ask of it."""

    visits: tuple[float, ...]
    has_baseline: bool
    symptom_scale: Scale | None
    binary: bool

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Outcomes that can be read off it, the usual one first."""
        if self.binary:
            return ("event",)
        if self.symptom_scale is None:
            return ("change", "percent_change", "value") if self.has_baseline else ("value",)
        remission = ("remission",) if self.symptom_scale.remission_cut is not None else ()
        if not self.has_baseline:
            return ("score", *remission)
        return ("change", "percent_change", "score", "response", *remission, "sustained_response")


@dataclass(frozen=True, slots=True)
class RealTrial:
    """A real trial: `data` holds one replicate, whose endpoint is called `name`; `counts` says what was left out, and `naming` what was used."""

    source: str
    checksum: str
    name: str
    data: TrialData
    endpoint: Observed
    naming: Naming
    counts: Mapping[str, int]
    varying: frozenset[str]
    """columns that are no covariates, because they vary within patients"""

    @property
    def measured(self) -> Measurements:
        """The endpoint's measurements."""
        return self.data.endpoints[self.name]


def read_trial(data: str | Path, naming: Naming) -> RealTrial:
    """Read a trial from a CSV or Parquet file, or a shipped data set.

    A visit at week 0 or earlier is a reading at baseline; among several the last one counts. A visit without a row, or with an empty score, was
    not observed. Columns that never vary within a patient are covariates.

    Raises
    ------
    DeclarationError
        With everything that is wrong, where, and the nearest remedy.
    """
    table = read_table(str(data))
    naming = resolved(naming, table)
    rows = rows_kept(table, naming)
    subjects = None if naming.subjects is None else read_table(str(naming.subjects))
    return _Reader(table, naming, rows, subjects).trial()


def cell_texts(column: Column) -> list[str | None]:
    """Cells as texts, None where empty; whole numbers without a point."""
    if isinstance(column, Category):
        return [None if code < 0 else column.levels[code] for code in column.codes]
    return [None if np.isnan(value) else f"{value:.15g}" for value in column]


class _Reader:
    """One file on its way to a trial; problems are gathered and told together."""

    def __init__(self, table: Table, naming: Naming, rows: IntArray, subjects: Table | None) -> None:
        self.table, self.naming, self.subjects = table, naming, subjects
        self.columns = {name: column[rows] for name, column in table.columns.items()}
        self.line = rows + 2
        self.problems: list[Problem] = []
        self.counts: dict[str, int] = {}

    def trial(self) -> RealTrial:
        """The trial, or everything that is wrong."""
        patient = self._patients()
        arms, arm = self._arms(patient)
        week, score = self._weeks(), self._number("score")
        self._stop()
        seen = ~np.isnan(week) & (patient >= 0)
        self._count("rows without a week", int(np.isnan(week).sum()))
        before, after = seen & (week <= 0), seen & (week > 0)
        weeks = np.unique(week[after])
        if not 0 < weeks.size <= MOST_VISITS:
            found = "no row lies after week 0" if weeks.size == 0 else f"{weeks.size} different weeks, at most {MOST_VISITS} can be visits"
            self.problems.append(Problem("week", f"{found}; name the column with the scheduled week, or with the visit, and give its weeks"))
            self._stop()
        self._once(patient, week, after & ~np.isnan(score))
        n = len(self.patients)
        value = np.full((n, weeks.size), np.nan)
        filled = after & ~np.isnan(score)
        value[patient[filled], np.searchsorted(weeks, week[filled])] = score[filled]
        baseline = self._baseline(patient, before, week, score)
        scale = None if self.naming.scale is None else SCALES[self.naming.scale]
        self._fits_scale(score, scale)
        covariates, varying = self._covariates(patient)
        stratum = self._strata(covariates, varying)
        self._stop()
        improves: Improves = scale.improves if scale else self.naming.improves or ("up" if self.naming.binary else "down")
        shown = value[np.newaxis]
        measured = Measurements(
            tuple(float(w) for w in weeks),
            shown,
            ~np.isnan(shown),
            None if baseline is None else baseline[np.newaxis],
            scale=scale,
            improves=improves,
            binary=self.naming.binary,
        )
        name = self._name(covariates)
        endpoint = Observed(measured.weeks, baseline is not None, scale, self.naming.binary)
        data = TrialData(arms, arm[np.newaxis], stratum[np.newaxis], covariates, {name: measured})
        return RealTrial(source_of(self.table), self.table.checksum, name, data, endpoint, self.naming, self.counts, varying)

    def _name(self, covariates: Mapping[str, Column]) -> str:
        """What the endpoint is called: the parameter where there is one, as in CDISC data, else the column of the scores."""
        parameter = covariates.get("PARAMCD")
        if self.naming.score == "AVAL" and isinstance(parameter, Category) and (named := np.unique(parameter.codes[parameter.codes >= 0])).size == 1:
            return parameter.levels[int(named[0])].lower()
        return self.naming.score or "score"

    def _stop(self) -> None:
        if self.problems:
            raise DeclarationError(self.problems, source_of(self.table))

    def _count(self, what: str, n: int) -> None:
        if n > 0:
            self.counts[what] = n

    def _patients(self) -> IntArray:
        """Number of the patient in each row, in the order met, -1 where the cell is empty; fills `patients`."""
        labels = cell_texts(self.columns[self.naming.patient or ""])
        own = [] if self.subjects is None else cell_texts(self._of_subjects(self.naming.patient or ""))
        self.patients = list(dict.fromkeys(label for label in (*own, *labels) if label is not None))
        number = {label: i for i, label in enumerate(self.patients)}
        self._count("rows without a patient", labels.count(None))
        if len(set(own)) < len(own):
            twice = next(label for label in own if own.count(label) > 1)
            self.problems.append(Problem("subjects", f"patient {twice} has {own.count(twice)} rows; one is expected"))
        return np.array([-1 if label is None else number[label] for label in labels], dtype=np.int64)

    def _of_subjects(self, name: str) -> Column:
        assert self.subjects is not None
        if name not in self.subjects.columns:
            known = did_you_mean(name, self.subjects.columns)
            raise DeclarationError([Problem("subjects", f"{source_of(self.subjects)} has no column called {name!r}{known}")], source_of(self.table))
        return self.subjects.columns[name]

    def _arms(self, patient: IntArray) -> tuple[tuple[str, ...], AnyArray]:
        """Arms, control first, and the arm of each patient, -1 for a patient without one."""
        if self.naming.one_arm and self.naming.arm is None and self.subjects is None:
            return ("all",), np.zeros(len(self.patients), dtype=np.int8)
        if self.naming.arm is not None:
            labels = self._per_patient("arm", patient, cell_texts(self.columns[self.naming.arm]))
        else:
            known = next((name for name in KNOWN_AS["arm"] if self.subjects is not None and name in self.subjects.columns), None)
            if known is None:
                self.problems.append(Problem("arm", f"neither file has a column called {' or '.join(KNOWN_AS['arm'][:3])}; name it"))
                return ("all",), np.zeros(len(self.patients), dtype=np.int8)
            labels = self._from_subjects(cell_texts(self._of_subjects(known)))
        levels = sorted({label for label in labels if label is not None})
        control = self.naming.control
        if control is None:
            usual = [level for level in levels if level.lower() in CONTROLS] or [level for level in levels if level == "0"]
            control = usual[0] if usual else None
        if control not in levels or (len(levels) < 2 and not self.naming.one_arm):
            what = "a second arm is needed" if control in levels else "name the control arm" if control is None else f"no arm is called {control!r}"
            self.problems.append(Problem("control", f"{what}; arms are {', '.join(levels) or 'not named in any row'}"))
            return ("all",), np.zeros(len(self.patients), dtype=np.int8)
        arms = (control, *(level for level in levels if level != control))
        self._count("patients without an arm", labels.count(None))
        return arms, np.array([-1 if label is None else arms.index(label) for label in labels], dtype=np.int8)

    def _from_subjects(self, cells: Sequence[str | None]) -> list[str | None]:
        """The cells of a column of the subjects' file, in the order of the patients."""
        of = dict(zip(cell_texts(self._of_subjects(self.naming.patient or "")), cells, strict=True))
        return [of.get(patient) for patient in self.patients]

    def _per_patient(self, role: str, patient: IntArray, cells: Sequence[str | None]) -> list[str | None]:
        """One cell per patient; a patient with two different ones is a problem."""
        found: list[str | None] = [None] * len(self.patients)
        for row, (number, cell) in enumerate(zip(patient, cells, strict=True)):
            if number < 0 or cell is None or found[number] == cell:
                continue
            if found[number] is not None:
                sentence = f"patient {self.patients[number]} has {found[number]} and, on line {self.line[row]}, {cell}; it must not change"
                self.problems.append(Problem(role, sentence))
                return found
            found[number] = cell
        return found

    def _weeks(self) -> FloatArray:
        """The week of each row, NaN where there is none."""
        column = self.columns.get(self.naming.week or "")
        if not self.naming.weeks:
            return self._number("week")
        values = column.codes.astype(np.float64) if isinstance(column, Category) else self._number("week")
        if isinstance(column, Category):
            values = np.where(values < 0, np.nan, values)
        visits = np.unique(values[~np.isnan(values)])
        if visits.size != len(self.naming.weeks):
            named = [column.levels[int(v)] for v in visits] if isinstance(column, Category) else [f"{v:g}" for v in visits]
            sentence = f"expected {visits.size}, one for each value of {self.naming.week!r} ({', '.join(named[:12])}), got {len(self.naming.weeks)}"
            self.problems.append(Problem("weeks", sentence))
            return np.full(values.size, np.nan)
        return np.where(np.isnan(values), np.nan, np.array([*self.naming.weeks, np.nan])[np.searchsorted(visits, values)])

    def _number(self, role: str) -> FloatArray:
        """A formula over the rows that gives a number."""
        formula = getattr(self.naming, role)
        try:
            value = self.columns[formula] if formula in self.columns else parse(formula).evaluate(self.columns)
        except ExpressionError as error:
            self.problems.append(Problem(role, str(error)))
            return np.full(self.line.size, np.nan)
        if isinstance(value, Category):
            cell = next((level for level in value.levels if not _is_number(level)), value.levels[0])
            self.problems.append(Problem(role, f"{formula!r} must hold numbers, got {cell!r}; empty cells are missing values"))
            return np.full(self.line.size, np.nan)
        return np.asarray(value, dtype=np.float64)

    def _once(self, patient: IntArray, week: FloatArray, rows: BoolArray) -> None:
        """At most one score per patient and week."""
        first: dict[tuple[int, float], int] = {}
        for row in np.flatnonzero(rows):
            key = (int(patient[row]), float(week[row]))
            if key in first:
                where = f"lines {self.line[first[key]]} and {self.line[row]}"
                sentence = f"patient {self.patients[key[0]]} has two scores at week {key[1]:g} ({where}); keep the rows of one scale with where"
                self.problems.append(Problem("score", sentence))
                return
            first[key] = int(row)

    def _baseline(self, patient: IntArray, before: BoolArray, week: FloatArray, score: FloatArray) -> FloatArray | None:
        """(P,) the reading before the treatment: of the column named, else of the last visit at week 0 or earlier."""
        value = np.full(len(self.patients), np.nan)
        if self.naming.baseline is not None:
            column = self._number("baseline")
            known = (patient >= 0) & ~np.isnan(column)
            value[patient[known]] = column[known]
            wrong = np.flatnonzero(known & (value[np.maximum(patient, 0)] != column))
            if wrong.size > 0:
                row = int(wrong[0])
                found = f"{column[row]:g} on line {self.line[row]} and {value[patient[row]]:g}"
                self.problems.append(Problem("baseline", f"patient {self.patients[patient[row]]} has {found}; it must not change"))
            return value
        rows = np.flatnonzero(before & ~np.isnan(score))
        if rows.size == 0:
            return None
        rows = rows[np.argsort(week[rows], kind="stable")]
        value[patient[rows]] = score[rows]
        return value

    def _fits_scale(self, score: FloatArray, scale: Scale | None) -> None:
        if scale is None:
            unfit = np.flatnonzero(~np.isin(score, (0.0, 1.0)) & ~np.isnan(score)) if self.naming.binary else np.empty(0, dtype=np.int64)
            wanted = "must be 1 or 0"
        else:
            unfit = np.flatnonzero((score < scale.minimum) | (score > scale.maximum))
            wanted = f"must be in the range of {scale.name}, {scale.minimum:g} to {scale.maximum:g} points"
        if unfit.size > 0:
            row = int(unfit[0])
            self.problems.append(Problem("score", f"{wanted}, got {score[row]:g} on line {self.line[row]} ({unfit.size:,} such rows)"))

    def _covariates(self, patient: IntArray) -> tuple[dict[str, Column], frozenset[str]]:
        """Columns that never vary within a patient, (1, P) each, and the names of those that do."""
        used = {self.naming.patient, self.naming.arm, self.naming.score, self.naming.week, self.naming.baseline}
        found: dict[str, Column] = {}
        varying = set()
        for name, column in self.columns.items():
            if name in used:
                continue
            one = _constant(column, patient, len(self.patients))
            if one is None:
                varying.add(name)
            else:
                found[name] = one[np.newaxis]
        if self.subjects is not None:
            order = dict(zip(cell_texts(self._of_subjects(self.naming.patient or "")), range(self.subjects.n_rows), strict=True))
            place = np.array([order.get(label, -1) for label in self.patients])
            for name, column in self.subjects.columns.items():
                if name not in used:
                    found[name] = _placed(column, place)[np.newaxis]
        return found, frozenset(varying - found.keys())

    def _strata(self, covariates: Mapping[str, Column], varying: frozenset[str]) -> IntArray:
        """(P,) number of the stratum."""
        codes = np.zeros(len(self.patients), dtype=np.int64)
        for text in self.naming.strata:
            try:
                value = parse(text).evaluate(covariates)
            except ExpressionError as error:
                changes = sorted(parse(text).names & varying) if "no column" in str(error) else []
                self.problems.append(Problem("strata", f"{changes[0]!r} varies within patients" if changes else str(error)))
                return codes
            own = value.codes[0] + 1 if isinstance(value, Category) else np.unique(value[0], return_inverse=True)[1]
            codes = codes * (int(own.max()) + 1) + own
        return np.asarray(np.unique(codes, return_inverse=True)[1], dtype=np.int64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _constant(column: Column, patient: IntArray, n: int) -> Column | None:
    """The value of each patient, or None where a patient has several."""
    values = column.codes if isinstance(column, Category) else column
    missing = values < 0 if isinstance(column, Category) else np.isnan(values)
    one = np.full(n, -1, dtype=values.dtype) if isinstance(column, Category) else np.full(n, np.nan)
    known = (patient >= 0) & ~missing
    one[patient[known]] = values[known]
    if (one[patient[known]] != values[known]).any():
        return None
    return Category(one, column.levels) if isinstance(column, Category) else one


def _placed(column: Column, place: IntArray) -> Column:
    """Cells of the subjects' file in the order of the patients; empty for a patient who is not in it."""
    if isinstance(column, Category):
        return Category(np.where(place >= 0, column.codes[place], -1), column.levels)
    return np.where(place >= 0, column[place], np.nan)
