"""How fast many meta-analyses are analyzed: pooling and selection models, one thread, compiled kernels warm.

    python benchmarks/meta.py [--rounds 5] [--json FILE]

Each task gives its least CPU time over the rounds, through the public function with its defaults (the Q-profile interval of tau2 included),
and beside it R's metafor on some of the same meta-analyses, where R with metafor is installed.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from scipy.special import ndtri

from simtrials.stats.meta_analysis import meta_analysis
from simtrials.stats.selection_models import step_selection

Task = tuple[Callable[[np.ndarray, np.ndarray], object], int, int, str]
TASKS: dict[str, Task] = {
    "DerSimonian-Laird, Wald": (lambda y, v: meta_analysis(y, v, tau2="DL"), 100_000, 11, 'rma(y, v, method = "DL")'),
    "REML, Hartung-Knapp": (
        lambda y, v: meta_analysis(y, v, tau2="REML", ci="hartung_knapp"),
        100_000,
        11,
        'tryCatch(rma(y, v, method = "REML", test = "knha"), error = identity)',
    ),
    "three-parameter selection model": (
        lambda y, v: step_selection(y, v, (0.025,), "greater"),
        5_000,
        30,
        'tryCatch(selmodel(rma(y, v, method = "ML"), type = "stepfun", steps = 0.025), error = identity)',
    ),
}
METAFOR = """
suppressWarnings(suppressMessages(library(metafor)))
d <- read.csv("studies.csv", header = FALSE); k <- ncol(d) / 2; n <- nrow(d)
one <- function(i) { y <- unlist(d[i, 1:k]); v <- unlist(d[i, k + 1:k]); suppressWarnings(CALL) }
invisible(one(1))
cat(sum(system.time(for (i in 1:n) one(i))[1:2]) / n)
"""
N_OF_METAFOR = 100


def studies(n_replicates: int, n_studies: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardized mean differences of 0.3 in trials of 20 to 120 patients, a standard deviation of 0.2 between them; half of what is not
    significant stays unpublished."""
    rng = np.random.default_rng(1)
    n = rng.integers(20, 121, (n_replicates, 4 * n_studies))
    v = 4 / n
    y = rng.normal(0.3, np.sqrt(v + 0.04))
    published = (y / np.sqrt(v) > -ndtri(0.025)) | (rng.random(y.shape) < 0.5)
    first = np.argsort(~published, axis=1, kind="stable")[:, :n_studies]
    return np.take_along_axis(y, first, 1), np.take_along_axis(v, first, 1)


def metafor_seconds(y: np.ndarray, v: np.ndarray, call: str) -> float:
    """CPU seconds of metafor for one meta-analysis, NaN without it."""
    if shutil.which("Rscript") is None:
        return float("nan")
    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(Path(folder, "studies.csv"), np.hstack([y, v])[:N_OF_METAFOR], delimiter=",")
        done = subprocess.run(["Rscript", "-e", METAFOR.replace("CALL", call)], cwd=folder, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", default="")
    arguments = parser.parse_args()
    rows = []
    for task, (analyse, n_replicates, n_studies, call) in TASKS.items():
        y, v = studies(n_replicates, n_studies)
        analyse(y[:10], v[:10])
        best = np.inf
        for _ in range(arguments.rounds):
            start = time.process_time()
            analyse(y, v)
            best = min(best, time.process_time() - start)
        peer = metafor_seconds(y, v, call) * n_replicates
        rows.append({"task": task, "n_replicates": n_replicates, "n_studies": n_studies, "seconds": best, "metafor_seconds": peer})
        beside = f"   metafor {peer:8.1f} s, ratio {peer / best:7,.0f}" if np.isfinite(peer) else ""
        print(f"{task:32s} {n_replicates:7,d} of {n_studies} studies: {best:6.3f} s{beside}", flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
