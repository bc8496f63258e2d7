"""The engine: the same bits however the work is done, resumed after a crash, extended, repaired."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import examples
import numpy as np
import pytest

from simtrials.core.errors import SimtrialsError
from simtrials.engine.cells import ready
from simtrials.engine.declared import SCENARIO
from simtrials.engine.run import load, run
from simtrials.engine.store import BLOCKS_PER_SHARD, CellStore

FAST = {
    "population": None,
    "assays": {},
    "eligibility": [],
    "design": {"kind": "fixed", "n_patients": 20, "allocation": {"kind": "blocks", "block_size": 4}},
    "endpoints": {"outcome": {"kind": "continuous", "effects": {"active": {"kind": "constant", "points": 0.9}}}},
    "analyses": {"t": {"kind": "t_test", "endpoint": "outcome"}, "rank": {"kind": "mann_whitney", "endpoint": "outcome"}},
}


def fast(**changes):
    tables = examples.scenario_tables(**(FAST | changes))
    del tables["population"]
    return examples.scenario_from(tables)


def columns_of(result, cell=SCENARIO):
    parts = list(result.shards(cell))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def same(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(examples.scenario(), n_replicates=2048, n_jobs=1, out=tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(("backend", "jobs"), [("threads", 2), ("loky", 2), ("serial", 1)])
def test_results_are_the_same_to_the_bit_for_any_workers(whole, tmp_path, backend, jobs):
    again = run(examples.scenario(), n_replicates=2048, n_jobs=jobs, backend=backend, out=tmp_path)
    for cell in whole.cells:
        same(columns_of(whole, cell), columns_of(again, cell))
    assert whole.measures().equals(again.measures())


def test_more_replicates_extend_a_run(whole, tmp_path):
    small = run(examples.scenario(), n_replicates=512, out=tmp_path, n_jobs=1)
    first = columns_of(small)
    same(first, {name: values[:512] for name, values in columns_of(whole).items()})
    extended = run(examples.scenario(), n_replicates=2048, out=tmp_path, n_jobs=1)
    assert extended.folder == small.folder
    same(columns_of(extended), columns_of(whole))


def test_fewer_replicates_use_the_first_of_what_is_stored(whole):
    fewer = run(examples.scenario(), n_replicates=1000, out=whole.folder.parent, n_jobs=1)
    assert fewer.n_replicates == 1000
    same(columns_of(fewer), {name: values[:1000] for name, values in columns_of(whole).items()})
    assert fewer.measure("severity", "power").n_replicates == 1000


def test_asking_the_same_twice_simulates_nothing(whole, monkeypatch):
    def refuse(*_):
        raise AssertionError("simulated again")

    monkeypatch.setattr("simtrials.engine.blocks.Simulation.columns", refuse)
    again = run(examples.scenario(), n_replicates=2048, n_jobs=1, out=whole.folder.parent)
    assert again.measures().equals(whole.measures())


def test_a_stored_run_is_loaded_as_it_was(whole):
    loaded = load(whole.folder)
    assert loaded.measures().equals(whole.measures())
    assert loaded.scenario == whole.scenario
    assert loaded.truths == whole.truths
    assert loaded.digest == whole.digest


def damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [damaged, lambda path: path.write_bytes(path.read_bytes()[:1000]), lambda path: path.write_bytes(b""), Path.unlink])
def test_a_damaged_shard_is_named_and_simulated_again(tmp_path, harm):
    before = run(fast(), n_replicates=BLOCKS_PER_SHARD * 256 + 600, out=tmp_path, n_jobs=1, null=False)
    expected = columns_of(before)
    shard = before.folder / "cells" / SCENARIO / "00000.parquet"
    harm(shard)
    after = run(fast(), n_replicates=BLOCKS_PER_SHARD * 256 + 600, out=tmp_path, n_jobs=1, null=False)
    assert any("00000.parquet" in note and "simulated again" in note for note in after.notes)
    same(columns_of(after), expected)


def test_shards_that_are_gone_are_named(tmp_path):
    """The last shard of a cell leaves no gap among the files; the record of the finished run tells that there was one."""
    before = run(fast(), n_replicates=512, out=tmp_path, n_jobs=1)
    (before.folder / "cells" / "null" / "00000.parquet").unlink()
    after = run(fast(), n_replicates=512, out=tmp_path, n_jobs=1)
    assert [note for note in after.notes if note.startswith("null: ") and "simulated again" in note]
    assert "Repaired: null:" in " ".join(after.summary().split())


def test_an_analysis_that_fails_in_many_of_the_first_trials_is_told_at_once(tmp_path):
    told = []
    tables = examples.scenario_tables(
        design={"kind": "fixed", "n_patients": 8, "allocation": {"kind": "complete"}},
        analyses={"remission": {"kind": "risk_ratio", "endpoint": "symptoms", "outcome": "remission"}},
    )
    run(examples.scenario_from(tables), n_replicates=512, out=tmp_path, n_jobs=1, null=False, warn=told.append)
    assert len(told) == 1
    assert "remission could not be estimated in" in told[0]
    assert "of the first 256 trials: no events (or only events) in an arm" in told[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [({"backend": "dusk"}, "no backend called 'dusk'; did you mean 'dask'"), ({"scheduler": "tcp://x"}, "goes with backend dask, got backend auto")],
)
def test_calls_that_cannot_be_are_refused(tmp_path, call, message):
    with pytest.raises(SimtrialsError, match=message):
        run(fast(), n_replicates=512, out=tmp_path, **call)


def test_a_pattern_without_significance_counts_neither_benefit_nor_harm(tmp_path):
    patterns = {
        "quiet": {"not_significant": ["t"]},
        "shown": {"shows": ["t"]},
        "no_benefit": {"does_not_show": ["t"]},
    }
    endpoint = {"outcome": {"kind": "continuous", "effects": {"active": {"kind": "constant", "points": -0.5}}}}
    result = run(fast(patterns=patterns, endpoints=endpoint), n_replicates=2048, out=tmp_path, n_jobs=1, null=False)
    found = {measure.name.removeprefix("pattern: "): measure.value for measure in result.patterns()}
    tally = result.tallies()["t"]
    assert found == {"quiet": 1 - tally.n_rejected / 2048, "shown": tally.n_benefit / 2048, "no_benefit": 1 - tally.n_benefit / 2048}
    assert found["no_benefit"] - found["quiet"] > 0.1


def test_reading_a_damaged_run_says_what_to_do(tmp_path):
    result = run(fast(), n_replicates=512, out=tmp_path, n_jobs=1, null=False)
    damaged(result.folder / "cells" / SCENARIO / "00000.parquet")
    with pytest.raises(SimtrialsError, match="run the scenario again"):
        load(result.folder).measures()


def test_results_of_other_versions_are_not_mixed_in(tmp_path, monkeypatch):
    first = run(fast(), n_replicates=512, out=tmp_path, n_jobs=1, null=False)
    monkeypatch.setattr("simtrials.engine.run.fingerprint", lambda: "another version")
    again = run(fast(), n_replicates=512, out=tmp_path, n_jobs=1, null=False)
    assert again.folder == first.folder
    assert any("other versions" in note for note in again.notes)


def test_a_run_that_was_killed_goes_on_to_the_same_result(tmp_path):
    """The process is killed with SIGKILL while it writes shards; the run is then resumed and compared with one in one go."""
    code = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parent.parent)!r}]
import simtrials.engine.run as engine
engine.FLUSH_SECONDS = 0.0
from test_engine import fast
engine.run(fast(), n_replicates=400_000, out={str(tmp_path / "killed")!r}, n_jobs=1, null=False)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list((tmp_path / "killed").rglob("0000[2-9].parquet"))) == 0 and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, process.stderr.read().decode()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    stored = CellStore(next((tmp_path / "killed").glob("small-*")) / "cells" / SCENARIO, "other")
    assert stored.damage
    n_replicates = 5 * BLOCKS_PER_SHARD * 256
    resumed = run(fast(), n_replicates=n_replicates, out=tmp_path / "killed", n_jobs=1, null=False)
    straight = run(fast(), n_replicates=n_replicates, out=tmp_path / "straight", n_jobs=1, null=False)
    assert not list((tmp_path / "killed").rglob("*.tmp"))
    same(columns_of(resumed), columns_of(straight))
    assert resumed.measures().equals(straight.measures())


def test_two_processes_on_one_folder_do_no_harm(tmp_path):
    code = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parent.parent)!r}]
import simtrials.engine.run as engine
engine.FLUSH_SECONDS = 0.0
from test_engine import fast
engine.run(fast(), n_replicates=int(sys.argv[1]), out={str(tmp_path / "shared")!r}, n_jobs=1, null=False)
"""
    both = [subprocess.Popen([sys.executable, "-c", code, str(n)], stderr=subprocess.PIPE) for n in (30_000, 20_000)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    alone = run(fast(), n_replicates=30_000, out=tmp_path / "alone", n_jobs=1, null=False)
    shared = run(fast(), n_replicates=30_000, out=tmp_path / "shared", n_jobs=1, null=False)
    assert not shared.notes
    same(columns_of(shared), columns_of(alone))


def test_precision_is_looked_at_only_when_the_blocks_have_doubled(tmp_path):
    looks = []
    result = run(fast(), mcse=0.004, out=tmp_path, n_jobs=1, null=False, progress=lambda _, done, total: looks.append(total))
    totals = sorted(set(looks))
    assert totals == [1024 * 2**i for i in range(len(totals))]
    assert result.n_replicates == totals[-1]
    assert all(result.measure(name, "power").mcse <= 0.004 for name in result.scenario.analyses)
    previous = run(fast(), n_replicates=totals[-2], out=tmp_path, n_jobs=1, null=False)
    assert any(previous.measure(name, "power").mcse > 0.004 for name in result.scenario.analyses)
    assert "at most 0.004" in result.stopped


def test_precision_does_not_look_at_what_another_run_left(tmp_path):
    run(fast(), n_replicates=50_000, out=tmp_path, n_jobs=1, null=False)
    assert run(fast(), mcse=0.02, out=tmp_path, n_jobs=1, null=False).n_replicates == 1024


def test_a_cap_ends_the_search_for_precision(tmp_path):
    result = run(fast(), mcse=0.0001, n_replicates=3000, out=tmp_path, n_jobs=1, null=False)
    assert result.n_replicates == 3000
    assert "the most allowed" in result.stopped


def test_the_null_has_the_same_patients_and_no_effect(whole):
    assert whole.cells["null"] == "no effect"
    assert all(truth.value == 0.0 for truth in whole.truths["null"].values())
    np.testing.assert_array_equal(columns_of(whole)["screened"], columns_of(whole, "null")["screened"])
    assert (columns_of(whole)["severity/estimate"] != columns_of(whole, "null")["severity/estimate"]).all()


def test_the_null_grid_changes_what_it_says(tmp_path):
    path = "endpoints.symptoms.control_course.change"
    result = run(examples.scenario(null_grid={path: [-5.0, -15.0]}), n_replicates=256, out=tmp_path, n_jobs=1)
    labels = list(result.cells.values())
    assert labels == ["as declared", "no effect", f"no effect, {path} = -5.0", f"no effect, {path} = -15.0"]


def test_the_digest_covers_what_changes_a_number_and_nothing_else():
    base = examples.scenario()
    assert base.digest({}) == examples.scenario(name="other", question="?", n_replicates=9, sources={"seed": "a die"}, target_power=0.9).digest({})
    changed = [examples.scenario(seed=8), examples.scenario(eligibility=[{"variable": "crp", "at_least": 2.5}])]
    changed.append(examples.scenario(analyses={"severity": {"kind": "t_test", "endpoint": "symptoms"}}))
    assert len({scenario.digest({}) for scenario in [base, *changed]}) == 4
    assert base.digest({"data": "1"}) != base.digest({"data": "2"})


def test_memory_does_not_grow_with_replicates(tmp_path):
    code = f"""
import sys, resource
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parent.parent)!r}]
from simtrials.engine.run import run
from test_engine import fast
run(fast(), n_replicates=int(sys.argv[1]), out={str(tmp_path)!r} + sys.argv[1], n_jobs=1, null=False).measures()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    few, many = (
        int(subprocess.run([sys.executable, "-c", code, str(n)], capture_output=True, text=True, check=True).stdout) for n in (20_000, 400_000)
    )
    stored_in_memory = 400_000 * 2 * 8 * 8 // 1024
    assert many - few < stored_in_memory / 3


def test_the_record_says_how_the_run_was_made(whole):
    record = json.loads((whole.folder / "run.json").read_text())
    assert record["versions"]["simtrials"]
    assert record["seed"] == 7
    assert record["n_replicates"] in (1000, 2048)
    assert record["scenario"]["name"] == "small"


@pytest.mark.parametrize(
    ("asked", "message"), [({"n_replicates": 1}, "at least 2"), ({"mcse": 0.9}, "between 0 and 0.5"), ({"n_jobs": 0}, "at least 1")]
)
def test_numbers_that_cannot_be_are_refused(tmp_path, asked, message):
    with pytest.raises(SimtrialsError, match=message):
        run(fast(), out=tmp_path, **asked)


def test_a_block_of_the_run_can_be_replayed(whole):
    simulation = ready(examples.scenario(), examples.tables())
    again = simulation.columns(3)
    stored = columns_of(whole)
    for name, values in again.items():
        np.testing.assert_array_equal(values, stored[name][3 * 256 : 4 * 256])


@pytest.mark.parametrize("part", ["covariates", "shares", "departures"])
def test_the_order_of_named_items_is_part_of_the_digest(part):
    """It decides which column a row of a correlation matrix is, and what happens first."""

    def reversed_items(table):
        return dict(reversed(table.items()))

    people = examples.PEOPLE
    sex = people["covariates"]["sex"]
    departures = {"rescue": {"kind": "rescue", "rate": 0.2}, "lost": {"kind": "dropout", "rate": 0.2}}
    changes = {
        "covariates": {"population": people | {"covariates": reversed_items(people["covariates"])}},
        "shares": {"population": people | {"covariates": people["covariates"] | {"sex": sex | {"shares": reversed_items(sex["shares"])}}}},
        "departures": {"departures": reversed_items(departures)},
    }
    base = {"departures": departures} if part == "departures" else {}
    assert examples.scenario(**base).digest({}) != examples.scenario(**(base | changes[part])).digest({})


def test_the_code_of_a_plugin_is_part_of_the_digest(tmp_path, monkeypatch):
    code = """
from typing import Literal
from simtrials.inference.analyses import ANALYSES
from simtrials.inference.analyses.t_test import TTest

@ANALYSES.register
class Mine(TTest):
    kind: Literal["mine_for_digest"] = "mine_for_digest"
"""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plugin_for_digest.py").write_text(code)
    importlib.import_module("plugin_for_digest")
    scenario = examples.scenario(analyses={"mine": {"kind": "mine_for_digest", "endpoint": "symptoms"}})
    before = scenario.digest({})
    assert scenario.digest({}) == before
    (tmp_path / "plugin_for_digest.py").write_text(code + "\n# another version\n")
    assert scenario.digest({}) != before
