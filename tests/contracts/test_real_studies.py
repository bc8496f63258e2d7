"""Reviews of real studies: effect sizes and means against calculations by hand and R's metafor, each patient once, every message."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from command_line import call
from meta_methods.cases import FOLDER, data
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar
from scipy.stats import t

from simtrials.core.errors import DeclarationError, SimtrialsError
from simtrials.engine.files import shipped_data
from simtrials.engine.real_studies.analyze import review
from simtrials.engine.real_studies.methods import METHODS
from simtrials.engine.real_studies.resolve import joined
from simtrials.engine.real_studies.rows import Arm
from simtrials.stats.meta_analysis import meta_analysis

BCG = {"ai": "events_active", "n1i": "n_active", "ci": "events_control", "n2i": "n_control"}


def metafor(method, inputs="test=knha"):
    """Quantities of one fit of the BCG data, as R printed them."""
    cases = pd.read_csv(FOLDER / "cases.csv")
    rows = cases[(cases["dataset_or_setting"] == "bcg_logRR") & cases["method"].str.startswith(f"{method}:") & (cases["inputs"] == inputs)]
    return {name.partition(":")[2]: float(value) for name, value in zip(rows["method"], rows["expected"], strict=True)}


def bcg():
    raw = data("raw_bcg")
    return pd.DataFrame(
        {
            "trial": [f"{author} {year}" for author, year in zip(raw["author"], raw["year"], strict=True)],
            "events_active": raw["tpos"],
            "n_active": raw["tpos"] + raw["tneg"],
            "events_control": raw["cpos"],
            "n_control": raw["cpos"] + raw["cneg"],
            "ablat": raw["ablat"],
            "alloc": raw["alloc"],
        }
    )


# ---- numbers


def test_response_of_the_shipped_trials_is_that_of_a_calculation_by_hand():
    """Log risk ratios, REML by minimising the restricted likelihood, Hartung and Knapp's interval: written out from the counts of the file."""
    tables = [(15, 30, 15, 30), (6, 13, 3, 16), (18, 20, 10, 20), (19, 20, 10, 20), (21, 27, 9, 20), (5 + 4 + 7, 13 + 11 + 11, 4, 10)]
    y = np.array([math.log(a / m) - math.log(c / n) for a, m, c, n in tables])
    v = np.array([1 / a - 1 / m + 1 / c - 1 / n for a, m, c, n in tables])

    def weighted(tau2):
        w = 1 / (v + tau2)
        return w, (w * y).sum() / w.sum()

    def deviance(tau2):
        w, mean = weighted(tau2)
        return np.log(1 / w).sum() + np.log(w.sum()) + (w * (y - mean) ** 2).sum()

    tau2 = minimize_scalar(deviance, bounds=(0, 1), method="bounded", options={"xatol": 1e-12}).x
    w, mean = weighted(tau2)
    se = math.sqrt((w * (y - mean) ** 2).sum() / (len(y) - 1) / w.sum())
    margin = t.ppf(0.975, len(y) - 1)
    found = review("trials", "response")
    assert_allclose(found.yi, y)
    assert_allclose(found.vi, v)
    pooled = found.pooled
    assert_allclose([pooled.estimate, pooled.lower, pooled.upper], [mean, mean - margin * se, mean + margin * se], rtol=1e-6)
    assert_allclose(pooled.prediction_upper, mean + margin * math.sqrt(tau2 + se**2), rtol=1e-5)
    assert_allclose(found.weights, w / w.sum(), rtol=1e-5)
    assert found.n_patients == sum(m + n for _, m, _, n in tables)
    assert found.n_trials == 6


