"""The patients of one simulated trial as a data set."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simtrials.core.errors import SimtrialsError
from simtrials.core.expressions import Category, Column
from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.files import tables_of
from simtrials.engine.run import ready
from simtrials.engine.scenario import Scenario
from simtrials.engine.store import write_whole

if TYPE_CHECKING:
    import pandas as pd


def patients(scenario: Scenario, trial: int = 1, hidden: bool = False) -> "pd.DataFrame":
    """One row per patient of the `trial`-th simulated trial (counted from 1), who are the very patients that `run` analysed.

    Columns: patient, arm, stratum, what was measured before randomisation, and each endpoint's readings as `<endpoint>_screening`,
    `<endpoint>_baseline`, `<endpoint>_week_<w>`. With `hidden`, usual biomarker values too, which no analysis sees.
    """
    import pandas as pd

    if trial < 1:
        raise SimtrialsError(f"simulated trials are counted from 1, got {trial}")
    block, row = divmod(trial - 1, BLOCK_SIZE)
    simulated = ready(scenario, tables_of(scenario), everything=True).trials(block)
    data = simulated.data
    columns: dict[str, object] = {
        "patient": np.arange(1, data.arm.shape[1] + 1),
        "arm": np.array(data.arms)[data.arm[row]],
        "stratum": data.stratum[row] + 1,
    }
    columns |= {name: _values(column, row) for name, column in data.columns.items()}
    for name, measured in data.endpoints.items():
        for reading in ("screening", "baseline"):
            values = getattr(measured, reading)
            if values is not None:
                columns[f"{name}_{reading}"] = values[row]
        columns |= {f"{name}_week_{week:g}": measured.value[row, :, visit] for visit, week in enumerate(measured.weeks)}
    if hidden:
        columns |= {f"{name}_usual": _values(simulated.hidden[f"usual:{name}"], row) for name in scenario.assays}
    return pd.DataFrame(columns)


def _values(column: Column, row: int) -> object:
    if isinstance(column, Category):
        return np.array([*column.levels, None], dtype=object)[column.codes[row]]
    return column[row]


def write_patients(scenario: Scenario, trial: int, out: str | Path, hidden: bool = False) -> tuple[Path, int]:
    """Write the patients of a trial to a CSV or Parquet file; returns the path and the number of rows."""
    path = Path(out)
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise SimtrialsError(f"--out must end in .csv or .parquet, got {path.name!r}")
    frame = patients(scenario, trial, hidden)
    write_whole(path, frame.to_csv(index=False) if kind == ".csv" else frame.to_parquet(index=False))
    return path, len(frame)
