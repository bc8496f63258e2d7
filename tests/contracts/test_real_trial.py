"""Real trials: the same analyses as in simulations, data sets of simulated trials, and courses that are found again."""

import json
import tomllib

import numpy as np
import pandas as pd
import pytest
from command_line import call
from numpy.testing import assert_allclose
from reference.test_mmrm import VALUES
from scipy.stats import t

import simtrials
from simtrials.engine.files import scenario_from
from simtrials.engine.patients import patients

REAL = {"score": "hamd17", "baseline": "hamd17_baseline", "week": "visit", "weeks": (1, 2, 4, 6), "scale": "HAM-D17"}
SCALE = {
    "kind": "scale",
    "scale": "MADRS",
    "weeks": [2, 4, 8],
    "baseline": {"mean": 28.0, "sd": 5.0},
    "control_course": {"change": -10.0, "at_week": 8, "time_constant": 3.0, "score_sd": [6.5, 8.0, 9.0]},
    "correlation": {
        "kind": "unstructured",
        "values": [[1.0, 0.6, 0.5, 0.4], [0.6, 1.0, 0.75, 0.65], [0.5, 0.75, 1.0, 0.8], [0.4, 0.65, 0.8, 1.0]],
    },
    "effects": {"active": {"kind": "constant", "mean_points": 3.0, "at_week": 8, "time_constant": 4.0}},
}
LOST = {"kind": "dropout", "rate": 0.25, "mechanism": "mar", "log_odds_per_point": 0.08, "odds_by_visit": [0.5, 1.0, 1.0]}
ANALYSES = {
    "ancova": {"kind": "ancova", "covariates": ["baseline", "age_years", "sex"]},
    "mmrm": {"kind": "mmrm", "df": "kenward_roger"},
    "carried": {"kind": "ancova", "missing": "locf"},
    "response": {"kind": "risk_difference", "outcome": "response", "missing": "non_response"},
    "stratified": {"kind": "mantel_haenszel", "outcome": "remission"},
}


def scenario(**changes):
    tables = {
        "name": "course",
        "population": {"kind": "resampled", "data": "nhanes_2017_2018", "where": "phq9_total >= 10", "weights": "survey_weight"},
        "design": {"kind": "fixed", "n_patients": 200, "allocation": {"kind": "stratified_blocks", "strata": ["sex"], "block_size": 4}},
        "endpoints": {"madrs": SCALE},
        "departures": {"lost": LOST, "gaps": {"kind": "gaps", "probability": 0.03}, "stopped": {"kind": "discontinuation", "rate": 0.2}},
        "analyses": {name: analysis | {"endpoint": "madrs"} for name, analysis in ANALYSES.items()},
    }
    return scenario_from(tables | changes)


# ---- analyze


@pytest.mark.parametrize("df", ["satterthwaite", "kenward_roger"])
def test_the_mixed_model_of_the_real_trial_is_that_of_r(df):
    found = simtrials.analyze("antidepressant_trial", {"kind": "mmrm", "df": df}, **REAL).findings[0]
    expected = VALUES["antidepressant", "unstructured", "by_visit", "last", f"mmrm_{df}"]
    assert_allclose([found.estimate, found.std_error, found.df], [-expected["estimate"], expected["std_error"], expected["df"]], rtol=3e-4)
    assert (found.n_active, found.n_control) == (84, 88)
    assert found.shows == "benefit"
    assert found.p_value == pytest.approx(2 * t.sf(-expected["estimate"] / expected["std_error"], expected["df"]), rel=2e-3)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    made = scenario(n_replicates=512)
    return made, simtrials.run(made, null=False, out=tmp_path_factory.mktemp("run")).estimates().set_index(["replicate", "analysis"])


@pytest.mark.parametrize("trial", [1, 7, 300])
def test_a_trial_written_and_analysed_again_gives_what_the_run_found(stored, tmp_path, trial):
    """Through a file and back: the same numbers to rounding error."""
    made, estimates = stored
    visits, subjects = patients(made, trial).write(tmp_path / "trial.csv")
    asked = [analysis | {"label": name} for name, analysis in ANALYSES.items()]
    asked[0]["covariates"] = ["baseline", "AGE", "SEX"]
    found = simtrials.analyze(visits, asked, subjects=subjects, scale="MADRS", strata=("SEX",))
    for finding in found.findings:
        own = estimates.loc[trial - 1, finding.method]
        for number in ("estimate", "std_error", "lower", "upper"):
            assert getattr(finding, number) == pytest.approx(own[number], rel=1e-8)
        assert (finding.shows == "benefit") == own["benefit"]