def test_the_bcg_trials_give_the_numbers_of_metafors_forest_plot():
    found = review(bcg(), "event")
    assert_allclose(found.yi, data("bcg_logRR")["yi"], rtol=1e-12)
    assert_allclose(found.vi, data("bcg_logRR")["vi"], rtol=1e-12)
    expected = metafor("rma_REML")
    pooled = found.pooled
    numbers = [pooled.estimate, pooled.std_error, pooled.lower, pooled.upper, pooled.p_value, pooled.df]
    assert_allclose(numbers, [expected[name] for name in ("beta", "se", "ci_lb", "ci_ub", "pval", "ddf")], rtol=1e-4)
    assert_allclose(np.exp([pooled.prediction_lower, pooled.prediction_upper]), [0.135875, 1.762886], rtol=1e-4)  # predict(fit, transf = exp)
    assert_allclose(np.sqrt([pooled.tau2, pooled.tau2_lower, pooled.tau2_upper]), [0.5597, 0.3460, 1.0543], atol=5e-4)  # confint(fit)


def test_moderators_groups_and_leaving_one_out_are_those_of_metafor():
    found = review(bcg(), "event", by="alloc", moderators="ablat", leave_one_out=True)
    slope = found.moderation.slopes[1]
    # rma(..., mods = ~ ablat, test = "adhoc")
    numbers = [slope.estimate, slope.std_error, slope.lower, slope.upper, slope.p_value]
    assert_allclose(numbers, [-0.02910166, 0.008201542, -0.04715313, -0.01105019, 0.004565546], rtol=1e-3)  # metafor stops where tau2 changes by 1e-5
    # rma(..., mods = ~ alloc, test = "adhoc"): F and its P
    assert_allclose([found.groups.test.qm, found.groups.test.qm_p_value], [0.88375652, 0.44317633], rtol=1e-3)
    # leave1out(rma(..., test = "knha"))
    without = [-0.7070838, -0.6540312, -0.6855544, -0.6284094, -0.7641701, -0.7108766, -0.6552476, -0.7947676, -0.7411973, -0.6530329]
    without += [-0.7578586, -0.7598121, -0.7775362]
    assert_allclose([float(one.estimate) for one in found.without_one], without, rtol=1e-3)
    last = found.groups.groups[2]
    own = meta_analysis(found.yi[last.members], found.vi[last.members], ci="hartung_knapp_adhoc")
    assert_allclose([last.pooled.lower, last.pooled.upper], [own.lower, own.upper])


def test_trials_without_a_moderator_or_a_group_stay_in_the_mean():
    frame = bcg().assign(ablat=[np.nan, *bcg()["ablat"][1:]], alloc=["", *bcg()["alloc"][1:]]).replace({"alloc": {"": None}})
    found = review(frame, "event", by="alloc", moderators="ablat")
    assert_allclose(found.pooled.estimate, review(bcg(), "event").pooled.estimate)
    assert int(found.moderation.fit.n_studies) == 12
    assert "over 12 of 13 trials" in found.summary()
    assert next(group for group in found.groups.groups if group.name == "not stated").members.tolist() == [True] + 12 * [False]


def test_groups_whose_trials_agree_by_chance_have_no_interval_shorter_than_walds():
    """Three trials of celecoxib with remission ratios near 7: Hartung and Knapp's interval alone would be 5.6 to 7.8."""
    found = review("trials", "remission", by="drug_class")
    nsaid = found.groups.groups[0]
    wald = meta_analysis(found.yi[nsaid.members], found.vi[nsaid.members])
    assert nsaid.pooled.upper - nsaid.pooled.lower > wald.upper - wald.lower
    assert float(found.groups.test.qm_p_value) > 0.05


@pytest.mark.parametrize("column", ["vi", "sei"])
def test_effects_and_variances_are_pooled_as_they_are(column):
    given = data("bcg_logRR")[["author", "yi", "vi"]]
    given = given if column == "vi" else given.assign(sei=np.sqrt(given["vi"])).drop(columns="vi")
    found, expected = review(given, ci="wald", method="DL", measure="RR"), meta_analysis(given["yi"], data("bcg_logRR")["vi"], tau2="DL")
    for name in ("estimate", "lower", "upper", "tau2", "i2", "prediction_lower"):
        assert_allclose(getattr(found.pooled, name), getattr(expected, name), rtol=1e-12)
    assert found.shown(found.pooled.estimate) == pytest.approx(math.exp(expected.estimate))


