"""How fast simtrials is, side by side with a loop that does the same with SciPy and NumPy, one thread each.

    python benchmarks/speed.py [--rounds 3] [--json FILE]

Ours and the loop alternate; the table shows the least CPU time per simulated trial over the rounds (generation and analysis, compiled kernels
warm), the power that each finds, and the ratio. The loop is a general tool used for what it was not made for. Two whole commands follow:
the flagship scenario with 10,000 trials, and the memory that 200,000 need.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np

from simtrials.engine.cells import ready
from simtrials.engine.files import read, scenario_from, tables_of

TWO_ARMS = {"kind": "fixed", "n_patients": 200, "allocation": {"kind": "blocks", "block_size": 200}}
NORMAL = {"kind": "continuous", "effects": {"active": {"kind": "constant", "points": 0.4}}}
BASED = NORMAL | {"baseline": {"mean": 0.0, "sd": 1.0, "correlation": 0.5}}
EVENT = {"kind": "binary", "control_risk": 0.3, "effects": {"active": {"kind": "constant", "risk": 0.5}}}


def ours(endpoint: dict, analysis: dict) -> Callable[[int], float]:
    """Power over some blocks of a two-arm trial of 200 patients."""
    tables = {"name": "bench", "design": TWO_ARMS, "endpoints": {"y": endpoint}, "analyses": {"a": analysis | {"endpoint": "y"}}}
    scenario = scenario_from(tables)
    return blocks_of(scenario, "a")


def blocks_of(scenario, analysis: str) -> Callable[[int], float]:
    from simtrials.engine.blocks import estimates_of
    from simtrials.inference.judge import judge

    simulation = ready(scenario, tables_of(scenario))
    meaning = simulation.meanings()[analysis]

    def power(n_trials: int) -> float:
        shown = 0
        for block in range(n_trials // 256):
            shown += int(judge(scenario.analyses[analysis], estimates_of(analysis, simulation.columns(block), meaning)).benefit.sum())
        return shown / (n_trials // 256 * 256)

    return power


def loop(one: Callable[[np.random.Generator], bool]) -> Callable[[int], float]:
    def power(n_trials: int) -> float:
        rng = np.random.default_rng(1)
        return float(np.mean([one(rng) for _ in range(n_trials)]))

    return power


def scipy_t(rng: np.random.Generator) -> bool:
    from scipy.stats import ttest_ind

    found = ttest_ind(rng.normal(0.4, 1, 100), rng.normal(0, 1, 100))
    return bool(found.pvalue < 0.05 and found.statistic > 0)


def numpy_ancova(rng: np.random.Generator) -> bool:
    from scipy.stats import t

    arm = np.repeat([0.0, 1.0], 100)
    base = rng.standard_normal(200)
    y = 0.5 * base + 0.4 * arm + np.sqrt(0.75) * rng.standard_normal(200)
    design = np.column_stack([np.ones(200), arm, base])
    beta, (rest,), *_ = np.linalg.lstsq(design, y, rcond=None)
    z = beta[1] / np.sqrt(rest / 197 * np.linalg.inv(design.T @ design)[1, 1])
    return bool(z > t.ppf(0.975, 197))


def scipy_fisher(rng: np.random.Generator) -> bool:
    from scipy.stats import fisher_exact

    a, c = rng.binomial(100, [0.5, 0.3])
    return bool(fisher_exact([[a, 100 - a], [c, 100 - c]])[1] < 0.05 and a > c)


def scipy_mann_whitney(rng: np.random.Generator) -> bool:
    from scipy.stats import mannwhitneyu

    found = mannwhitneyu(rng.normal(0.4, 1, 100), rng.normal(0, 1, 100), method="asymptotic", use_continuity=False)
    return bool(found.pvalue < 0.05 and found.statistic > 5000)


def pooled_z(rng: np.random.Generator) -> bool:
    a, c = rng.binomial(100, [0.5, 0.3]) / 100
    middle = (a + c) / 2
    return bool(a - c > 1.959964 * np.sqrt(middle * (1 - middle) / 50))


TASKS = {
    "t test, 2 x 100": (ours(NORMAL, {"kind": "t_test"}), loop(scipy_t), "loop over scipy ttest_ind"),
    "ANCOVA, 2 x 100": (ours(BASED, {"kind": "ancova", "outcome": "value"}), loop(numpy_ancova), "loop over numpy lstsq"),
    "score test, 2 x 100": (ours(EVENT, {"kind": "risk_difference", "interval": "newcombe"}), loop(pooled_z), "loop over a formula"),
    "Fisher exact, 2 x 100": (ours(EVENT, {"kind": "fisher_exact"}), loop(scipy_fisher), "loop over scipy fisher_exact"),
    "Mann-Whitney, 2 x 100": (ours(NORMAL, {"kind": "mann_whitney"}), loop(scipy_mann_whitney), "loop over scipy mannwhitneyu"),
}


def microseconds(power: Callable[[int], float], n_trials: int) -> tuple[float, float]:
    start = time.process_time()
    found = power(n_trials)
    return 1e6 * (time.process_time() - start) / n_trials, found


def side_by_side(rounds: int) -> list[dict]:
    rows = []
    for task, (mine, peer, name) in TASKS.items():
        mine(512), peer(3)
        best = {"task": task, "peer": name, "ours_us": np.inf, "peer_us": np.inf}
        for _ in range(rounds):
            for key, function, n_trials in (("peer", peer, 500), ("ours", mine, 25_600)):
                spent, found = microseconds(function, n_trials)
                best[f"{key}_us"], best[f"{key}_power"] = min(best[f"{key}_us"], spent), found
        rows.append(best)
        print(
            f"{task:24s} {best['ours_us']:9.2f} us a trial (power {best['ours_power']:.3f})   {name} {best['peer_us']:9.1f} us "
            f"(power {best['peer_power']:.3f})   ratio {best['peer_us'] / best['ours_us']:7.0f}"
        )
    return rows


def shipped(name: str, n_trials: int, rounds: int) -> float:
    """Seconds of simulation and analyses for a shipped scenario, one thread, warm."""
    scenario = read(name)
    simulation = ready(scenario, tables_of(scenario))
    simulation.columns(0)
    best = np.inf
    for _ in range(rounds):
        start = time.process_time()
        for block in range(-(-n_trials // 256)):
            simulation.columns(block)
        best = min(best, time.process_time() - start)
    return best


def memory(name: str, n_trials: int) -> float:
    """Peak memory, in MB, of a whole run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        code = (
            f"import resource; from simtrials.engine.run import run; run({name!r}, n_replicates={n_trials}, n_jobs=1, null=False, out={folder!r})"
            ".measures(); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default="")
    arguments = parser.parse_args()
    rows = side_by_side(arguments.rounds)
    flagship = shipped("next_trial", 10_000, arguments.rounds)
    textbook = 1e6 * shipped("textbook_t", 256 * 400, arguments.rounds) / (256 * 400)
    peak = memory("next_trial", 200_000)
    print(f"next_trial, 10,000 trials, five analyses: {flagship:.2f} s")
    print(f"textbook_t: {textbook:.2f} us a trial")
    print(
        f"next_trial, 200,000 trials, whole run: peak {peak:.0f} MB (this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB)"
    )
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as stream:
            json.dump({"tasks": rows, "next_trial_s": flagship, "textbook_t_us": textbook, "peak_mb": peak}, stream, indent=1)


if __name__ == "__main__":
    main()