def test_a_randomisation_test_shuffles_within_strata(tmp_path):
    """Both sites have an effect of the site and none of the drug: shuffled within sites nothing is shown; across them much would be."""
    rng = np.random.default_rng(1)
    site = np.repeat(["a", "b"], 40)
    arm = np.r_[np.where(np.arange(40) < 34, "drug", "placebo"), np.where(np.arange(40) < 6, "drug", "placebo")]
    frame = pd.DataFrame({"patient": np.arange(80), "arm": arm, "site": site, "week": 8, "score": 10.0 * (site == "a") + rng.normal(size=80)})
    asked = {"kind": "randomization_test", "covariates": []}
    path = tmp_path / "trial.csv"
    frame.to_csv(path, index=False)
    within, across = (simtrials.analyze(path, asked, improves="up", strata=strata).findings[0].p_value for strata in (("site",), ()))
    assert across < 0.01 < 0.1 < within


def test_the_terminal_shows_every_analysis(tmp_path):
    words = ["--score", "hamd17", "--baseline", "hamd17_baseline", "--week", "visit", "--weeks", "1,2,4,6", "--scale", "HAM-D17"]
    kinds = ["--analysis", "mmrm", "--analysis", "risk_ratio", "--set", "risk_ratio.outcome=response", "--set", "week=6"]
    done = call("analyze", "antidepressant_trial", *words, *kinds, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "MMRM" in done.stdout
    assert "2.8 (0.6 to 5.0)" in done.stdout
    assert "1.47 (0.94 to 2.32)" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    found = json.loads(call("analyze", "antidepressant_trial", *words, *kinds, "--json", cwd=tmp_path).stdout)
    assert [finding["analysis"] for finding in found["findings"]] == ["mmrm", "risk_ratio"]
    assert found["visits"] == {"1": 172, "2": 158, "4": 149, "6": 129}


LONG = pd.DataFrame(
    {
        "patient": np.repeat(np.arange(40), 3),
        "arm": np.repeat(np.arange(40) % 2, 3),
        "week": np.tile([0, 4, 8], 40),
        "score": np.tile([30, 22, 18], 40) + np.arange(120) % 7,
        "site": np.repeat(np.arange(40) // 20, 3),
    }
)
MISTAKES = {
    "no score": (LONG.rename(columns={"score": "points"}), {}, "score: name the column with the scores; columns are patient, arm, week, points"),
    "misspelt": (LONG, {"baseline": "baselin"}, "baseline: no column called 'baselin'"),
    "two rows": (pd.concat([LONG, LONG.iloc[:2]]), {}, "patient 0 has two scores at week 4 (lines 3 and 123)"),
    "arm changes": (LONG.assign(arm=np.arange(120) % 2), {}, "arm: patient 0 has 0 and, on line 3, 1; it must not change"),
    "which control": (LONG.assign(arm=np.where(LONG["arm"] == 0, "usual", "drug")), {}, "control: name the control arm; arms are drug, usual"),
    "no such control": (LONG, {"control": "2"}, "control: no arm is called '2'; arms are 0, 1"),
    "one arm": (LONG.assign(arm="placebo"), {}, "control: a second arm is needed"),
    "outside": (LONG.assign(score=LONG["score"] + 40), {"scale": "MADRS"}, "must be in the range of MADRS, 0 to 60 points, got 70 on line 2"),
    "no such scale": (LONG, {"scale": "MDRS"}, "did you mean 'MADRS'?"),
    "texts": (LONG.assign(score="many"), {}, "'score' must hold numbers, got 'many'"),
    "no rows": (LONG, {"where": "week > 90"}, "where: no row of 120 fits 'week > 90'"),
    "all before": (LONG.assign(week=0), {}, "week: no row lies after week 0"),
    "weeks": (LONG, {"weeks": (4, 8)}, "weeks: expected 3, one for each value of 'week' (0, 4, 8), got 2"),
    "strata vary": (LONG, {"strata": ("week > 2",)}, "strata: no column called 'week'"),
    "not binary": (LONG, {"binary": True}, "must be 1 or 0"),
    "two kinds of score": (LONG, {"binary": True, "scale": "MADRS"}, "leave out one of scale and binary"),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=MISTAKES)
def test_what_is_wrong_with_a_file_is_named(tmp_path, mistake):
    frame, given, message = MISTAKES[mistake]
    frame.to_csv(tmp_path / "trial.csv", index=False)
    with pytest.raises(simtrials.DeclarationError) as error:
        simtrials.analyze(tmp_path / "trial.csv", "t_test", **given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("analysis", "message"),
    [
        ("mrm", "did you mean 'mmrm'?"),
        ({"kind": "ancova", "outcome": "response"}, "has no outcome 'response'"),
        ({"kind": "ancova", "covariates": ["scores"]}, "'scores' in 'scores' is no column of the file"),
        ({"kind": "ancova", "week": 6}, "has no visit at week 6; visits are at 4, 8"),
        ({"kind": "ancova", "estimand": "x"}, "leave it out"),
        ({"kind": "ancova", "arm": "b"}, "no active arm called 'b'"),
        ({"kind": "ancova", "alpha": 2}, "ancova.alpha"),
        ({"kind": "logistic"}, "needs a yes-or-no outcome"),
    ],
)
def test_an_analysis_that_does_not_fit_the_file_is_refused(tmp_path, analysis, message):
    LONG.to_csv(tmp_path / "trial.csv", index=False)
    with pytest.raises(simtrials.DeclarationError) as error:
        simtrials.analyze(tmp_path / "trial.csv", analysis)
    assert message in str(error.value)


def test_scores_at_week_0_are_the_baseline(tmp_path):
    LONG.to_csv(tmp_path / "trial.csv", index=False)
    found = simtrials.analyze(tmp_path / "trial.csv", "ancova")
    assert found.trial.measured.weeks == (4.0, 8.0)
    assert_allclose(found.trial.measured.baseline[0], LONG.loc[LONG["week"] == 0, "score"])


# ---- a simulated trial as data


def test_the_data_set_holds_what_was_seen_under_standard_names():
    made = scenario()
    found = patients(made, 3)
    subjects, visits = found.subjects, found.visits
    assert list(subjects.columns[:6]) == ["STUDYID", "USUBJID", "SUBJID", "TRT01P", "TRT01PN", "RANDFL"]
    assert {"AGE", "AGEU", "SEX", "BMIBL", "EOSSTT", "EOTSTT", "lost_week", "stopped_week"} <= set(subjects.columns)
    assert len(subjects) == 200
    assert subjects["USUBJID"].is_unique
    assert set(subjects["SEX"]) == {"F", "M"}
    assert ((subjects["EOSSTT"] == "DISCONTINUED") == subjects["lost_week"].notna()).all()
    after = visits[visits["ABLFL"] != "Y"]
    assert_allclose(after["CHG"], after["AVAL"] - after["BASE"])
    assert_allclose(after["PCHG"], 100 * after["CHG"] / after["BASE"])
    assert ((after["CRIT1FL"] == "Y") == (2 * after["AVAL"] <= after["BASE"])).all()
    assert ((after["CRIT2FL"] == "Y") == (after["AVAL"] <= 10)).all()
    assert (after["ADY"] == 7 * after["AVISITN"] + 1).all()
    last = after.groupby("USUBJID")["AVISITN"].max()
    gone = subjects.set_index("USUBJID")["lost_week"].dropna()
    assert (last.reindex(gone.index).fillna(0) <= gone).all()
    assert 0.55 < (after["AVISITN"] == 8).sum() / 200 < 0.9
    assert visits["AVAL"].notna().all()


def test_sas_transport_and_parquet_hold_the_same(tmp_path):
    import pyreadstat

    found = patients(scenario(), 3, hidden=True)
    places = {kind: found.write(tmp_path / f"trial.{kind}") for kind in ("csv", "parquet", "xpt")}
    for which in (0, 1):
        frame = pd.read_csv(places["csv"][which], dtype={"SUBJID": str})
        pd.testing.assert_frame_equal(pd.read_parquet(places["parquet"][which]), frame, check_dtype=False)
        sas, about = pyreadstat.read_xport(str(places["xpt"][which]))
        assert about.table_name == ("ADQS", "ADSL")[which]
        assert len(sas) == len(frame)
        assert all(len(name) <= 8 and name == name.upper() for name in sas.columns)
        for name, column in zip(sas.columns, frame.columns, strict=True):
            if pd.api.types.is_numeric_dtype(frame[column]):
                assert_allclose(sas[name], frame[column].astype(float), rtol=1e-14)
            else:
                assert (sas[name].replace("", None).fillna("") == frame[column].fillna("")).all()


# ---- course


@pytest.fixture(scope="module")
def fitted():
    return simtrials.fit_course("antidepressant_trial", **REAL)


def test_the_course_of_the_real_trial_is_reproduced(fitted):
    """Every mean, SD, correlation and share seen lies within 3 standard errors of the data (33 numbers)."""
    apart = {(row.part, row.arm, row.week, row.other): (row.data - row.fitted) / np.hypot(row.std_error, row.mcse) for row in fitted.compared}
    assert len(apart) == 33
    assert max(abs(away) for away in apart.values()) < 3
    assert {part for part, *_ in apart} == {"mean", "sd", "correlation", "seen"}
    assert np.abs(np.diff([row.data for row in fitted.compared if row.part == "seen"])).max() > 0.05


def test_the_block_of_toml_is_a_trial_that_runs(fitted, tmp_path):
    head = (
        '\nname = "again"\n[design]\nkind = "fixed"\narms = ["placebo", "drug"]\nn_patients = 172\nallocation = { kind = "complete" }\n'
        '[analyses.severity]\nkind = "mmrm"\nendpoint = "hamd17"\n'
    )
    (tmp_path / "again.toml").write_text(head + fitted.toml(), encoding="utf-8")
    result = simtrials.run(tmp_path / "again.toml", n_replicates=2048, null=False, out=tmp_path)
    estimates = result.estimates()
    # the real trial's estimate, 2.80, lies among those of trials like it, and their SD is its standard error, 1.11
    assert abs(estimates["estimate"].mean() - 2.80) < 1.11
    assert estimates["estimate"].std() == pytest.approx(1.11, rel=0.1)


def test_a_declared_course_is_found_again(tmp_path):
    """Three thousand simulated patients, written and fitted: every declared number within 4 standard errors of what is found."""
    made = scenario(design={"kind": "fixed", "n_patients": 3000, "allocation": {"kind": "blocks", "block_size": 4}}, departures={"lost": LOST})
    visits, _ = patients(made, 1).write(tmp_path / "trial.csv")
    fit = simtrials.fit_course(visits, scale="MADRS")
    found = tomllib.loads(fit.toml())
    endpoint, lost = found["endpoints"]["madrs"], found["departures"]["lost"]
    n = 3000
    assert abs(endpoint["baseline"]["mean"] - 28) < 4 * 5 / np.sqrt(n)
    assert abs(endpoint["control_course"]["change"] + 10) < 4 * 9 / np.sqrt(n / 2) * 1.2
    assert_allclose(endpoint["control_course"]["score_sd"], [6.5, 8.0, 9.0], rtol=4 / np.sqrt(2 * n * 0.7))
    assert endpoint["control_course"]["time_constant"] == pytest.approx(3.0, abs=0.5)
    assert abs(endpoint["effects"]["active"]["mean_points"] - 3) < 4 * 9 * np.sqrt(4 / n) * 1.2
    assert_allclose(np.array(endpoint["correlation"]["values"]), np.array(SCALE["correlation"]["values"]), atol=4 * 0.84 / np.sqrt(n * 0.7))
    assert lost["mechanism"] == "mar"
    assert lost["log_odds_per_point"] == pytest.approx(0.08, abs=4 * 0.006)
    assert lost["odds_by_visit"][0] == pytest.approx(0.5, abs=0.2)
    for rate in lost["rate"].values():
        assert abs(rate - 0.25) < 4 * np.sqrt(0.25 * 0.75 / (n / 2))


def test_loss_that_depends_on_nothing_is_called_so(tmp_path):
    loss = {"kind": "dropout", "rate": {"control": 0.3, "active": 0.15}}
    made = scenario(design={"kind": "fixed", "n_patients": 1000, "allocation": {"kind": "blocks", "block_size": 4}}, departures={"lost": loss})
    visits, _ = patients(made, 2).write(tmp_path / "trial.csv")
    found = tomllib.loads(simtrials.fit_course(visits, scale="MADRS").toml())["departures"]["lost"]
    assert found["mechanism"] == "mcar"
    assert "odds_by_visit" not in found
    assert abs(found["rate"]["control"] - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 500)
    assert abs(found["rate"]["active"] - 0.15) < 4 * np.sqrt(0.15 * 0.85 / 500)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": None}, "scale: name a known scale, or give the lowest and the highest possible score"),
        ({"scale": None, "score_range": (0.0, 20.0)}, "score_range: scores reach from"),
        ({"baseline": None}, "baseline: a course needs scores at baseline"),
        ({"where": "site == 6"}, "at least 20 are needed"),
    ],
)
def test_why_no_course_can_be_fitted_is_told(given, message):
    with pytest.raises(simtrials.DeclarationError) as error:
        simtrials.fit_course("antidepressant_trial", **(REAL | given))
    assert message in str(error.value)


def test_course_writes_its_files_and_the_terminal_keeps_to_its_width(tmp_path):
    words = ["--score", "hamd17", "--baseline", "hamd17_baseline", "--week", "visit", "--weeks", "1,2,4,6", "--scale", "HAM-D17"]
    done = call("course", "antidepressant_trial", *words, "--out", "fit", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert {path.name for path in (tmp_path / "fit").iterdir()} == {"course.toml", "fit.csv", "course.svg", "course.png"}
