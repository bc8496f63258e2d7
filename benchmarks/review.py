"""How fast bodies of evidence are: the flagship review at patient level with all its syntheses, kernels warm.

    python benchmarks/review.py [--replicates 10000] [--jobs 2]

One cell: the scenario as declared, without its null and variants. Time includes preparation, storing, and reading back the measures.
"""

import argparse
import tempfile
import time

import simtrials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    scenario = simtrials.read("review_2026").model_copy(update={"variants": {}})
    with tempfile.TemporaryDirectory() as folder:
        simtrials.run(scenario, n_replicates=512, n_jobs=1, null=False, out=f"{folder}/warm")
        started = time.perf_counter()
        found = simtrials.run(scenario, n_replicates=asked.replicates, n_jobs=asked.jobs, null=False, out=folder)
        found.measures()
        seconds = time.perf_counter() - started
    per_body = 1e3 * seconds / asked.replicates
    print(f"{asked.replicates:,} bodies of evidence, {len(scenario.syntheses)} syntheses: {seconds:.1f} s, {per_body:.2f} ms a body")


if __name__ == "__main__":
    main()
