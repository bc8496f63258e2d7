"""The command line as a user meets it: one process per call."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from command_line import call

from simtrials.cli.progress import Bar
from simtrials.core.errors import Stopped
from simtrials.engine.files import find_scenario


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished run of the textbook t test."""
    folder = tmp_path_factory.mktemp("user")
    done = call("run", "textbook_t", "--replicates", 2000, "--jobs", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_run_ends_with_the_table_and_the_report(place):
    folder, done = place
    results = next((folder / "results").iterdir())
    report = results / "report.html"
    assert report.is_file()
    assert f"results/{results.name}/report.html" in done.stdout.replace("\\", "/")
    assert "2,000 simulated trials" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "2,000 of 2,000 trials" in done.stderr
    assert "\x1b[" not in done.stdout + done.stderr


def test_show_prints_the_table_again_with_its_provenance(place):
    folder, _ = place
    results = next((folder / "results").iterdir())
    shown = call("show", results, cwd=folder)
    assert shown.returncode == 0
    assert "digest" in shown.stdout
    assert "seed 1" in shown.stdout
    assert call("show", results, "--json", cwd=folder).stdout.startswith("{")


def test_json_holds_value_and_error_of_every_measure(place):
    folder, _ = place
    found = json.loads(call("run", "textbook_t", "--replicates", 2000, "--jobs", 1, "--json", "--quiet", cwd=folder).stdout)
    power = next(row for row in found["measures"] if row["measure"] == "power" and row["cell"] == "as declared")
    assert abs(power["value"] - 0.8015) < 4 * power["mcse"]
    first = ["scenario", "cell", "estimand", "endpoint", "analysis", "look", "measure", "value", "mcse", "n_replicates", "n_failed"]
    assert list(power)[: len(first)] == first


def test_report_is_written_again(place):
    folder, _ = place
    results = next((folder / "results").iterdir())
    (results / "report.html").unlink()
    assert call("report", results, cwd=folder).returncode == 0
    assert (results / "report.html").is_file()


def test_quiet_prints_nothing_on_stderr(place):
    folder, _ = place
    assert call("run", "textbook_t", "--replicates", 2000, "--jobs", 1, "--quiet", cwd=folder).stderr == ""


def test_mcse_says_how_it_stopped(tmp_path):
    for most, words in ((4096, "the most allowed"), (100_000, "has a Monte Carlo standard error of at most 0.01")):
        done = call("run", "textbook_t", "--mcse", 0.01 if most > 5000 else 0.001, "--replicates", most, "--no-null", "--no-report", cwd=tmp_path)
        assert words in " ".join(done.stdout.split())


def test_the_next_command_means_the_same_scenario(tmp_path):
    done = call("run", "textbook_t", "--set", "design.n_patients=40", "--replicates", 2000, "--no-null", cwd=tmp_path)
    assert "textbook_t --set design.n_patients=40 --" in " ".join(done.stdout.split())


def test_check_says_how_long_a_run_takes_and_finds_the_faults_of_a_run(tmp_path):
    assert "2,000 simulated trials need about" in call("check", "textbook_t", "--set", "n_replicates=2000", cwd=tmp_path).stdout
    done = call("check", "next_trial", "--set", "null_grid={'endpoints.madrs.nosuch'=[1.0]}", cwd=tmp_path)
    assert done.returncode == 2
    assert "nosuch: is not known here" in done.stderr


def test_a_plugin_is_named_as_a_module(tmp_path):
    (tmp_path / "mine.py").write_text("raise RuntimeError('its own fault')\n")
    for name, words in (("./mine.py", "write mine, without folder and .py"), ("mine", "its code failed with RuntimeError: its own fault")):
        done = call("--plugin", name, "kinds", cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_kinds_tells_ranges_words_tables_and_scales(tmp_path):
    endpoints = " ".join(call("kinds", "endpoints", cwd=tmp_path).stdout.split())
    for words in (
        "mean, points; required",
        "0 to 1, the ends excluded",
        "down or up; default down",
        "greater than 0; required",
        "a kind of correlations",
    ):
        assert words in endpoints
    scales = call("kinds", "scales", cwd=tmp_path).stdout
    assert "MADRS      0 to 60 points, improves down, severity, remission 10 or less" in scales
    assert "Kroenke et al. 2001" in scales


def test_a_wrong_file_exits_with_2_and_no_traceback(tmp_path):
    text = find_scenario("next_trial").read_text(encoding="utf-8").replace('kind = "logistic"', 'kind = "logstic"')
    (tmp_path / "my_trial.toml").write_text(text, encoding="utf-8")
    for command in ("run", "check"):
        done = call(command, "my_trial.toml", cwd=tmp_path)
        assert done.returncode == 2
        assert "my_trial.toml has 1 problem\n" in done.stderr
        assert "did you mean 'logistic'?" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nowhere.toml"], "no file nowhere.toml"),
        (["run", "textbook_t", "--backend", "lokey"], "no backend called 'lokey'; did you mean 'loky'?"),
        (["run", "textbook_t", "--set", "design.n_patients"], "--set needs PATH=VALUE"),
        (["run", "textbook_t", "--set", "design.n_patient=30"], "did you mean 'n_patients'?"),
        (["run", "textbook_t", "--replicates", "1"], "at least 2"),
        (["show", "results/none"], "holds no finished run"),
        (["kinds", "endpont"], "did you mean 'endpoints'?"),
        (["new", "x", "--template", "enrich"], "no template called 'enrich'"),
        (["new", "a/b"], "a name has letters"),
        (["patients", "textbook_t", "--out", "x.xlsx"], "must end in .csv, .parquet or .xpt"),
        (["patients", "textbook_t", "--trial", "0"], "counted from 1"),
        (["--plugin", "no_such_module", "kinds"], "no_such_module"),
        (["rn"], "No such command"),
        (["run"], "Missing argument"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_to_do(tmp_path, words, message):
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["run", "show", "report", "check", "new", "kinds", "schema", "patients", "population", "analyze", "course", "meta", "quick"]
)
def test_every_command_has_help_with_an_example(tmp_path, command):
    done = call(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"Example:  simtrials {command}" in done.stdout
    assert "See also" in done.stdout


def test_simtrials_alone_lists_commands_by_question(tmp_path):
    done = call(cwd=tmp_path)
    assert done.returncode == 0
    for question in ("Plan", "Run", "Read", "Review", "Learn"):
        assert question in done.stdout


def test_new_check_and_set(tmp_path):
    assert call("new", "my_trial", cwd=tmp_path).returncode == 0
    again = call("new", "my_trial", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    checked = call("check", "my_trial.toml", "--set", "eligibility.0.at_least=3.0", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "CRP" in checked.stdout or "crp" in checked.stdout
    assert max(len(line) for line in checked.stdout.splitlines()) <= 80


def test_kinds_and_schema(tmp_path):
    listed = call("kinds", cwd=tmp_path).stdout
    for kind in ("gaussian_copula", "stratified_blocks", "responder_mixture", "ancova"):
        assert kind in listed
    assert "odds ratio where the shape is 1" in call("kinds", "effects", cwd=tmp_path).stdout
    assert json.loads(call("schema", cwd=tmp_path).stdout)["$schema"]


def test_patients_are_those_of_the_run(tmp_path):
    done = call("patients", "next_trial", "--trial", 7, "--out", "trial.csv", "--hidden", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    subjects = pd.read_csv(tmp_path / "trial_adsl.csv")
    assert len(subjects) == 200
    assert subjects["crp"].between(2.0, 10.0).all()
    assert {"USUBJID", "TRT01P", "SEX", "EOSSTT", "crp_usual"} <= set(subjects.columns)
    assert call("patients", "next_trial", "--trial", 7, "--out", "trial.parquet", cwd=tmp_path).returncode == 0
    again = pd.read_parquet(tmp_path / "trial_adsl.parquet").astype({"SUBJID": int})
    pd.testing.assert_frame_equal(again, subjects.drop(columns=["crp_usual", "crp_mg_l"]), check_dtype=False)


PLUGIN = '''
from typing import Literal

import numpy as np

from simtrials.trial.effects import EFFECTS, Effect


@EFFECTS.register
class Half(Effect):
    """Half of the benefit for everybody."""

    kind: Literal["half"] = "half"

    @property
    def needs_biomarker(self):
        return True

    def shape(self, biomarker, luck):
        return np.full_like(biomarker, 0.5)
'''


def test_a_users_own_kind_works_in_a_file(tmp_path):
    (tmp_path / "my_kinds.py").write_text(PLUGIN, encoding="utf-8")
    text = find_scenario("next_trial").read_text(encoding="utf-8").replace('kind = "threshold", cut = 2.0,', 'kind = "half",')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert "half" in call("--plugin", "my_kinds", "kinds", "effects", cwd=tmp_path).stdout
    done = call("--plugin", "my_kinds", "run", "mine.toml", "--replicates", 300, "--no-null", "--no-report", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    without = call("run", "mine.toml", cwd=tmp_path)
    assert without.returncode == 2
    assert "no effect called 'half'" in without.stderr


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    import signal
    import time

    def as_from_a_terminal() -> None:
        """A shell that starts its jobs in the background tells them to ignore Ctrl-C, and they would pass that on."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [sys.executable, "-m", "simtrials", "run", "next_trial", "--replicates", "2000000", "--jobs", "1", "--no-null"]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, text=True, preexec_fn=as_from_a_terminal, **pipes) as process:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not list(tmp_path.rglob("*.parquet")) and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "run the same command to continue" in errors
    assert "Traceback" not in errors


def test_ctrl_c_lost_in_a_callback_is_raised_at_the_next_block():
    import signal

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with Bar(quiet=True) as bar:
        bar("as declared", 256, 512)
        with contextlib.suppress(KeyboardInterrupt):  # as Python does with what a finaliser raises
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            bar("as declared", 512, 512)
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_ctrl_c_under_a_bar_ends_with_a_sentence_and_other_errors_stay_as_they_are():
    with pytest.raises(Stopped, match="run the same command to continue"), Bar(quiet=True):
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="another"), Bar(quiet=True):
        raise ValueError("another")


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "results").write_text("a file in the way", encoding="utf-8")
    done = call("run", "textbook_t", "--replicates", 300, "--jobs", 1, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert Path("results").name in done.stderr