def scored(**columns):
    """Two trials on HAM-D17, lower scores being better."""
    frame = {"trial": ["a", "b"], "scale": ["HAMD17", "MADRS"], "n_active": [20, 30], "n_placebo": [20, 25]}
    frame |= {
        "change_mean_active": [-10.0, -12.0],
        "change_sd_active": [6.0, 7.0],
        "change_mean_placebo": [-7.0, -9.5],
        "change_sd_placebo": [5.0, 7.5],
    }
    return pd.DataFrame(frame | columns)


def test_a_larger_fall_of_symptoms_is_a_positive_effect():
    found = review(scored(), "severity")
    sd = math.sqrt((19 * 36 + 19 * 25) / 38)
    j = math.exp(math.lgamma(19) - math.log(math.sqrt(19)) - math.lgamma(18.5))
    assert found.yi[0] == pytest.approx(j * 3 / sd)
    assert found.vi[0] == pytest.approx(2 / 20 + found.yi[0] ** 2 / 80)
    points = review(scored(), "severity", measure="MD")
    assert_allclose(points.yi, [3.0, 2.5])
    rising = review(scored(scale=["own", "own"]), "severity", improves="up")
    assert_allclose(rising.yi, -found.yi)


def test_anhedonia_is_an_outcome_of_its_own():
    frame = scored(scale=["SHAPS", "MADRS"])
    assert [study.name for study in review(frame, "anhedonia").studies] == ["a"]
    severity = review(frame, "severity")
    assert [study.name for study in severity.studies] == ["b"]
    assert "SHAPS measures anhedonia" in severity.summary()


def test_a_table_with_an_empty_cell_gets_half_an_event_and_one_without_events_is_left_out():
    frame = pd.DataFrame({"trial": ["a", "b", "c"], "n_active": 20, "n_placebo": 20, "sae_active": [0, 0, 3], "sae_placebo": [2, 0, 4]})
    found = review(frame, "serious_adverse_event")
    assert found.yi[0] == pytest.approx(math.log(0.5 / 21) - math.log(2.5 / 21))
    assert found.studies[0].notes == ("0.5 added to each cell",)
    assert [(one.study, one.reason) for one in found.left_out] == [("b", "no events in either arm")]
    assert len(review(frame, "serious_adverse_event", measure="RD").studies) == 3


# ---- every patient once


def arms(**columns):
    """One trial with two active arms and one control arm, and another trial."""
    frame = {"trial": ["x 1 mg", "x 2 mg", "y"], "sample_id": ["x", "x", "y"], "shared_control": ["yes", "yes", "no"], "subgroup": "no"}
    frame |= {"n_active": [20, 30, 40], "n_placebo": [24, 24, 40], "responders_active": [8, 15, 20], "responders_placebo": [6, 6, 14]}
    return pd.DataFrame(frame | columns)


def test_a_shared_control_arm_counts_once():
    combined, split = (review(arms(), "response", shared_control=rule) for rule in ("combine", "split"))
    first = combined.studies[0]
    assert (first.name, first.active.n, first.active.events, first.control.n) == ("x (2 arms)", 50, 23, 24)
    assert [(study.control.n, study.control.events) for study in split.studies] == [(12, 3), (12, 3), (40, 14)]
    assert combined.n_patients == split.n_patients == 20 + 30 + 24 + 80
    assert combined.yi[0] == pytest.approx(math.log(23 / 50) - math.log(6 / 24))
    assert split.vi[0] == pytest.approx(1 / 8 - 1 / 20 + 1 / 3 - 1 / 12)
    assert "share a control arm" in combined.summary()
    assert "2 comparisons" not in combined.summary()
    assert "3 comparisons of 2 trials" in " ".join(split.summary().split())


