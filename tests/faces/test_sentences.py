"""Sentences are filled from numbers only, and each says what it should."""

from dataclasses import replace

import pytest
from faces import runs

from simtrials.core.measures import Measure
from simtrials.report import sentences
from simtrials.report.assumptions import NO_SOURCE, assumptions, left_out, minded, source_of
from simtrials.report.rows import caution, failure_sentences, leading, power_rows

TEN_THOUSAND = {"n": 10_000, "n_estimable": 10_000, "failures": {}}
POWERS = {"severity": 8_420, "response": 5_580, "response_logistic": 6_010, "remission": 3_340}
LEVELS = {"severity": 240, "response": 260, "response_logistic": 250, "remission": 245}


def counted(found, powers=POWERS, levels=LEVELS):
    """The run with these counts of 10,000."""
    given = {cell: powers if cell == "scenario" else levels for cell in found.cells}
    counts = {cell: {name: TEN_THOUSAND | {"n_benefit": n, "n_rejected": 2 * n} for name, n in shown.items()} for cell, shown in given.items()}
    return runs.with_counts(runs.repeated(found, 10_000), counts, seconds=4.4, workers=2)


def words(found):
    """What is to be minded, without emphasis."""
    return [point.words for point in minded(found, power_rows(found))]


def test_power_names_the_assumed_effect_and_counts_of_100(questions):
    assert sentences.answer(counted(questions))[0] == (
        "If the drug works as assumed (3.9 MADRS points at week 8), a trial of 40 patients shows a benefit in severity in 84 of 100 trials, "
        "in response in 56 (risk difference, score test), in remission in 33."
    )


def test_without_effect_the_span_over_the_questions_is_told(questions):
    assert sentences.answer(counted(questions))[1] == "If it does nothing, 2 to 3 of 100 still do, for each question."


def test_the_primary_analysis_speaks_for_its_question(questions):
    primary = replace(questions, scenario=questions.scenario.model_copy(update={"primary": ("response_logistic",)}))
    told = {row.question: row.name for row in leading(primary, power_rows(primary))}
    assert told == {"severity": "severity", "response": "response_logistic", "remission": "remission"}


def test_a_run_without_the_null_says_so(three_arms):
    assert sentences.answer(three_arms)[-1] == "The same trials without any effect were not run."


def test_an_uncertain_power_is_a_range(questions):
    small = runs.with_counts(questions, {"scenario": {"severity": {"n": 250, "n_estimable": 250, "n_benefit": 185}}})
    assert "in severity in 68 to 79 of 100 trials" in sentences.answer(small)[0]


def test_events_are_told_as_risks_and_adverse_events_are_not_benefits(plain):
    said = sentences.answer(plain)[0]
    assert said.startswith("If the drug works as assumed (relief in 50% against 30% and 1.00 points), a trial of 60 patients")
    assert "nausea" not in said


def test_several_arms_are_named(three_arms):
    said = sentences.answer(three_arms)[0]
    assert "low dose 2." in said
    assert "of harm" in said
    assert "in well-being (low dose) in" in said


def test_an_interaction_is_told_as_what_it_is(folder):
    analyses = {
        "slope": {"kind": "interaction", "endpoint": "symptoms", "modifier": "ln(crp)"},
        "strata": {"kind": "interaction", "endpoint": "symptoms", "modifier": "crp >= 3"},
    }
    found = runs.made(folder, name="slopes", analyses=analyses)
    counts = {"scenario": {name: TEN_THOUSAND | {"n_benefit": n} for name, n in (("slope", 700), ("strata", 900))}}
    said = sentences.answer(runs.with_counts(found, counts))[0]
    assert said == "The benefit in severity is shown to rise with ln(CRP) in 7 of 100 trials, to be larger where CRP >= 3 in 9."


def test_patterns_are_counted_over_trials(questions):
    (said,) = sentences.pattern_sentences(questions)
    assert said.startswith("In ")
    assert said.endswith(" of 100 trials: severity shown, remission not.")


@pytest.mark.parametrize(
    ("value", "mcse", "printed"),
    [
        (1.402, 0.01, "Trials that reach statistical significance overstate the benefit in severity 1.4 times on average."),
        (1.012, 0.002, "Trials that reach statistical significance overstate the benefit in severity by less than 5% on average."),
        (1.30, 0.30, ""),
        (float("nan"), float("nan"), ""),
    ],
)
def test_exaggeration_is_told_when_it_is_clear_of_its_error(value, mcse, printed):
    assert sentences.exaggeration_sentence(Measure("exaggeration", value, mcse, 10_000), "the benefit in severity") == printed


def test_screening_and_measured_biomarker():
    about = {"at_least": 2.0, "unit": "mg/L", "usual_at_least": [0.81, 0.001], "repeat_at_least": [0.69, 0.001]}
    picture = {"pass_rate": 0.3882, "assays": {"crp": about}}
    assert sentences.screening_sentence(picture) == "Of 1,000 screened, 388 are enrolled."
    assert sentences.measured_sentence(picture, "crp") == (
        "19 of 100 enrolled patients usually have CRP below 2 mg/L; a second sample would be below it in 31 of 100."
    )
    assert sentences.screening_sentence({"pass_rate": 1.0}) == "Everybody who is screened is enrolled."


