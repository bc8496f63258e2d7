"""What is asked of a file of study results, with every choice made."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simtrials.core.arrays import BoolArray
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category, Column, ExpressionError, parse
from simtrials.engine.files import read_table
from simtrials.engine.real_studies.naming import (
    ANHEDONIA,
    MEASURES,
    OUTCOMES,
    Benefit,
    Outcome,
    ScoreKind,
    Scores,
    Shown,
    column_of,
    known_scale,
    roles_of,
)
from simtrials.engine.real_trial.naming import source_of
from simtrials.engine.real_trial.read import cell_texts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a file, with every choice made."""

    outcome: Outcome | None
    measure: Shown
    given: bool
    """effects and variances are in the file"""
    benefit: Benefit
    scores: Scores | None
    improves: str
    chosen: tuple[str, ...] = field(default=())
    """choices that were not asked for, as sentences"""

    @property
    def alternative(self) -> str:
        """The side on which effects show a benefit."""
        return "greater" if self.benefit == "higher" else "less"


def table_of(data: "str | Path | pd.DataFrame") -> Table:
    """A file, a shipped data set, or a data frame as columns."""
    if isinstance(data, str | Path):
        return read_table(str(data))
    columns: dict[str, Column] = {}
    for name in data.columns:
        values = data[name]
        if values.dtype.kind in "biuf":
            columns[str(name)] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            texts = [None if value is None or value != value else str(value) for value in values]
            levels = tuple(sorted({text for text in texts if text is not None}))
            columns[str(name)] = Category(np.array([-1 if text is None else levels.index(text) for text in texts], dtype=np.int32), levels)
    content = data.to_csv(index=False).encode()
    return Table("the data frame", columns, len(data), hashlib.sha256(content).hexdigest())


def rows_where(table: Table, where: str | None) -> tuple[int, ...]:
    """Rows that a condition keeps.

    Raises
    ------
    DeclarationError
        When it cannot be read, or no row fits.
    """
    if where is None:
        return tuple(range(table.n_rows))
    try:
        keep = np.flatnonzero(parse(where).truth(table.columns))
    except ExpressionError as error:
        raise DeclarationError([Problem("where", str(error))], source_of(table)) from None
    if keep.size == 0:
        raise DeclarationError([Problem("where", f"no row of {table.n_rows:,} fits {where!r}")], source_of(table))
    return tuple(int(row) for row in keep)


def question_of(
    table: Table, outcome: str | None, measure: str | None, scores: Scores | None, benefit: Benefit | None, improves: str | None
) -> Question:
    """What is asked, with defaults from what the file has.

    Raises
    ------
    DeclarationError
        With every choice that does not fit the file.
    """
    problems: list[Problem] = []
    chosen: list[str] = []
    if table.n_rows == 0:
        raise DeclarationError([Problem("", "the file has a line of names and no rows")], source_of(table))
    has_effects = column_of("yi", table) is not None and (column_of("vi", table) or column_of("sei", table)) is not None
    offered = {name: _rows_with(table, known) for name, known in OUTCOMES.items()}
    if outcome is None and not has_effects:
        outcome = max(offered, key=lambda name: offered[name])
        if offered[outcome] == 0:
            problems.append(Problem("", _no_columns(table)))
        else:
            chosen.append(f"No outcome was asked for; {OUTCOMES[outcome].spoken} is the one with numbers in most rows ({offered[outcome]}).")
    known = OUTCOMES[outcome] if outcome is not None else None
    given = has_effects and (known is None or not any(column_of(role, table) for role in _own_roles(known)))
    kind = "given" if given else "counts" if known is not None and known.events is not None else "scores"
    fitting = [name for name, shown in MEASURES.items() if shown.of == kind or given]
    if measure is not None and measure not in fitting:
        what = "effects that are given" if given else f"counts of {known.spoken}" if kind == "counts" and known else "scores"
        problems.append(Problem("measure", f"{measure!r} is none for {what}{did_you_mean(measure, fitting)}"))
    elif scores is not None and kind != "scores":
        problems.append(Problem("scores", f"{known.spoken if known else 'an effect'} is not computed from scores; leave it out"))
    if problems:
        raise DeclarationError(problems, source_of(table))
    if given and known is None and benefit is None:
        chosen.append("Positive effects are taken for benefit; --benefit lower says otherwise.")
    if kind == "scores" and improves is None and not _scales_are_known(table):
        chosen.append("Lower scores are taken for better; --improves up says otherwise. Effects are control minus drug, so that benefit is positive.")
    shown = MEASURES[measure or ("GEN" if given else fitting[0])]
    better: Benefit = benefit or (known.benefit if known is not None else "higher")
    return Question(known, shown, given, better, scores, improves or "down", tuple(chosen))


def _scales_are_known(table: Table) -> bool:
    return "scale" in table.columns and all(known_scale(scale) is not None for scale in cell_texts(table.columns["scale"]))


def _own_roles(outcome: Outcome) -> tuple[str, ...]:
    """Columns that are of this outcome only."""
    kinds: tuple[ScoreKind, ...] = ("change", "endpoint") if outcome.events is None else ("change",)
    return tuple(role for kind in kinds for role in roles_of(outcome, kind) if not role.startswith("n_"))


def _rows_with(table: Table, outcome: Outcome) -> int:
    """Rows that have all numbers of an outcome."""
    kinds: tuple[ScoreKind, ...] = ("change", "endpoint") if outcome.events is None else ("change",)
    has = np.zeros(table.n_rows, dtype=bool)
    for kind in kinds:
        columns = [column_of(role, table) for role in roles_of(outcome, kind)]
        if None not in columns:
            cells = [filled(table.columns[name]) for name in columns if name is not None]
            has |= np.logical_and.reduce(cells)
    if outcome.events is None and "scale" in table.columns:
        scales = cell_texts(table.columns["scale"])
        has &= np.array([(known_scale(scale) in ANHEDONIA) == (outcome.name == "anhedonia") for scale in scales])
    elif outcome.name == "anhedonia":
        has &= False
    return int(has.sum())


def _no_columns(table: Table) -> str:
    return (
        "no effects can be computed: there are neither columns yi and vi (or sei), nor n_active, n_placebo and counts such as responders_active, "
        "responders_placebo, nor change_mean_active, change_sd_active (or endpoint_mean_active, endpoint_sd_active) and the same of placebo; "
        f"columns are {', '.join(table.columns)}"
    )


def filled(column: Column) -> BoolArray:
    """Cells that are not empty."""
    return np.asarray(column.codes >= 0 if isinstance(column, Category) else ~np.isnan(column))
