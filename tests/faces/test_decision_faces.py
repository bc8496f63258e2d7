"""Faces of assurance, decisions and pilots: sentences filled in from results, figures tidy, the terminal within 80 columns."""

from dataclasses import replace

import numpy as np
import pytest
from contracts.test_decisions import DECLARED, POINTS, RULE
from contracts.test_planning import TRIAL, trial
from faces.figure_check import untidy

from simtrials.engine.decision import Decision, Pilot
from simtrials.planning.assurance import Assurance, Averaged
from simtrials.planning.decisions import decisions
from simtrials.planning.pilot import pilot_value
from simtrials.planning.points import Share
from simtrials.report.figures import drawn
from simtrials.report.planning.decisions import decisions_drawing, decisions_sentence, rule_in_words
from simtrials.report.planning.figures import assurance_drawing
from simtrials.report.planning.pilot import pilot_drawing, pilot_sentence, spared_sentence
from simtrials.report.planning.text import assurance_sentence, ceiling_sentence, mean_per_hundred, with_interval

LONG = {
    "t_test": TRIAL["analyses"]["t_test"] | {"label": "a test with a name that is far too long for any column"},
    "loose": TRIAL["analyses"]["loose"],
}
ALL_HARM = {"priors": {POINTS: {"kind": "normal", "mean": -3.0, "sd": 0.1}}}
ALL_WORK = {"priors": {POINTS: {"kind": "normal", "mean": 3.0, "sd": 0.1}}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Decisions and pilots: as usual with a long name, of a drug that always harms, of one that always works."""
    how = {"n_draws": 20, "n_jobs": 1, "out": tmp_path_factory.mktemp("faces")}
    found = {}
    for name, changes in {"usual": {"analyses": LONG}, "harm": ALL_HARM, "works": ALL_WORK}.items():
        scenario = trial(**(DECLARED | changes))
        found[f"decisions, {name}"] = decisions(scenario, **how)
        found[f"pilot, {name}"] = pilot_value(scenario, **how)
    found["pilot, go"] = pilot_value(trial(**DECLARED), pilot=Pilot(n_patients=8, proceed="go", decision=Decision(**RULE)), **how)
    return found


NAMES = [f"{what}, {name}" for what in ("decisions", "pilot") for name in ("usual", "harm", "works")] + ["pilot, go"]


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_tidy_and_have_their_numbers(made, name):
    drawing = (decisions_drawing if name.startswith("decisions") else pilot_drawing)(made[name])
    assert untidy(drawn(drawing)) == []
    head, *rows = drawing.table()
    assert rows
    assert all(len(row) == len(head) for row in rows)
    assert drawing.sentence.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_the_terminal_keeps_within_80_columns_and_says_no_nan(made, name):
    text = made[name].summary()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "±: 95% Monte Carlo interval" in " ".join(text.split())
    assert "nan" not in text.lower()


def test_a_bar_of_programs_adds_up_to_100(made):
    for name in NAMES:
        if name.startswith("pilot"):
            for _, parts in pilot_drawing(made[name]).rows:
                assert sum(parts) == pytest.approx(100.0)


def test_the_sentence_of_decisions_has_both_wrong_ones(made):
    words = decisions_sentence(made["decisions, usual"])
    assert words.startswith("Averaged over what the priors leave open, ")
    assert "where the true effect is at most 0.1 points, " in words
    assert "where the true effect is at least 0.5 points, " in words
    assert "at least 0.5" not in decisions_sentence(made["decisions, harm"])
    assert rule_in_words(made["decisions, usual"]) == (
        "Go: lower one-sided 80% confidence limit above 0.1 and upper 90% limit above 0.5 points. Stop: that upper limit at most 0.5. "
        "Consider: neither."
    )


def test_the_sentences_of_a_pilot_say_whom_it_stops(made):
    assert "with a pilot of 20 patients first" in pilot_sentence(made["pilot, usual"])
    assert "of these trials the pilot spares" in spared_sentence(made["pilot, usual"])
    assert "No draw has a drug that does nothing or harms" in spared_sentence(made["pilot, works"])
    assert "No draw has a drug that works." in spared_sentence(made["pilot, harm"])


def averaged(harmful, value=0.58, mcse=0.002, sources=None, target=0.9):
    scenario = trial(**DECLARED, target_power=target, sources=sources or {})
    draws = {POINTS: np.where(np.arange(100) < harmful, -0.1, 0.5)}
    found = {"t_test": Averaged(np.full(100, value), Share(8400, 10_000), mcse)}
    return Assurance(scenario, scenario.priors, draws, found, 256)


def test_the_sentence_of_assurance():
    assert assurance_sentence(averaged(12), "t_test") == (
        "Averaged over what the priors leave open, 58 of 100 such trials show a benefit in score, t test (t_test); taking the declared values as "
        "certain suggests 84."
    )
    review = averaged(12, mcse=0.02, sources={"priors": "meta-analysis of trials.csv"})
    assert assurance_sentence(review, "t_test").startswith("Averaged over what the review leaves open, 54 to 62 of 100 such trials")


def test_the_sentence_of_the_ceiling():
    assert ceiling_sentence(averaged(12)) == (
        "No number of patients reaches 90%: in 12 of 100 cases this prior has the drug doing nothing or harm; the limit is 88."
    )
    assert ceiling_sentence(averaged(12, target=0.8)) == ""
    assert "with very many patients the average would be 88" in " ".join(averaged(12, target=0.8).summary().split())
    assert ceiling_sentence(averaged(0)) == ""


def test_the_mass_where_the_drug_does_nothing_is_marked():
    drawing = assurance_drawing(averaged(12))
    assert sum(drawing.harmful) == 12
    figure = drawn(drawing)
    assert untidy(figure) == []
    words = [text.get_text() for text in figure.texts]
    assert "nothing or harm 12" in words
    assert not [word for word in (text.get_text() for text in drawn(assurance_drawing(averaged(0))).texts) if "harm" in word]


@pytest.mark.parametrize(("value", "mcse", "words"), [(0.5, 0.004, "50"), (0.5, 0.02, "46 to 54"), (0.999, 0.01, "98 to 100"), (0.0, 0.001, "0")])
def test_averages_of_100(value, mcse, words):
    assert mean_per_hundred(value, mcse) == words


@pytest.mark.parametrize(
    ("value", "mcse", "words"), [(143.21, 0.2, "143.2 ± 0.4"), (40.0, 0.0, "40"), (np.nan, np.nan, "—"), (-3.04, 0.001, "−3.0 ± 0.1")]
)
def test_means_carry_their_interval(value, mcse, words):
    assert with_interval(value, mcse, 1) == words


def test_pilots_that_fail_are_counted_and_many_of_them_come_first(made):
    usual = made["pilot, usual"]
    of = usual.n_draws * usual.n_replicates
    assert f"Could not be analyzed: 0 of {of:,} pilots" in " ".join(usual.summary().split())
    assert "Caution" not in usual.summary()
    few, many = (replace(usual, n_failed_pilots=round(share * of)).summary().splitlines()[1] for share in (0.04, 0.06))
    assert not few.startswith("Caution")
    assert many.startswith("Caution: 6.0")
