"""Faces of sensitivity: figures are tidy, the terminal keeps within 80 columns, sentences claim what is clear."""

from dataclasses import replace

import numpy as np
import pytest
from contracts.test_planning import NORMAL, trial
from double.test_sobol import simulated
from faces.figure_check import untidy
from faces.test_planning_faces import MANY

from simtrials.core.errors import SimtrialsError
from simtrials.planning.sensitivity import Apportioned, Difference, GlobalSensitivity, sensitivity
from simtrials.report.figures import drawn
from simtrials.report.planning.sensitivity import fields_in_words, overall_sentence, signed, span, tornado_sentence
from simtrials.report.planning.tornado import tornado_drawing
from simtrials.stats.sobol import SETS, share_indices, sobol_design

EFFECT, SD = "endpoints.score.effects.active.points", "endpoints.score.sd"
MORE = {
    SD: (0.8, 1.2),
    "design.n_patients": (40, 60, 80, 100, 120, 140),
    "design.allocation": ({"kind": "complete"}, {"kind": "blocks", "block_size": 8}),
    "endpoints.score.mean": (-1000.123456, 1000.123456),
}


def with_shares(found, paths):
    """The same with indices of a known function of three fields, and of nothing but noise for the last analysis."""
    rng = np.random.default_rng(6)
    shown = np.stack([simulated(sobol_design(3, 32, rng), 64, rng) for _ in range(SETS)])
    noise = rng.random(shown.shape) < 0.5
    of = dict.fromkeys(found.analyses, Apportioned(share_indices(shown), shown[:, :2].mean(axis=-1).ravel()))
    last = Apportioned(share_indices(noise), noise[:, :2].mean(axis=-1).ravel())
    return replace(found, overall=GlobalSensitivity(paths, 128, 64, of | {list(of)[-1]: last}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Few fields and many, with and without shares of variance, a field that hardly matters alone, and power near 100%."""
    out = tmp_path_factory.mktemp("examined")
    settings = {"n_replicates": 256, "n_jobs": 1, "out": out}
    return {
        "one": sensitivity(trial(), {SD: (0.99, 1.01)}, analyses=["t_test"], **settings),
        "two": sensitivity(trial(), {SD: (0.8, 1.2), EFFECT: (0.1, 1.5)}, analyses=["t_test"], **settings),
        "many": with_shares(sensitivity(trial(analyses=MANY, priors=NORMAL), MORE, **settings), (EFFECT, SD, "endpoints.score.mean")),
        "sure": sensitivity(trial(), {EFFECT: (5.0, 6.0), SD: (0.1, 0.2)}, analyses=["t_test"], **settings),
        "nothing": sensitivity(trial(endpoints={"score": {"kind": "continuous"}}), {SD: (0.9, 1.1)}, analyses=["t_test"], **settings),
    }


NAMES = ["one", "two", "many", "sure", "nothing"]


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_tidy_and_have_their_numbers(made, name):
    drawing = tornado_drawing(made[name])
    assert untidy(drawn(drawing)) == []
    head, *rows = drawing.table()
    assert all(len(row) == len(head) for row in rows)
    assert len(rows) == sum(len(one.values) for one in made[name].assumptions)
    assert drawing.sentence.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_the_terminal_keeps_within_80_columns(made, name):
    text = made[name].summary()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "95%" in text


def test_the_figure_of_another_analysis_can_be_asked_for(made):
    assert "number 2" in tornado_drawing(made["many"], "other_2").title
    with pytest.raises(SimtrialsError, match="did you mean 't_test'"):
        made["two"].plot(analysis="t_tset")


def test_sentences_name_what_moves_power_and_what_is_not_seen_to(made):
    found = made["two"]
    (first, second) = found.analyses["t_test"].swings
    assert tornado_sentence(found, "t_test").startswith("Power in score, t test (t_test) moves most with effect of active on score (points), from ")
    assert first.assumption.path == EFFECT
    assert f"at {second.at[1].value:g} to" in tornado_sentence(found, "t_test")
    assert "no field is seen to move it: SD of score (points)." in tornado_sentence(made["nothing"], "t_test")
    assert tornado_sentence(made["sure"], "t_test").count("most") <= 1
    many = made["many"]
    words = overall_sentence(many, many.overall, "t_test")
    assert words.startswith("All at once, power in ")
    assert "in 90 of 100 cases. Of its variance, alone or with others, these account for: effect of active on score (points) " in words
    assert words.endswith("Most of it comes from effect of active on score (points).")
    assert overall_sentence(many, many.overall, list(many.analyses)[-1]).endswith("its variance is not apportioned.")
    assert many.overall.paths == (EFFECT, SD, "endpoints.score.mean")
    assert "Without patients and allocation, which have alternatives" in " ".join(many.summary().split())


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ([EFFECT, SD], ["score active points", "score sd"]),
        (["endpoints.a.effects.active.mean_smd", "endpoints.b.effects.active.mean_smd"], ["a active mean smd", "b active mean smd"]),
        (["design.n_patients", "departures.stopped.rate", "assays.crp.resolution"], ["patients", "stopped rate", "crp resolution"]),
        (["eligibility.0.at_least", "eligibility.1.at_least"], ["eligibility.0.at_least", "eligibility.1.at_least"]),
    ],
)
def test_fields_are_named_so_that_none_reads_like_another(paths, words):
    assert list(fields_in_words(paths).values()) == words


@pytest.mark.parametrize(
    ("value", "se", "words"), [(0.5, 0.01, "46 to 54"), (0.0, 0.001, "below 1"), (0.95, 0.1, "63 to 100"), (-0.02, 0.01, "0 to 2")]
)
def test_spans_of_variance_are_whole_percent_within_0_and_100(value, se, words):
    assert span(value, se) == words


@pytest.mark.parametrize(
    ("value", "mcse", "words"),
    [(-0.301, 0.0046, "−30.1 ± 0.9"), (0.062, 0.02, "+6 ± 4"), (0.0, 0.0, "same"), (0.0001, 0.0001, "0.0 ± 0.1"), (0.0, 0.004, "0.0 ± 0.8")],
)
def test_differences_have_their_sign_and_their_error(value, mcse, words):
    assert signed(Difference(value, mcse)) == words