def test_what_shows_a_benefit_means():
    assert sentences.benefit_in_words([(0.05, False), (0.05, False)]) == "two-sided P < .05 in the direction of benefit"
    assert sentences.benefit_in_words([(0.05, False), (0.025, True)]) == "two-sided P < .05 or one-sided P < .025 in the direction of benefit"


def test_failures_are_told_with_their_reason_and_the_power_of_the_others(questions):
    counts = {"n": 10_000, "n_estimable": 9_987, "n_benefit": 6_012, "failures": {4: 13}}
    rows = power_rows(runs.with_counts(counted(questions), {"scenario": {"response_logistic": counts}}))
    assert list(failure_sentences(rows)) == [
        "response, logistic, covariates: 13 of 10,000 trials could not be estimated and count as no benefit shown: logistic fit separated (13); "
        "power among the 9,987 others 60.2%."
    ]
    assert caution(rows) == ""


def test_an_infinite_estimate_with_a_valid_test_is_no_failure_to_test(questions):
    counts = {"n": 10_000, "n_estimable": 10_000, "n_finite": 9_990, "n_benefit": 6_000, "failures": {}}
    rows = power_rows(runs.with_counts(counted(questions), {"scenario": {"response": counts}}))
    assert list(failure_sentences(rows)) == ["response, risk difference, score test: 10 of 10,000 estimates are infinite; their tests count."]


def test_when_nothing_could_be_estimated_there_is_no_power(failing):
    row = next(row for row in power_rows(failing) if row.name == "constant")
    assert row.count.power == "—"
    assert row.verdict(0.8) == "—"
    assert any("no result, none of 256 trials could be estimated: covariates are collinear (256)." in said for said in failure_sentences([row]))


def test_a_question_without_a_result_is_named(failing):
    nothing = {"n_benefit": 0, "n_estimable": 0, "failures": {1: failing.n_replicates}}
    said = sentences.answer(runs.with_counts(failing, {"scenario": {"severity": nothing}}))[0]
    assert said.endswith(" None of the simulated trials could be analyzed for severity.")
    said = sentences.answer(runs.with_counts(failing, {"scenario": {"severity": nothing, "remission": nothing}}))[0]
    assert said == "No result: none of the simulated trials could be analyzed for severity and remission."


def test_above_five_percent_failed_there_is_a_caution(failing):
    said = caution(power_rows(failing))
    assert said.startswith("Caution: more than 5% of the trials could not be estimated (")
    assert said.endswith("They count as no benefit shown.")


def test_assumptions_are_at_most_seven_and_say_when_there_is_no_source(questions, crowded, plain, three_arms):
    for found in (questions, crowded, plain, three_arms):
        rows = assumptions(found)
        assert 5 <= len(rows) <= 7
        assert NO_SOURCE in {row.source for row in rows}


def test_dropout_is_told_as_it_is(questions, departing):
    assert next(row.value for row in assumptions(questions) if row.what == "Dropout") == "nobody"
    (row,) = (row for row in assumptions(departing) if row.what == "Departures")
    assert "dropout" in row.value
    assert "MADRS seen at week 8" in row.value
    assert "an earlier trial" in row.source
    assert "nobody drops out" in left_out(questions.scenario)
    assert left_out(departing.scenario) == ""


def test_a_source_holds_for_all_that_is_in_the_table(questions):
    scenario = questions.scenario
    assert source_of(scenario, "eligibility") == "a review"
    assert source_of(scenario, "endpoints.symptoms.effects.active.mean_smd") == "the same review"
    assert source_of(scenario, "endpoints.symptoms.effects") == NO_SOURCE


def test_the_effect_is_told_in_points_and_as_an_smd(questions):
    (effect,) = (row for row in assumptions(questions) if row.what.startswith("Effect on"))
    assert effect.what == "Effect on severity"
    assert effect.value == "3.9 MADRS points at week 8 on average over the enrolled (SMD 0.50, SD of the change)"


def test_failures_are_minded_also_when_there_are_none(questions):
    lines = words(counted(questions))
    assert lines[0] == "Failed: 0 of 40,000 estimates."
    assert "Widest Monte Carlo interval of a power: ± 1.0 percentage points (response, risk difference, score test)." in lines
    assert "Sensitivity to the assumptions: not examined." in lines
    assert "4 analyses are each at their own alpha, not adjusted for multiplicity" in lines[-1]
    assert lines[-1] == left_out(questions.scenario)


def test_a_level_above_nominal_is_minded(questions):
    high = counted(questions, levels=LEVELS)
    assert not any(line.startswith("Significant more often") for line in words(high))
    for n_rejected, told in ((560, False), (700, True)):
        found = runs.with_counts(high, {"null": {"severity": {"n_rejected": n_rejected}}})
        assert any("Significant more often than nominal without effect: severity, ANCOVA" in line for line in words(found)) == told