def test_arms_that_are_joined_have_the_mean_and_sd_of_all_their_patients():
    rng = np.random.default_rng(3)
    one, other = rng.normal(2, 3, 17), rng.normal(4, 2, 25)
    made = joined(*(Arm(len(x), 0.0, x.mean(), x.std(ddof=1)) for x in (one, other)))
    everyone = np.r_[one, other]
    assert_allclose([made.n, made.mean, made.sd], [42, everyone.mean(), everyone.std(ddof=1)])


def parts(**columns):
    """A trial, its subgroup, and another trial."""
    frame = {"trial": ["x", "x, CRP >= 3", "y"], "sample_id": ["x", "x", "y"], "subgroup": ["no", "yes", "no"]}
    frame |= {"n_active": [40, 15, 40], "n_placebo": [40, 17, 40], "responders_active": [20, 9, 20], "responders_placebo": [15, 4, 14]}
    return pd.DataFrame(frame | columns)


@pytest.mark.parametrize(("rule", "used"), [("prefer_whole", ["x", "y"]), ("prefer_subgroup", ["x, CRP >= 3", "y"])])
def test_a_trial_and_its_subgroup_do_not_both_count(rule, used):
    found = review(parts(), "response", subgroups=rule)
    assert [study.name for study in found.studies] == used
    assert len(found.left_out) == 1
    assert any("part of x" in note for note in found.notes)


def test_subgroups_that_fit_into_their_trial_are_different_patients():
    found = review("trials", "severity")
    assert [study.name for study in found.studies] == ["Nettis MINDEP (CRP>=3)", "Nettis MINDEP (CRP 1-3)"]
    assert "2 comparisons of 1 trial, 39 patients" in found.summary()


def test_a_second_report_with_the_same_numbers_counts_once():
    found = review("trials", "dropout")
    names = [study.name for study in found.studies]
    assert "McIntyre infliximab bipolar" in names
    assert "Lee infliximab bipolar (anhedonia)" not in names
    assert any("counted once" in note for note in found.notes)


def test_a_filter_comes_before_the_choice_of_rows():
    found = review("trials", "response", where="crp_rule == 'CRP>5 mg/L'")
    assert [study.name for study in found.studies] == ["Raison infliximab (CRP>5 subgroup)"]
    assert found.pooled.lower < found.pooled.estimate < found.pooled.upper
    assert "One trial, its own estimate" in found.summary()


# ---- scores of two kinds

MIXED = {
    "change_mean_active": [-10.0, np.nan],
    "endpoint_mean_active": [np.nan, 14.0],
    "endpoint_sd_active": [np.nan, 7.0],
    "endpoint_mean_placebo": [np.nan, 17.0],
    "endpoint_sd_placebo": [np.nan, 8.0],
}


def test_changes_and_endpoint_scores_are_mixed_only_when_asked_for():
    frame = scored(**MIXED)
    with pytest.raises(DeclarationError, match=r"a \(line 2\) has changes only, b \(line 3\) has endpoint scores only; their SDs differ"):
        review(frame, "severity")
    assert [study.name for study in review(frame, "severity", scores="change").studies] == ["a"]
    assert [study.name for study in review(frame, "severity", scores="endpoint").studies] == ["b"]
    both = review(frame, "severity", scores="both")
    assert [study.used for study in both.studies] == ["changes", "endpoint scores"]
    assert "pooled, as asked for; standardized by different SDs" in " ".join(both.summary().split())
    assert "changes" in both.summary()


# ---- messages

