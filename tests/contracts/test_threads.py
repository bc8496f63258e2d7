"""Tests run with one thread of linear algebra, users with as many as they have cores: results are the same."""

import pandas as pd
from command_line import call


def test_results_do_not_depend_on_threads_of_linear_algebra(tmp_path):
    found = []
    for threads in ("1", "2"):
        env = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), threads)
        words = ("run", "next_trial", "--replicates", 512, "--jobs", 1, "--no-null", "--no-report", "--out", f"threads_{threads}")
        done = call(*words, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        (stored,) = (tmp_path / f"threads_{threads}").rglob("*.parquet")
        found.append(pd.read_parquet(stored))
    assert len(found[0].columns) > 5
    pd.testing.assert_frame_equal(*found, check_exact=True)
