"""Faces of bodies of evidence: terminal, figures, report."""

import re

import examples
import numpy as np
import pytest
from faces.figure_check import untidy
from matplotlib.text import Text

from simtrials.core.errors import SimtrialsError
from simtrials.engine.run import run
from simtrials.report import look
from simtrials.report.evidence.figures import draw, drawings
from simtrials.report.evidence.sentences import answer, null_pattern_sentence, pattern_sentences, selection_sentence, settling_sentences
from simtrials.report.evidence.tables import explanations_table, sweep_table
from simtrials.report.figures import drawn
from simtrials.report.numbers import share, share_detail

MANY = {
    "severity": {"kind": "pooled", "outcome": "severity"},
    "severity_wald": {"kind": "pooled", "outcome": "severity", "ci": "wald"},
    "corrected": {
        "kind": "step_selection",
        "outcome": "severity",
        "label": "a selection model with a name far too long for a line",
    },
    "pcurve": {"kind": "p_curve", "outcome": "severity"},
    "early": {"kind": "pooled", "outcome": "severity", "where": "weeks < 8"},
    "response": {"kind": "pooled", "outcome": "response", "ci": "wald"},
    "counts": {"kind": "counts", "outcome": "response"},
}
MORE = [{"n_active": 200, "n_control": 200, "weeks": 8.0, "crp_rule": "enriched", "copies": 4}]
NOTHING = {"endpoints.symptoms.effects.active.smd": 0.0}


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    """With variants, a sweep, a pattern and selection."""
    scenario = examples.evidence(
        question="What does a review of six trials see?",
        syntheses=MANY,
        primary=["severity", "response"],
        patterns={"pattern": {"shows": ["severity"], "does_not_show": ["response"], "label": "severity shown, response not"}},
        reporting={"publication": [{"kind": "by_p_value", "not_significant": 0.5}]},
        variants={
            "more": {"label": "with four more trials of 400 patients", "answers": True, "set": {"studies.further": MORE}},
            "nothing": {"label": "selection alone", "set": NOTHING},
        },
        sweep={"true_effects.tau.symptoms": [0.0, 0.2, 0.4]},
        sources={"studies": "invented for a test"},
    )
    return run(scenario, n_jobs=1, out=tmp_path_factory.mktemp("reviewed"), command="simtrials run small_review.toml")


