"""Mistakes in the words of the planning commands: what is wrong and what to write instead, before anything is simulated."""

import tomllib

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from simtrials.cli import main  # noqa: F401
from simtrials.cli.app import FIRST_WORDS, ORDER, app
from simtrials.cli.options import the_analysis, writable
from simtrials.cli.plan import fields_of
from simtrials.core.errors import SimtrialsError
from simtrials.engine.files import read
from simtrials.engine.workers import Workers
from simtrials.planning.draws import prior_example
from simtrials.planning.effect_size import size_field
from simtrials.planning.points import Points


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["design.n_patients=100..300"], "each value, with commas"),
        (["design.n_patients=100:300:50"], "each value, with commas"),
        (["design.n_patients=100-300"], "each value, with commas"),
        (["design.n_patients=100,200", "design.n_patients=300"], "names design.n_patients twice"),
        (["design.n_patients"], "needs PATH=VALUES"),
    ],
)
def test_values_that_cannot_be_read_are_told_with_the_remedy(words, message):
    with pytest.raises(SimtrialsError, match=message):
        fields_of(words)


def test_negative_numbers_and_words_are_values_and_no_ranges():
    assert fields_of(["a.b=-1,-2.5", "c=complete,simple", "d=2.5"]) == {"a.b": [-1, -2.5], "c": ["complete", "simple"], "d": [2.5]}


def test_the_first_words_fit_the_terminal_and_name_commands_that_exist():
    named = {line.split("simtrials ")[1].split()[0] for line in FIRST_WORDS.splitlines()[2:] if "simtrials " in line}
    assert max(map(len, FIRST_WORDS.splitlines())) <= 80
    assert named - {"--help"} <= set(ORDER)


def test_every_command_has_its_place_and_its_whole_sentence_in_the_help():
    done = CliRunner().invoke(app, ["--help"])
    assert "..." not in done.output.partition("Commands:")[2]
    assert set(ORDER) == set(get_command(app).list_commands(None))


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_simulated(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SimtrialsError, match=r"--out: results cannot be written to .*taken"):
        writable(str(tmp_path / "taken"))
    with pytest.raises(SimtrialsError, match="is a file"):
        writable(str(tmp_path / "taken" / "below"))
    assert writable(str(tmp_path / "new" / "folder"))
    assert not (tmp_path / "new").exists()


def test_the_only_analysis_is_meant_where_none_is_named():
    assert the_analysis(read("textbook_t"), None) == "t_test"
    with pytest.raises(SimtrialsError, match="--analysis; the scenario has severity"):
        the_analysis(read("next_trial"), None)


def test_an_effect_on_another_endpoint_is_refused_unless_it_can_change_the_result():
    path = "endpoints.shaps.effects.active.mean_smd"
    with pytest.raises(SimtrialsError, match="severity is about madrs"):
        size_field(read("next_trial"), "severity", path)
    leaving = read("next_trial", {"departures.stopped.log_odds_per_point": 0.1})
    assert size_field(leaving, "severity", path).path == path


def test_a_prior_is_suggested_that_the_scenario_can_have():
    scenario = read("next_trial")
    path, _, prior = prior_example(scenario).partition(" = ")
    assert read("next_trial", {"priors": {path.strip('"'): tomllib.loads(f"x = {prior}")["x"]}}).priors


def test_progress_names_tables_by_their_kind_and_numbers_with_few_digits(tmp_path):
    points = Points.of(read("next_trial"), tmp_path, Workers(1, "auto", None, None))
    effect = {"kind": "emax", "half_at": 3.0, "smd": 0.5, "smd_sd": "change", "at_week": 8, "time_constant": 4.0}
    made = points.at({"endpoints.madrs.effects.active": effect, "departures.stopped.rate": 0.1234567891234})
    assert made.label == "active emax, rate 0.123457"
