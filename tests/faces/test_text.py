"""What the terminal shows, to the letter."""

from dataclasses import replace

import pytest
from faces import runs
from faces.test_sentences import POWERS, TEN_THOUSAND, counted

from simtrials.report.rows import power_rows
from simtrials.report.text import aligned, check_text, next_command, summary

ANSWER = """\
questions: Can a small trial show response and remission, not only severity?
If the drug works as assumed (3.9 MADRS points at week 8), a trial of 40
patients shows a benefit in severity in 84 of 100 trials, in response in 56
(risk difference, score test), in remission in 33. If it does nothing, 2 to 3 of
100 still do, for each question.
  question   analysis                       power, %  target 80  failed
  severity   ANCOVA                       84.2 ± 0.7  above           0
  response   risk difference, score test  55.8 ± 1.0  below           0
             logistic, covariates         60.1 ± 1.0  below          13
  remission  risk difference, score test  33.4 ± 0.9  below           0
  ±: 95% Monte Carlo interval, 10,000 simulated trials.
  response, logistic, covariates: 13 of 10,000 trials could not be estimated and
  count as no benefit shown: logistic fit separated (13); power among the 9,987
  others 60.2%.
"""


def separated(found):
    """The run with 13 separated logistic fits."""
    counts = TEN_THOUSAND | {"n_benefit": POWERS["response_logistic"], "n_estimable": 9_987, "failures": {4: 13}}
    return runs.with_counts(counted(found), {"scenario": {"response_logistic": counts}})


def test_the_block_of_a_run_to_the_letter(questions):
    text = summary(separated(questions))
    assert text.startswith(ANSWER)
    tail = text.removeprefix(ANSWER).splitlines()
    assert tail[0].endswith(" of 100 trials: severity shown, remission not.")
    assert tail[1].startswith("  screened per enrolled ")
    assert tail[1].endswith("   4.4 s, 2 workers")
    assert tail[-1].startswith("  next    simtrials ")


def test_no_line_is_longer_than_80_columns(questions, crowded, plain, three_arms, failing):
    for found in (questions, crowded, plain, three_arms, failing):
        for text in (summary(found), check_text(found.scenario, found.portrait, 12.0)):
            paths = str(found.folder)
            assert all(len(line) <= 80 for line in text.splitlines() if paths not in line)
            assert "\x1b" not in text
            assert text == "\n".join(line.rstrip() for line in text.splitlines())


def test_a_caution_precedes_the_answer_and_no_result_is_a_dash(failing):
    lines = summary(failing).splitlines()
    places = {word: next(i for i, line in enumerate(lines) if word in line) for word in ("Caution:", "If the drug works", "question ")}
    assert places["Caution:"] < places["If the drug works"] < places["question "]
    (row,) = (line for line in lines if "treatment by " in line and line.endswith("256"))
    assert row.split()[-3:] == ["—", "—", "256"]


def test_a_closed_form_stands_beside_the_simulation(plain):
    head, *rows = (line for line in summary(plain).splitlines() if line.startswith("  "))
    assert "closed form" in head
    record = plain.record["closed_form"]
    assert any(f"{100 * record['pain']['power']:.1f}" in row for row in rows)


def test_the_next_command_extends_a_run_that_cannot_tell(questions, tmp_path):
    found = replace(counted(questions, powers=POWERS | {"severity": 7_950}), folder=tmp_path)
    rows = power_rows(found)
    assert next_command(found, rows) == f"simtrials report {tmp_path}"
    (tmp_path / "report.html").write_text("")
    assert next_command(found, rows) == "simtrials run small.toml --replicates 25000"
    certain = replace(counted(questions), folder=tmp_path)
    assert next_command(certain, power_rows(certain)) == "simtrials patients small.toml --trial 1 --out patients.csv"


def test_cannot_tell_is_told_with_the_replicates_that_would(questions):
    text = summary(counted(questions, powers=POWERS | {"severity": 7_950}))
    assert "79.5 ± 0.8  cannot tell" in text
    assert "severity, ANCOVA, against 80: 79.5 ± 0.8: cannot tell; about 15,000 more" in text


def test_the_text_of_check_has_all_that_a_planner_looks_at(questions):
    text = " ".join(check_text(questions.scenario, questions.portrait, 12.3).split())
    for words in (
        "are enrolled. Screened per enrolled 2.",
        "Not enrolled:",
        "usually have CRP below 2 mg/L",
        "ln usual CRP, mean (SD)",
        "3.9 MADRS points at week 8 on average over the enrolled (SMD 0.50, SD of the change)",
        "full from usual CRP 2 mg/L, none below.",
        "As whole scores within the scale: 3.",
        "usual CRP of the enrolled, mg/L",
        "risk ratio",
        "remission",
        "512 simulated trials need about 12 s.",
    ):
        assert words in text, words


def test_tenths_of_the_biomarker_are_ten_rows(questions):
    lines = check_text(questions.scenario, questions.portrait).splitlines()
    start = next(i for i, line in enumerate(lines) if "usual CRP of the enrolled, mg/L" in line)
    assert sum(" to " in line for line in lines[start + 1 : start + 11]) == 10


def test_departures_are_told_by_arm_and_none_is_told_too(questions, departing):
    assert "Nobody drops out and no visit is missed." in check_text(questions.scenario, questions.portrait)
    text = check_text(departing.scenario, departing.portrait)
    for words in ("dropout", "discontinuation", "MADRS seen at week 8", "Also: non adherence, gaps, baseline inflation", "Nobody drops out"):
        assert (words in text) == (words != "Nobody drops out")


def test_adverse_events_are_told_in_check(plain):
    assert "active: 20% against 10%." in check_text(plain.scenario, plain.portrait)


@pytest.mark.parametrize("width", [5, 60, 200])
def test_columns_give_way_where_a_table_is_too_wide(width):
    text = aligned([("question", "analysis", "n"), ("word " * (width // 5), "x" * 20, "1")], right=(2,), flexible=(0,))
    assert all(len(line) <= 80 for line in text.splitlines())
