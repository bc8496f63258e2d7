"""One row per randomised patient: subgroups beside their whole trial, second reports of a sample, and control arms that several rows share.

Rows are recognised by their sample. Combining arms follows the Cochrane Handbook 6.5, sections 6.5.2.10 (means and SDs) and 23.3.4 (the control
arm counts once: combining is recommended, splitting it is the alternative).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from simtrials.core.errors import DeclarationError, Problem
from simtrials.engine.real_studies.naming import SharedControl, Subgroups
from simtrials.engine.real_studies.rows import Arm, StudyRow


@dataclass(frozen=True, slots=True)
class Resolved:
    """Rows without common patients, rows that were left out for that with the reason, and sentences on what was done."""

    rows: tuple[StudyRow, ...]
    left_out: tuple[tuple[StudyRow, str], ...]
    notes: tuple[str, ...]


def without_repeats(
    able: Sequence[StudyRow],
    every: Sequence[StudyRow],
    source: str,
    shared_control: SharedControl,
    subgroups: Subgroups,
    groups: Mapping[int, tuple[object, ...]] | None = None,
) -> Resolved:
    """Rows in which every patient counts once.

    Parameters
    ----------
    able : rows that have the numbers for the outcome
    every : all rows of the question, to know the sizes of whole trials
    source : the file's name, for messages
    shared_control, subgroups : the rules
    groups : by row, its group and moderators; only rows that agree in them can be combined

    Raises
    ------
    DeclarationError
        With every sample in which patients would count twice, its rows, and the remedy.
    """
    sorting = _Sorting(every, shared_control, subgroups, groups or {})
    samples: dict[str, list[StudyRow]] = {}
    for row in able:
        samples.setdefault(row.sample or f"row {row.row}", []).append(row)
    kept = [row for sample, rows in samples.items() for row in (rows if len(rows) == 1 else sorting.one_sample(sample, rows))]
    if sorting.problems:
        raise DeclarationError(sorting.problems, source)
    names = [row.name for row in kept]
    twice = [
        f"{names.count(name)} rows are called {name}; they are taken for different trials." for name in dict.fromkeys(names) if names.count(name) > 1
    ]
    return Resolved(tuple(kept), tuple(sorting.left_out), (*sorting.notes, *twice))


class _Sorting:
    """What is done sample by sample; problems are gathered."""

    def __init__(
        self, every: Sequence[StudyRow], shared_control: SharedControl, subgroups: Subgroups, groups: Mapping[int, tuple[object, ...]]
    ) -> None:
        self.every, self.shared_control, self.subgroups, self.groups = every, shared_control, subgroups, groups
        self.problems: list[Problem] = []
        self.left_out: list[tuple[StudyRow, str]] = []
        self.notes: list[str] = []

    def one_sample(self, sample: str, rows: list[StudyRow]) -> list[StudyRow]:
        """Several rows on the same patients, made such that each patient counts once."""
        rows = self._whole_or_subgroups(sample, rows)
        if rows and all(row.subgroup for row in rows):
            return self._disjoint(sample, rows)
        rows = self._without_second_reports(sample, rows)
        if len(rows) < 2:
            return rows
        return self._with_shared_control(sample, rows)

    def _whole_or_subgroups(self, sample: str, rows: list[StudyRow]) -> list[StudyRow]:
        parts, wholes = [row for row in rows if row.subgroup], [row for row in rows if not row.subgroup]
        if not (parts and wholes):
            return rows
        if self.subgroups == "refuse":
            remedy = "choose --subgroups prefer_whole or prefer_subgroup, or keep rows with --where"
            self.problems.append(Problem(_lines(rows), f"{_names(parts)} {_is(parts)} a subgroup of {_names(wholes)}, sample {sample}; {remedy}"))
            return []
        keep, drop = (wholes, parts) if self.subgroups == "prefer_whole" else (parts, wholes)
        reason = "part of a trial that counts in whole" if keep is wholes else "whole trial of which a subgroup counts"
        self.left_out += [(row, reason) for row in drop]
        word = "the whole trial is used" if keep is wholes else f"the subgroup{'s are' if len(parts) > 1 else ' is'} used"
        self.notes.append(f"{_names(parts)}: part of {_names(wholes)}; {word}.")
        return keep

    def _disjoint(self, sample: str, rows: list[StudyRow]) -> list[StudyRow]:
        """Subgroups of one trial are different patients where they fit into it; else nobody can tell."""
        if len(rows) < 2:
            return rows
        whole = next((row for row in self.every if row.sample == sample and not row.subgroup and not math.isnan(row.active.n + row.control.n)), None)
        fits = whole is not None and all(sum(getattr(row, arm).n for row in rows) <= getattr(whole, arm).n for arm in ("active", "control"))
        if fits and whole is not None:
            n = whole.active.n + whole.control.n
            told = sum(row.active.n + row.control.n for row in rows)
            self.notes.append(f"{_names(rows)}: taken for different patients of one trial, {told:g} of its {n:g}.")
            return rows
        why = f"together larger than {whole.told()}" if whole is not None else "the size of the whole trial is not in the file"
        self.problems.append(Problem(_lines(rows), f"{_names(rows)}: subgroups of sample {sample} that may overlap, {why}; keep one with --where"))
        return []

    def _without_second_reports(self, sample: str, rows: list[StudyRow]) -> list[StudyRow]:
        """A row with the same numbers as another of the sample is the same report; with other numbers it is a problem, unless arms are shared."""
        kept: list[StudyRow] = []
        for row in rows:
            first = next((other for other in kept if _numbers(other) == _numbers(row)), None)
            if first is None or (row.shared_control and first.shared_control):
                kept.append(row)
                continue
            self.left_out.append((row, f"same patients and numbers as {first.told()}"))
            self.notes.append(f"{row.name}: same patients and numbers as {first.name}; counted once.")
        if len(kept) > 1 and not all(row.shared_control for row in kept):
            remedy = "keep one with --where, or say shared_control = yes where only the control arm is the same"
            self.problems.append(Problem(_lines(kept), f"{_names(kept)} hold the same patients, sample {sample}; {remedy}"))
            return []
        return kept

    def _with_shared_control(self, sample: str, rows: list[StudyRow]) -> list[StudyRow]:
        place, names = _lines(rows), _names(rows)
        if self.shared_control == "refuse":
            self.problems.append(Problem(place, f"{names} share a control arm, sample {sample}; choose --shared-control combine or split"))
            return []
        if any(not math.isnan(row.yi) for row in rows):
            remedy = "give counts, or means and SDs, instead of yi and vi, or keep one row with --where"
            self.problems.append(Problem(place, f"{names} share a control arm, sample {sample}, which effects and variances cannot undo; {remedy}"))
            return []
        if self.shared_control == "split":
            self.notes.append(f"{names}: share a control arm, which is split into {len(rows)} equal parts.")
            return [_split(row, len(rows)) for row in rows]
        if any(repr(row.control) != repr(rows[0].control) for row in rows):
            told = ", ".join(f"{row.name} {_told(row.control)}" for row in rows)
            self.problems.append(Problem(place, f"should share one control arm, sample {sample}, but differ: {told}; correct it, or choose split"))
            return []
        if len({self.groups.get(row.row) for row in rows}) > 1:
            remedy = "choose --shared-control split, or keep one with --where"
            self.problems.append(Problem(place, f"{names} share a control arm and lie in different groups, so they cannot be combined; {remedy}"))
            return []
        made = _combined(sample, rows)
        self.notes.append(f"{names}: share a control arm; their active arms are combined into one, {made.name}.")
        return [made]


def _split(row: StudyRow, parts: int) -> StudyRow:
    """A row whose control arm keeps mean and SD, and has an equal part of patients and events."""
    control = replace(row.control, n=row.control.n / parts, events=row.control.events / parts)
    return replace(row, control=control, notes=(*row.notes, f"1/{parts} of a shared control arm"))


def _combined(sample: str, rows: Sequence[StudyRow]) -> StudyRow:
    """Rows with one control arm as a single comparison."""
    name = f"{_common_start([row.name for row in rows]) or sample} ({len(rows)} arms)"
    active = rows[0].active
    for row in rows[1:]:
        active = joined(active, row.active)
    return replace(rows[0], name=name, active=active, notes=(*rows[0].notes, f"{len(rows)} active arms combined, lines {_numbers_of_lines(rows)}"))


def joined(one: Arm, other: Arm) -> Arm:
    """Two arms as if their patients had been one arm.

    Source: Cochrane Handbook 6.5 (2024), section 6.5.2.10, table 6.5.a.
    """
    n = one.n + other.n
    mean = (one.n * one.mean + other.n * other.mean) / n
    squares = (one.n - 1) * one.sd**2 + (other.n - 1) * other.sd**2 + one.n * other.n / n * (one.mean - other.mean) ** 2
    sd = math.nan if math.isnan(squares) else math.sqrt(squares / (n - 1))
    return Arm(n=n, events=one.events + other.events, mean=mean, sd=sd)


def _common_start(names: Sequence[str]) -> str:
    """The words with which all names begin, without a bracket that is left open."""
    words = [name.split() for name in names]
    same = [group[0] for group in takewhile(lambda group: len(set(group)) == 1, zip(*words, strict=False))]
    return " ".join(same).rstrip(" ,:;(-")


def _numbers(row: StudyRow) -> tuple[str, ...]:
    """All numbers of a row, comparable although some are NaN."""
    return tuple(map(repr, (row.active, row.control, row.yi, row.vi)))


def _told(arm: Arm) -> str:
    parts = {"n": arm.n, "events": arm.events, "mean": arm.mean, "SD": arm.sd}
    return ", ".join(f"{name} {value:g}" for name, value in parts.items() if not math.isnan(value))


def _lines(rows: Sequence[StudyRow]) -> str:
    return f"line{'s' if len(rows) > 1 else ''} {_numbers_of_lines(rows)}"


def _numbers_of_lines(rows: Sequence[StudyRow]) -> str:
    return ", ".join(str(row.line) for row in sorted(rows, key=lambda row: row.row))


def _names(rows: Sequence[StudyRow]) -> str:
    names = [row.name for row in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _is(rows: Sequence[StudyRow]) -> str:
    return "is" if len(rows) == 1 else "are each"