MISTAKES = {
    "outcome": (arms(), {"outcome": "respons"}, "outcome: 'respons' is not known; did you mean 'response'?"),
    "measure": (arms(), {"outcome": "response", "measure": "SMD"}, "measure: 'SMD' is none for counts of response; known:"),
    "method": (arms(), {"method": "RML"}, "method: no estimator called 'RML'; did you mean 'REML'?"),
    "metafor's estimator": (arms(), {"method": "FE"}, "method: no estimator called 'FE'; metafor's 'FE' is 'common' here"),
    "metafor's interval": (arms(), {"ci": "knha"}, "ci: no rule called 'knha'; metafor's 'knha' is 'hartung_knapp' here"),
    "ci": (arms(), {"ci": "henmi_copas"}, "ci: henmi_copas goes with the method DL, got REML"),
    "scores": (arms(), {"outcome": "response", "scores": "change"}, "scores: response is not computed from scores; leave it out"),
    "where": (arms(), {"where": "n_activ > 3"}, "where: no column called 'n_activ'"),
    "no row": (arms(), {"where": "n_active > 90"}, "where: no row of 3 fits 'n_active > 90'"),
    "by": (arms(), {"by": "clas"}, "by: no column called 'clas'"),
    "moderator": (arms(), {"moderators": "trial"}, "moderator: 'trial' holds categories (x 1 mg, x 2 mg, y); compare groups with --by"),
    "study": (arms(), {"study": "nme"}, "study: no column called 'nme'"),
    "nothing": (pd.DataFrame({"a": [1.0]}), {}, "no effects can be computed: there are neither columns yi and vi (or sei)"),
    "nothing left": (arms(), {"outcome": "remission"}, "remission: no row can be used; of 3: 3 without remitters"),
    "no events": (
        arms(responders_active=0, responders_placebo=0, shared_control="no", sample_id=["a", "b", "c"]),
        {"outcome": "response"},
        "--measure RD can use trials without events",
    ),
    "text": (arms(n_active=["20", "many", "40"]), {"outcome": "response"}, "n_active (line 3): must be a number, got 'many'"),
    "no patients": (arms(n_active=[20, 0, 40]), {"outcome": "response"}, "n_active (line 3): must be a number above 0, got 0"),
    "half": (arms(responders_active=[8, 7.5, 2]), {"outcome": "response"}, "responders_active (line 3): must be a whole number, got 7.5"),
    "below 0": (arms(responders_active=[8, -1, 2]), {"outcome": "response"}, "responders_active (line 3): must be 0 or more, got -1"),
    "too many": (arms(responders_active=[8, 31, 2]), {"outcome": "response"}, "responders_active (line 3): 31 responders of 30 patients"),
    "yes or no": (arms(subgroup=["no", "maybe", "no"]), {"outcome": "response"}, "subgroup (line 3): must be yes or no, got 'maybe'"),
    "no SD": (scored(change_sd_active=[0.0, 3.0]), {"outcome": "severity"}, "change_sd_active (line 2): must be a number above 0, got 0"),
    "no variance": (pd.DataFrame({"yi": [0.1, 0.2], "vi": [0.1, 0.0]}), {}, "vi (line 3): must be a number above 0, got 0"),
    "shared": (arms(), {"outcome": "response", "shared_control": "refuse"}, "lines 2, 3: x 1 mg and x 2 mg share a control arm, sample x; choose"),
    "shared, unlike": (
        arms(n_placebo=[24, 25, 40]),
        {"outcome": "response"},
        "should share one control arm, sample x, but differ: x 1 mg n 24, events 6",
    ),
    "shared, groups": (arms(), {"outcome": "response", "by": "trial"}, "lie in different groups, so they cannot be combined"),
    "shared, effects": (arms(yi=0.1, vi=0.2), {}, "share a control arm, sample x, which effects and variances cannot undo"),
    "repeated": (arms(shared_control="no"), {"outcome": "response"}, "lines 2, 3: x 1 mg and x 2 mg hold the same patients, sample x; keep one"),
    "subgroup": (parts(), {"outcome": "response", "subgroups": "refuse"}, "lines 2, 3: x, CRP >= 3 is a subgroup of x, sample x; choose"),
    "overlap": (
        parts(subgroup=["yes", "yes", "no"]),
        {"outcome": "response"},
        "subgroups of sample x that may overlap, the size of the whole trial is not",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_is_named_with_its_place_and_remedy(mistake):
    frame, given, message = MISTAKES[mistake]
    with pytest.raises(DeclarationError) as error:
        review(frame, **given)
    assert message in str(error.value)


def test_all_problems_of_a_file_are_told_at_once():
    frame = arms(n_active=[20, -3, 40], responders_placebo=[6.5, 6, 99])
    with pytest.raises(DeclarationError) as error:
        review(frame, "response")
    assert [problem.place for problem in error.value.problems] == ["n_active (line 3)", "responders_placebo (line 2)", "responders_placebo (line 4)"]


@pytest.mark.parametrize(("text", "told"), [("study,yi,vi\n", "no rows"), ("study;yi;vi\na;0,2;0,1\n", "is not separated by commas")])
def test_a_file_without_rows_or_with_semicolons_says_so(tmp_path, text, told):
    path = tmp_path / "studies.csv"
    path.write_text(text)
    with pytest.raises(SimtrialsError, match=told):
        review(str(path))


def test_an_unknown_direction_of_scores_is_taken_for_down_and_said():
    frame = scored().drop(columns="scale", errors="ignore")
    told = "Lower scores are taken for better"
    assert told in " ".join(review(frame, "severity").summary().split())
    assert told not in review(frame, "severity", improves="down").summary()


def test_an_unknown_method_or_figure_names_the_nearest():
    with pytest.raises(SimtrialsError, match="did you mean 'step_selection'"):
        review("trials", "response", also="step_selction")
    with pytest.raises(SimtrialsError, match="did you mean 'funnel'"):
        review("trials", "response").plot("funel")


# ---- results


def test_every_method_answers_or_says_why_not():
    found = review(bcg(), "event", also="all")
    assert [one.method for one in found.also] == list(METHODS)
    for one in found.also:
        assert math.isfinite(one.estimate) or one.note
        assert not one.lower > one.estimate
        assert not one.upper < one.estimate
    reml = next(one for one in found.also if one.method == "reml_hartung_knapp")
    assert (reml.lower, reml.upper) == (found.pooled.lower, found.pooled.upper)


def test_the_frame_has_a_row_for_every_row_of_the_file():
    found = review("trials", "response")
    frame = found.to_frame()
    lines = {line for text in frame["notes"].dropna() if "lines" in text for line in map(int, text.partition("lines ")[2].split(", "))}
    assert set(frame["line"]) | lines == set(range(2, 40))
    assert frame["weight"].sum() == pytest.approx(1.0)
    assert len(pd.read_csv(shipped_data()["trials"])) == 38


def test_json_holds_plain_values_only():
    found = review("trials", "remission", by="drug_class", moderators="weeks", also="all", leave_one_out=True)
    kept = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert kept["pooled"]["estimate"] == found.pooled.estimate
    assert len(kept["leave_one_out"]) == len(found.studies)


def test_the_command_prints_and_writes(tmp_path):
    done = call("meta", "trials", "--outcome", "response", "--by", "drug_class", "--out", "found", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1.57 (1.15 to 2.14)" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert {path.name for path in (tmp_path / "found").iterdir()} == {
        "studies.csv",
        "meta.json",
        "forest.svg",
        "forest.png",
        "funnel.svg",
        "funnel.png",
    }
    found = json.loads(call("meta", "trials", "--outcome", "response", "--json", cwd=tmp_path).stdout)
    assert found["n_patients"] == 261
    assert call("meta", "trials", "--quiet", cwd=tmp_path).stdout.startswith("study,line,sample_id")


def test_a_mistake_exits_with_2_and_no_traceback(tmp_path):
    arms(n_active=[20, -3, 40]).to_csv(tmp_path / "mine.csv", index=False)
    done = call("meta", "mine.csv", "--outcome", "response", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine.csv has 1 problem" in done.stderr
    assert "n_active (line 3): must be a number above 0, got -3" in done.stderr
    assert "Traceback" not in done.stderr
