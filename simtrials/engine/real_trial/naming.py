"""How the columns of a real trial's file are called, and which of the usual names it has."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtrials.core.arrays import IntArray
from simtrials.core.data import Improves, Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import ExpressionError, parse
from simtrials.trial.endpoints.scales import SCALES

KNOWN_AS = {
    "patient": ("patient", "USUBJID", "SUBJID", "subject", "id"),
    "arm": ("arm", "TRTP", "TRT01P", "TRTA", "TRT01A", "treatment"),
    "week": ("week", "AVISITN"),
    "score": ("score", "AVAL"),
    "baseline": ("baseline", "BASE"),
}
"""How files usually call what is needed, CDISC ADaM names among them."""
DAYS = ("day", "ADY")


@dataclass(frozen=True, slots=True)
class Naming:
    """How the columns of a file are called; what is None is looked up among the usual names.

    `patient` and `arm` are columns; `week`, `score` and `baseline` may be formulas such as 'day / 7'. Where `week` numbers or names visits, `weeks`
    are the scheduled weeks of its values in their order. `control` is the arm that the others are compared with. Without a `scale`, `improves`
    says which scores are better, and `binary` that they are 1 and 0. `where` keeps rows; `strata` are columns within which patients were
    randomised; `subjects` is a file with one row per patient.
    """

    patient: str | None = None
    arm: str | None = None
    control: str | None = None
    week: str | None = None
    weeks: tuple[float, ...] = ()
    score: str | None = None
    baseline: str | None = None
    scale: str | None = None
    improves: Improves | None = None
    binary: bool = False
    where: str | None = None
    strata: tuple[str, ...] = ()
    subjects: str | Path | None = None
    one_arm: bool = False


def source_of(table: Table) -> str:
    """The file's name, for messages."""
    return Path(table.name).name


def resolved(naming: Naming, table: Table) -> Naming:
    """Names looked up where they were left out; every name that is not there is a problem."""
    found: dict[str, str | None] = {}
    problems: list[Problem] = []
    for role, usual in KNOWN_AS.items():
        given = getattr(naming, role)
        if given is not None:
            found[role] = given
            problems += _unknown(role, given, table)
            continue
        known = next((name for name in usual if name in table.columns), None)
        if role == "week" and known is None:
            known = next((f"{name} / 7" for name in DAYS if name in table.columns), None)
        if known is None and role == "score":
            problems.append(Problem("score", f"name the column with the scores; columns are {', '.join(table.columns)}"))
        elif known is None and role == "arm" and (naming.one_arm or naming.subjects is not None):
            pass
        elif known is None and role != "baseline":
            problems.append(Problem(role, f"no column is called {' or '.join(usual[:2])}; name it; columns are {', '.join(table.columns)}"))
        found[role] = known
    if naming.scale is not None and naming.scale not in SCALES:
        problems.append(Problem("scale", f"no scale called {naming.scale!r}{did_you_mean(naming.scale, SCALES)}"))
    if naming.scale is not None and naming.binary:
        problems.append(Problem("binary", f"scores of {naming.scale} are numbers, not yes or no; leave out one of scale and binary"))
    if naming.where is not None:
        problems += _unknown("where", naming.where, table)
    if problems:
        raise DeclarationError(problems, source_of(table))
    return Naming(**{name: found.get(name, getattr(naming, name)) for name in Naming.__slots__})


def _unknown(role: str, formula: str | None, table: Table) -> Iterator[Problem]:
    if formula is None or formula in table.columns:
        return
    try:
        names = parse(formula).names
    except ExpressionError as error:
        yield Problem(role, str(error))
        return
    for name in sorted(names - table.columns.keys()):
        yield Problem(role, f"no column called {name!r}{did_you_mean(name, table.columns)}")
    if role in ("patient", "arm") and names <= table.columns.keys():
        yield Problem(role, f"must be a column, got the formula {formula!r}")


def rows_kept(table: Table, naming: Naming) -> IntArray:
    """Rows that `where` keeps."""
    if naming.where is None:
        return np.arange(table.n_rows)
    try:
        keep = np.flatnonzero(parse(naming.where).truth(table.columns))
    except ExpressionError as error:
        raise DeclarationError([Problem("where", str(error))], source_of(table)) from None
    if keep.size == 0:
        raise DeclarationError([Problem("where", f"no row of {table.n_rows:,} fits {naming.where!r}")], source_of(table))
    return keep
