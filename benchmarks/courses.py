"""How fast trials with missing visits are simulated and analysed: mixed models and multiple imputation, one thread, compiled kernels warm.

    python benchmarks/courses.py [--rounds 3] [--json FILE]

200 patients without screening (a Gaussian copula), five visits of the MADRS, a quarter lost at random given what was seen; in the second and
third task each visit is missed by another 5%. Shown is the least CPU time per trial over the rounds, generation included, and the power found.
Beside the mixed model stands R's nlme::gls on one of the trials, where R is installed: a general tool that was not made for loops, and that
gives no degrees of freedom.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from speed import blocks_of, microseconds

from simtrials.engine.cells import ready
from simtrials.engine.files import scenario_from

MADRS = {
    "kind": "scale",
    "scale": "MADRS",
    "weeks": [1, 2, 4, 6, 8],
    "baseline": {"mean": 29.0, "sd": 5.0},
    "control_course": {"change": -11.0, "at_week": 8, "time_constant": 3.7, "score_sd": [6.3, 7.4, 8.4, 8.8, 9.0]},
    "correlation": {"kind": "ar1", "per_week": 0.93},
    "effects": {"active": {"kind": "constant", "points": 3.0, "time_constant": 4.0}},
}
LOST = {"kind": "dropout", "rate": 0.25, "mechanism": "mar", "log_odds_per_point": 0.05}
GAPS = {"kind": "gaps", "probability": 0.05}
TASKS = {
    "mixed model, lost for good": ({"lost": LOST}, {"kind": "mmrm"}, 256 * 20),
    "mixed model, gaps": ({"lost": LOST, "gaps": GAPS}, {"kind": "mmrm"}, 256 * 8),
    "mixed model, gaps, Kenward-Roger": ({"lost": LOST, "gaps": GAPS}, {"kind": "mmrm", "df": "kenward_roger"}, 256 * 8),
    "ANCOVA after 20 imputations": ({"lost": LOST}, {"kind": "multiple_imputation", "n_imputations": 20}, 256 * 4),
}
GLS = """
library(nlme)
d <- read.csv("trial.csv"); d$visit <- factor(d$week); d$index <- as.integer(d$visit)
one <- function() gls(change ~ visit * baseline + visit * arm, d, correlation = corSymm(form = ~ index | patient),
                      weights = varIdent(form = ~ 1 | visit), method = "REML")
spent <- min(sapply(1:3, function(i) sum(system.time(one())[1:2])))
cat(spent)
"""


def scenario_of(departures: dict, analysis: dict):
    tables = {
        "name": "bench",
        "population": {"kind": "gaussian_copula", "covariates": {"age": {"kind": "normal", "mean": 40.0, "sd": 12.0}}},
        "design": {"kind": "fixed", "n_patients": 200, "allocation": {"kind": "blocks", "block_size": 4}},
        "endpoints": {"madrs": MADRS},
        "departures": departures,
        "analyses": {"severity": analysis | {"endpoint": "madrs"}},
    }
    return scenario_from(tables)


def gls_seconds(departures: dict) -> float:
    """CPU seconds of nlme::gls on the first trial, NaN without R."""
    if shutil.which("Rscript") is None:
        return float("nan")
    scenario = scenario_of(departures, {"kind": "mmrm"})
    data = ready(scenario, {}).trials(0).data
    measured = data.endpoints["madrs"]
    lines = ["patient,arm,baseline,week,change"]
    for patient in range(measured.value.shape[1]):
        start = measured.baseline[0, patient]
        for week, score, seen in zip(measured.weeks, measured.value[0, patient], measured.observed[0, patient], strict=True):
            if seen:
                lines.append(f"{patient},{data.arm[0, patient]},{start},{week},{score - start}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "trial.csv").write_text("\n".join(lines), encoding="utf-8")
        done = subprocess.run(["Rscript", "-e", GLS], cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default="")
    arguments = parser.parse_args()
    rows = []
    for task, (departures, analysis, n_trials) in TASKS.items():
        power = blocks_of(scenario_of(departures, analysis), "severity")
        power(256)
        timed = [microseconds(power, n_trials) for _ in range(arguments.rounds)]
        best, found = min(timed)
        row = {"task": task, "us": best, "trials_per_second": 1e6 / best, "power": found}
        if task in ("mixed model, lost for good", "mixed model, gaps"):
            row["gls_us"] = 1e6 * gls_seconds(departures)
        rows.append(row)
        peer = f"   nlme::gls {row['gls_us'] / 1e3:,.0f} ms, ratio {row['gls_us'] / best:,.0f}" if np.isfinite(row.get("gls_us", np.nan)) else ""
        print(f"{task:34s} {best:8.1f} us a trial, {1e6 / best:7,.0f} trials/s (power {found:.3f}){peer}", flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