@pytest.fixture(scope="module")
def plain_review(tmp_path_factory):
    """One synthesis, summaries, studies that are drawn, no null."""
    studies = {"kind": "drawn", "number": {"lowest": 2, "highest": 5}, "n_per_arm": {"kind": "fixed", "n": 12}, "weeks": [8.0]}
    scenario = examples.evidence(fidelity={"kind": "summaries"}, studies=studies, syntheses={"severity": MANY["severity"]}, name="plain")
    return run(scenario, n_jobs=1, null=False, out=tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", ["reviewed", "plain_review"])
def test_every_figure_is_tidy(request, name):
    found = request.getfixturevalue(name)
    for figure, drawing in drawings(found).items():
        assert untidy(drawn(drawing)) == [], figure


def test_every_figure_has_title_gray_line_sentence_and_numbers(reviewed):
    for name, drawing in drawings(reviewed).items():
        made = drawn(drawing)
        title, note, *_ = made.texts
        assert (title.get_weight(), title.get_fontsize()) == ("bold", look.TITLE_PT), name
        assert (note.get_color(), note.get_fontsize()) == (look.SECONDARY, look.NOTE_PT), name
        assert drawing.sentence.endswith("."), name
        head, *rows = drawing.table()
        assert rows
        assert all(len(row) == len(head) for row in rows), name
        for text in made.findobj(Text):
            if text.get_text().strip():
                assert text.get_fontsize() >= look.SMALLEST_PT, (name, text)
                assert text.get_color() in (look.INK, look.SECONDARY), (name, text)


def test_figures_are_named_and_others_refused(reviewed, plain_review, tmp_path):
    assert {"power", "zip-severity", "methods-severity", "forest-severity", "funnel-severity"} <= set(drawings(reviewed))
    assert "methods-severity" not in drawings(plain_review)
    draw(reviewed, "zip-severity", tmp_path / "zip.svg")
    assert (tmp_path / "zip.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(SimtrialsError, match="did you mean 'zip'"):
        draw(reviewed, "zipp")
    with pytest.raises(SimtrialsError, match="does not apply"):
        draw(plain_review, "methods")


def test_unpublished_studies_are_hollow_in_the_funnel(reviewed):
    funnel = drawings(reviewed)["funnel-severity"]
    assert funnel.published is not None
    assert (~funnel.published).sum() > 0
    assert funnel.published.sum() == 6


def test_sentences_carry_the_numbers_of_the_run(reviewed):
    power = {name: round(100 * reviewed.measure(name, "power").value) for name in ("severity", "response")}
    told = " ".join(answer(reviewed))
    assert told.startswith("If the drug works as assumed (on average SMD ")
    assert "reviews of 6 trials with 298 patients show a benefit in severity in" in told
    low, high = (int(number) for number in re.search(r"severity in (\d+) to (\d+) of 100", told).groups())
    assert low <= power["severity"] <= high
    assert "If it does nothing," in told
    pattern = pattern_sentences(reviewed)[0]
    assert pattern.startswith("In ")
    assert "severity shown, response not" in pattern
    assert "of 100 if the drug does nothing, in" in null_pattern_sentence(reviewed)
    assert "if it does nothing and trials are selected by their results" in null_pattern_sentence(reviewed)
    assert "four more trials of 400 patients" in " ".join(settling_sentences(reviewed))
    runs = {measure.name: measure.value for measure in reviewed.counts()}
    assert f"{runs['studies_run']:.1f}" in selection_sentence(reviewed) or f"{runs['studies_run']:.0f}" in selection_sentence(reviewed)


def test_other_explanations_of_the_pattern_stand_beside_it(reviewed):
    explained = explanations_table(reviewed)
    assert [row[0] for row in explained.rows] == ["the drug works as assumed", "the drug does nothing", "selection alone"]
    benefit = reviewed.estimates().pivot(index="replicate", columns="analysis")["benefit"].astype(bool)
    both = benefit["severity"] & ~benefit["response"]
    assert explained.rows[0][3] == share(int(both.sum()), int(benefit["severity"].sum()))


def test_every_setting_of_a_sweep_is_in_the_table_with_power_bias_and_coverage(reviewed):
    table = sweep_table(reviewed)
    assert len(table.rows) == 3 * len(MANY)
    assert table.rows[0][0] == "tau.symptoms = 0.0"
    power = reviewed.measure("severity", "power", reviewed.sweep_cells()[0])
    assert table.rows[0][3] == share_detail(round(power.value * power.n_replicates), power.n_replicates)


def test_what_was_not_run_is_said(plain_review):
    assert "was not run" in " ".join(answer(plain_review))
    assert settling_sentences(plain_review) == []
    assert null_pattern_sentence(plain_review) == ""
    assert selection_sentence(plain_review) == ""


@pytest.mark.parametrize("name", ["reviewed", "plain_review"])
def test_the_terminal_block_keeps_within_80_columns_and_prints_failures(request, name):
    found = request.getfixturevalue(name)
    block = found.summary()
    assert max(len(line) for line in block.splitlines() if "report" not in line and "next" not in line) <= 80
    assert "failed" in block
    assert repr(found) == block


def test_the_report_stands_alone_and_begins_with_the_answer(reviewed):
    text = reviewed.report().read_text(encoding="utf-8")
    assert "<h1>What does a review of six trials see?</h1>" in text
    assert "invented for a test" in text
    first = text[: text.index("<nav")]
    for sentence in (*answer(reviewed), *settling_sentences(reviewed)):
        assert sentence.replace("'", "&#39;") in first
    assert "severity shown, response not" in first
    for part in ("What would settle the question", "Other settings and other explanations", "Without any effect", "Simulation study", "Run it again"):
        assert part in text
    assert not re.search(r'src="(?!data:)', text)
    assert not re.search(r"\bnan\b", re.sub(r"data:image[^\"]*", "", text), re.IGNORECASE)


def test_a_report_without_variants_null_and_list_is_made_too(plain_review):
    text = plain_review.report().read_text(encoding="utf-8")
    assert "The same without any effect was not run." in text
    assert "What would settle the question" not in text


def test_measures_are_tidy_and_every_number_has_its_error(reviewed):
    frame = reviewed.measures()
    assert list(frame.columns[:8]) == ["scenario", "cell", "estimand", "endpoint", "analysis", "look", "measure", "value"]
    known = frame[np.isfinite(frame["value"])]
    assert np.isfinite(known["mcse"]).all()
    assert {"tau2", "tau2_error", "prediction_coverage", "n_studies"} <= set(frame["measure"])
    assert frame[~np.isfinite(frame["value"])]["note"].str.len().gt(0).all()


def test_words_of_bodies_of_evidence_are_the_five_parts(plain_review):
    words = plain_review.words()
    assert words.paragraphs == ()
    assert "| Data-generating mechanisms |" in words.markdown
    assert f"with {plain_review.n_replicates} replicates" in words.markdown
    with pytest.raises(SimtrialsError, match="leave out --analysis"):
        plain_review.words("severity")
