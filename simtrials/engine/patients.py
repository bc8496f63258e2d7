"""The patients of one simulated trial as analysis-ready data sets: one row per subject, and one row per subject and visit.

Columns are called as in the CDISC Analysis Data Model (ADSL and ADQS) where it has a name for them, and as in the scenario otherwise.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray
from simtrials.core.data import Measurements, SimulatedTrial
from simtrials.core.errors import SimtrialsError
from simtrials.core.expressions import Category, Column
from simtrials.core.outcomes import OUTCOMES
from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.files import tables_of
from simtrials.engine.run import ready
from simtrials.engine.scenario import Scenario
from simtrials.engine.store import write_whole
from simtrials.trial.departures import Discontinuation, Dropout, IntercurrentEvent

if TYPE_CHECKING:
    import pandas as pd

KINDS = (".csv", ".parquet", ".xpt")
CDISC = {"age_years": "AGE", "sex": "SEX", "bmi_kg_m2": "BMIBL", "race": "RACE", "ethnicity": "ETHNIC", "site": "SITEID", "country": "COUNTRY"}
"""Names of the standard for covariates."""
SEXES = {"female": "F", "male": "M"}
SAS_NAME, SAS_LABEL = 8, 40
"""Longest names and labels of a SAS transport file."""
LABELS = {
    "STUDYID": "Study Identifier",
    "USUBJID": "Unique Subject Identifier",
    "SUBJID": "Subject Identifier for the Study",
    "TRT01P": "Planned Treatment for Period 01",
    "TRT01PN": "Planned Treatment for Period 01 (N)",
    "TRTP": "Planned Treatment",
    "TRTPN": "Planned Treatment (N)",
    "RANDFL": "Randomized Population Flag",
    "EOSSTT": "End of Study Status",
    "EOTSTT": "End of Treatment Status",
    "AGE": "Age",
    "AGEU": "Age Units",
    "SEX": "Sex",
    "BMIBL": "Baseline Body Mass Index (kg/m2)",
    "PARAM": "Parameter",
    "PARAMCD": "Parameter Code",
    "AVISIT": "Analysis Visit",
    "AVISITN": "Analysis Visit (N): week",
    "ADY": "Analysis Relative Day",
    "AVAL": "Analysis Value",
    "BASE": "Baseline Value",
    "CHG": "Change from Baseline",
    "PCHG": "Percent Change from Baseline",
    "ABLFL": "Baseline Record Flag",
    "CRIT1": "Analysis Criterion 1",
    "CRIT1FL": "Criterion 1 Evaluation Result Flag",
    "CRIT2": "Analysis Criterion 2",
    "CRIT2FL": "Criterion 2 Evaluation Result Flag",
}


@dataclass(frozen=True, slots=True)
class PatientData:
    """One simulated trial: `subjects` with one row each (ADSL), `visits` with one row per subject, endpoint and visit seen (ADQS)."""

    trial: int
    subjects: "pd.DataFrame"
    visits: "pd.DataFrame"

    def write(self, out: str | Path) -> tuple[Path, Path]:
        """Write both to CSV, Parquet or SAS transport files; the subjects go to a file of the same name with `_adsl`."""
        path = Path(out)
        if path.suffix.lower() not in KINDS:
            raise SimtrialsError(f"--out must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}, got {path.name!r}")
        beside = path.with_name(f"{path.stem}_adsl{path.suffix}")
        for place, frame, name in ((path, self.visits, "ADQS"), (beside, self.subjects, "ADSL")):
            write_whole(place, _content(frame, name, path.suffix.lower()))
        return path, beside


def patients(scenario: Scenario, trial: int = 1, hidden: bool = False) -> PatientData:
    """The patients of the `trial`-th simulated trial (counted from 1), who are the very patients that `run` analysed.

    Subjects have arm, stratum, status at the end of the study, what was measured before randomisation, and the week of every event seen. Visits
    have scores with baseline, change and percent change, and flags of response and remission; a visit that was not seen has no row. With
    `hidden`, subjects have usual biomarker values too, which no analysis sees.
    """
    if trial < 1:
        raise SimtrialsError(f"simulated trials are counted from 1, got {trial}")
    block, row = divmod(trial - 1, BLOCK_SIZE)
    simulated = ready(scenario, tables_of(scenario), everything=True).trials(block)
    return PatientData(trial, _subjects(scenario, simulated, trial, row, hidden), _visits(scenario, simulated, trial, row))


def _identified(scenario: Scenario, simulated: SimulatedTrial, trial: int, row: int) -> tuple[BoolArray, list[str]]:
    """Who was enrolled, and their unique identifiers."""
    enrolled = simulated.data.arm[row] >= 0
    return enrolled, [f"{scenario.name}-{trial:05d}-{patient:04d}" for patient in np.flatnonzero(enrolled) + 1]


def _subjects(scenario: Scenario, simulated: SimulatedTrial, trial: int, row: int, hidden: bool) -> "pd.DataFrame":
    import pandas as pd

    data = simulated.data
    enrolled, names = _identified(scenario, simulated, trial, row)
    arm = data.arm[row, enrolled]
    columns: dict[str, Any] = {
        "STUDYID": scenario.name,
        "USUBJID": names,
        "SUBJID": [f"{patient:04d}" for patient in np.flatnonzero(enrolled) + 1],
        "TRT01P": np.array(data.arms)[arm],
        "TRT01PN": arm.astype(np.int64),
        "RANDFL": "Y",
    }
    if data.stratum.any():
        columns["stratum"] = data.stratum[row, enrolled] + 1
    columns |= _status(scenario, data.events, row, enrolled)
    not_measured = () if hidden else {assay.column for name, assay in scenario.assays.items() if assay.column != name}
    for name, column in data.columns.items():
        if name in not_measured:
            continue
        values = _values(column, row, enrolled)
        known = CDISC.get(name, name)
        columns[known] = [SEXES.get(str(value), value) for value in values] if name == "sex" else values
        if known == "AGE":
            columns["AGEU"] = "YEARS"
    for name, measured in data.endpoints.items():
        if measured.screening is not None:
            columns[f"{name}_screening"] = measured.screening[row, enrolled]
    columns |= {f"{name}_week": np.where(np.isfinite(week[row, enrolled]), week[row, enrolled], np.nan) for name, week in data.events.items()}
    if hidden:
        columns |= {f"{name}_usual": _values(simulated.hidden[f"usual:{name}"], row, enrolled) for name in scenario.assays}
    return pd.DataFrame(columns)


def _status(scenario: Scenario, events: Mapping[str, AnyArray], row: int, enrolled: BoolArray) -> dict[str, Any]:
    """Whether the study, and the treatment, was completed."""
    found = {}
    lost, stopped = np.full(int(enrolled.sum()), False), np.full(int(enrolled.sum()), False)
    for name, departure in scenario.departures.items():
        if name not in events:
            continue
        happened = np.isfinite(events[name][row, enrolled])
        if isinstance(departure, Dropout) or (isinstance(departure, IntercurrentEvent) and not departure.followed_up):
            lost |= happened
        if isinstance(departure, Discontinuation):
            stopped |= happened
    found["EOSSTT"] = np.where(lost, "DISCONTINUED", "COMPLETED")
    found["EOTSTT"] = np.where(stopped | lost, "DISCONTINUED", "COMPLETED")
    return found


def _visits(scenario: Scenario, simulated: SimulatedTrial, trial: int, row: int) -> "pd.DataFrame":
    import pandas as pd

    data = simulated.data
    enrolled, names = _identified(scenario, simulated, trial, row)
    arm = data.arm[row, enrolled]
    about = pd.DataFrame({"STUDYID": scenario.name, "USUBJID": names, "TRTP": np.array(data.arms)[arm], "TRTPN": arm.astype(np.int64)})
    frames = []
    for name, measured in data.endpoints.items():
        scale = measured.scale
        code = re.sub(r"[^A-Z0-9]", "", name.upper())[:SAS_NAME] or "SCORE"
        of_endpoint = about.assign(PARAM=f"{scale.name} score" if scale is not None else name, PARAMCD=code)
        frames += [pd.concat([of_endpoint, pd.DataFrame(part)], axis=1) for part in _parts(measured, row, enrolled)]
    whole = pd.concat(frames, ignore_index=True)
    return whole[whole["AVAL"].notna()].sort_values(["USUBJID", "PARAMCD", "AVISITN"], kind="stable", ignore_index=True)


def _parts(measured: Measurements, row: int, enrolled: BoolArray) -> Iterator[dict[str, Any]]:
    """Baseline, then one visit after another."""
    base = None if measured.baseline is None else measured.baseline[row, enrolled]
    criteria = _criteria(measured)
    if base is not None:
        yield {"AVISIT": "Baseline", "AVISITN": 0.0, "ADY": 1.0, "AVAL": base, "BASE": base, "ABLFL": "Y"}
    for week in measured.weeks:
        part: dict[str, Any] = {
            "AVISIT": f"Week {week:g}",
            "AVISITN": week,
            "ADY": 7 * week + 1,
            "AVAL": measured.at(week)[row, enrolled],
            "ABLFL": None,
        }
        if base is not None:
            part |= {"BASE": base, "CHG": part["AVAL"] - base, "PCHG": OUTCOMES["percent_change"].read(measured, week)[row, enrolled]}
        for number, (outcome, words) in enumerate(criteria.items(), start=1):
            met = OUTCOMES[outcome].read(measured, week)[row, enrolled]
            part |= {f"CRIT{number}": words, f"CRIT{number}FL": np.array([None, "N", "Y"], dtype=object)[np.select([met == 1, met == 0], [2, 1], 0)]}
        yield part


def _criteria(measured: Measurements) -> dict[str, str]:
    """Yes-or-no outcomes of a symptom scale, in words."""
    scale = measured.scale
    if scale is None or measured.baseline is None:
        return {}
    found = {"response": "Response: fall of severity by half or more"}
    if scale.remission_cut is not None:
        side = "or less" if scale.improves == "down" else "or more"
        found["remission"] = f"Remission: score of {scale.remission_cut:g} {side}"
    return found


def _values(column: Column, row: int, enrolled: BoolArray) -> Any:
    if isinstance(column, Category):
        return np.array([*column.levels, None], dtype=object)[column.codes[row, enrolled]]
    return column[row, enrolled]


def _content(frame: "pd.DataFrame", name: str, kind: str) -> bytes:
    """The bytes of a file."""
    if kind == ".csv":
        return frame.to_csv(index=False).encode("utf-8")
    if kind == ".parquet":
        return frame.to_parquet(index=False)
    try:
        import pyreadstat
    except ImportError:
        raise SimtrialsError("SAS transport files need pyreadstat; install it with  pip install 'simtrials[io]'  or write .csv or .parquet") from None
    names = _sas_names(list(frame.columns))
    labels: list[str | None] = [LABELS.get(column, column)[:SAS_LABEL] for column in frame.columns]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.xpt"
        renamed = frame.rename(columns=names)
        pyreadstat.write_xport(renamed, str(path), file_label=name, column_labels=labels, table_name=name, file_format_version=5)
        return path.read_bytes()


def _sas_names(columns: list[str]) -> dict[str, str]:
    """Names of at most eight capital letters, digits and underscores, all different."""
    names: dict[str, str] = {}
    for column in columns:
        short = re.sub(r"[^A-Z0-9_]", "_", column.upper())[:SAS_NAME]
        number = 1
        while short in names.values():
            number += 1
            short = f"{short[: SAS_NAME - len(str(number))]}{number}"
        names[column] = short
    return names
