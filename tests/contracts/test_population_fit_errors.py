"""A fit to a user's file says what is wrong, where, and what would help; what it leaves out it counts."""

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest

from simtrials.core.errors import DeclarationError, SimtrialsError
from simtrials.engine.population_fit import fit_population

RNG_SEED = 20260301


def patients(n=80, **columns):
    """A small table of patients; columns replace or add to the usual ones."""
    rng = np.random.default_rng(RNG_SEED)
    bmi = rng.normal(29, 6, n).round(1)
    table = {
        "crp_mg_l": np.exp(0.8 + 0.06 * (bmi - 29) + rng.normal(0, 1, n)).round(2) + 0.01,
        "bmi_kg_m2": bmi,
        "age_years": rng.integers(18, 66, n),
        "sex": rng.choice(["female", "male"], n, p=[0.6, 0.4]),
        "weight": rng.uniform(0.5, 2, n).round(3),
        "stratum": np.arange(n) % 4,
        "cluster": np.arange(n) // 4 % 3,
        "center": np.where(np.arange(n) % 3 == 0, "a", "b"),
    }
    return pd.DataFrame({**table, **columns})


@pytest.fixture
def fit(tmp_path):
    """Fit to a table, through a CSV file."""

    def fitted(table, **options):
        path = tmp_path / "clinic.csv"
        table.to_csv(path, index=False)
        return fit_population(path, **options)

    return fitted


def refused(fit, table, **options):
    """The text of the error that a fit ends with."""
    with pytest.raises(DeclarationError) as caught:
        fit(table, **options)
    text = str(caught.value)
    assert "nan" not in text.replace("nanogram", "")
    return text


def with_values(values, n=80):
    """CRP of the usual patients with the first ones replaced."""
    crp = patients(n)["crp_mg_l"].astype(object)
    crp[: len(values)] = values
    return crp


def test_every_name_that_is_no_column_is_told_at_once_with_the_nearest_one(fit):
    text = refused(fit, patients(), crp="crp_mgl", weights="wieght", strata="strata", clusters="clusters", columns=["bmi", "sexx"], where="age > 30")
    assert text.startswith("the fit to")
    assert "has 7 problems" in text
    for place, near in (("crp", "crp_mg_l"), ("weights", "weight"), ("strata", "stratum"), ("clusters", "cluster"), ("columns[1]", "sex")):
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{place}:"))
        assert f"did you mean {near!r}?" in line
    assert "where: no column called 'age'" in text


def test_wrong_words_and_numbers_of_the_call_are_told_at_once(fit):
    text = refused(fit, patients(), kind="gausian_copula", marginals="quantile", limit_of_detection=-1, cuts=[2, 0], seed=-4)
    assert "has 5 problems" in text
    assert "did you mean 'gaussian_copula'?" in text
    assert "did you mean 'quantiles'?" in text
    assert "limit_of_detection: must be a finite number of mg/L greater than 0, got -1" in text


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("age_years >", "is no formula"),
        ("age_years + 3", "is not a condition"),
        ("sex >= 2", "takes a category for a number; its levels are female, male"),
        ("sex == 'woman'", "no level 'woman'"),
        ("__import__('os')", "the functions are ln(x), sqrt(x) and abs(x)"),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused(fit, where, says):
    text = refused(fit, patients(), where=where)
    assert "  where: " in text
    assert says in text


def test_a_missing_file_and_an_empty_one_are_told_without_a_traceback(tmp_path):
    with pytest.raises(SimtrialsError, match="no file"):
        fit_population(tmp_path / "nowhere.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(SimtrialsError, match=r"cannot read empty\.csv"):
        fit_population(tmp_path / "empty.csv")
    (tmp_path / "head.csv").write_text("crp_mg_l,sex\n")
    with pytest.raises(DeclarationError, match=r"no row of head\.csv is left of 0: the file has no rows"):
        fit_population(tmp_path / "head.csv")


def test_crp_that_is_no_number_is_named_with_what_would_help(fit):
    text = refused(fit, patients(crp_mg_l=with_values(["unknown", "3.2"])))
    assert "crp: 'crp_mg_l' must hold numbers" in text
    assert "found 'unknown'" in text
    assert "leave a cell without a number empty" in text
    assert "write decimals with a point" in refused(fit, patients(crp_mg_l=with_values(["3,2", "0,4"])))


def test_negative_and_infinite_crp_are_refused_and_counted(fit):
    text = refused(fit, patients(crp_mg_l=with_values([-9, -9, -8])), limit_of_detection=0.2)
    assert "must not be negative; 3 rows are, down to -9; leave an unknown value empty, or keep rows with 'crp_mg_l > 0' in where" in text
    assert fit(patients(crp_mg_l=with_values([-9, -9, -8])), where="crp_mg_l > 0").n == 77
    assert "must be finite; 1 row is infinite" in refused(fit, patients(crp_mg_l=with_values([np.inf])))


def test_crp_of_zero_needs_a_limit_of_detection_and_then_counts_as_below_it(fit):
    table = patients(crp_mg_l=with_values([0, 0, 0]))
    assert "must be greater than 0; 3 rows are 0, which lies below any limit of detection; give limit_of_detection" in refused(fit, table)
    found = fit(table, limit_of_detection=0.05)
    assert (found.n_below, found.limit) == (3, 0.05)


def test_cells_such_as_below_a_number_are_read_as_censored_there(fit):
    found = fit(patients(crp_mg_l=with_values(["<0.2", "< 0.2", "<=0.2"])))
    assert found.n_below >= 3
    assert found.limit == 0.2
    assert any("lie below the limit of detection, 0.2 mg/L, and count as censored" in note for note in found.notes)
    assert fit(patients(crp_mg_l=with_values(["<0.2", "<0.5"]))).limit == 0.5


def test_values_at_the_limit_are_censored_unless_flags_say_which_are(fit):
    table = patients(crp_mg_l=with_values([0.2, 0.2, 0.2, 0.2])).assign(below=0)
    table.loc[:1, "below"] = 1
    lower = int((table["crp_mg_l"] < 0.2).sum())
    assert fit(table, limit_of_detection=0.2).n_below == 4 + lower
    assert fit(table, limit_of_detection=0.2, below_limit="below").n_below == 2 + lower


def test_a_flagged_empty_cell_is_below_the_limit_and_not_missing(fit):
    table = patients(crp_mg_l=with_values([None, None, None])).assign(below=0)
    table.loc[:1, "below"] = 1
    found = fit(table, limit_of_detection=0.01, below_limit="below")
    assert (found.n, found.n_below) == (79, 2)
    assert {reason.reason: reason.n for reason in found.left_out} == {"lack crp_mg_l": 1}


def test_flags_without_a_limit_are_refused_with_the_lowest_value_that_is_not_flagged(fit):
    table = patients(crp_mg_l=with_values([0.07, 0.07])).assign(below=0)
    table.loc[:1, "below"] = 1
    lowest = table["crp_mg_l"][2:].astype(float).min()
    text = refused(fit, table, below_limit="below")
    assert "limit_of_detection: 2 rows are flagged as below the limit of detection; say what the limit is" in text
    assert f"(the lowest value that is not flagged is {lowest:g} mg/L)" in text


def test_flags_that_contradict_the_values_or_are_no_flags_are_refused(fit):
    table = patients(crp_mg_l=with_values([7.5, 0.01])).assign(below=0, words="no")
    table.loc[:1, "below"] = 1
    text = refused(fit, table, below_limit="below", limit_of_detection=0.2)
    assert "below_limit: 1 row is flagged as below the limit of detection, 0.2 mg/L, with a value above it, such as 7.5" in text
    for column in ("words", "age_years"):
        assert f"below_limit: {column!r} must hold 1 where the value is below" in refused(fit, table, below_limit=column, limit_of_detection=0.2)


def test_crp_that_hardly_varies_is_refused(fit):
    assert "'crp_mg_l' has 1 different value in the rows used" in refused(fit, patients(crp_mg_l=2.0))
    assert "0 different values above the limit of detection, 300 mg/L" in refused(fit, patients(), limit_of_detection=300)
    assert "has 1 different value" in refused(fit, patients(crp_mg_l=2.0), kind="resampled")


def test_a_filter_that_nobody_passes_says_where_the_rows_went(fit):
    table = patients(age_years=[None] * 10 + [30] * 70)
    text = refused(fit, table, where="age_years > 80")
    assert "  where: no row of" in text
    assert "is left of 80: 10 lack age_years, which the filter looks at; 70 do not pass the filter" in text


def test_too_few_rows_for_a_copula_are_refused_and_resampling_offered(fit):
    text = refused(fit, patients(19))
    assert "data: 19 rows are left, too few to fit a gaussian_copula (at least 20); use kind = 'resampled', which draws the rows themselves" in text
    assert "  where: 15 rows" in refused(fit, patients(), where="age_years < 26")
    assert fit(patients(19), kind="resampled").population.kind == "resampled"
    assert fit(patients(20)).population.kind == "gaussian_copula"
    assert "one row of" in refused(fit, patients(80).head(1), kind="resampled")


def test_an_almost_empty_column_is_refused_with_the_count(fit):
    text = refused(fit, patients(bmi_kg_m2=[28.0, 31.0, 27.5] + [None] * 77))
    assert "columns: 3 rows have every column, at least 20 are needed (77 lack bmi_kg_m2); leave out the emptiest" in text


def test_a_column_that_does_not_vary_is_refused_when_asked_for_and_left_out_with_a_note_otherwise(fit):
    table = patients(sex="female")
    assert "columns[0]: 'sex' has only the level 'female' in the rows used; leave it out" in refused(fit, table, columns=["sex"])
    found = fit(table)
    assert "sex" not in found.declared["covariates"]
    assert any("sex is not part of the population: it has only the level 'female'" in note for note in found.notes)
    assert found.regression is None
    assert any("no regression of ln CRP: it needs at least 5 women and 5 others, the rows used have 80 and 0" in note for note in found.notes)
    assert "'age_years' has only the value 40 in the rows used" in refused(fit, patients(age_years=40), columns=["age_years"])
    assert "'name' has 80 different texts, and a category has at most 20" in refused(
        fit, patients(name=[f"p{i}" for i in range(80)]), columns=["name"]
    )
    assert "is empty in the rows used" in refused(fit, patients(bmi_kg_m2=None), columns=["bmi_kg_m2"])


def test_weights_must_be_numbers_of_at_least_zero_and_rows_without_one_are_counted(fit):
    weight = patients()["weight"].astype(object)
    assert "weights: 'center' must hold numbers, found texts such as 'a'" in refused(fit, patients(), weights="center")
    weight[0] = -1
    assert "must hold finite numbers of at least 0; 1 rows do not, the first has -1" in refused(fit, patients(weight=weight), weights="weight")
    weight[0], weight[1], weight[2] = None, 0, 0
    found = fit(patients(weight=weight), weights="weight")
    assert {reason.reason: reason.n for reason in found.left_out} == {"lack weight": 1, "have a weight of 0": 2}
    assert found.n == 77
    assert "no row of" in refused(fit, patients(weight=0), weights="weight")


def test_a_stratum_with_one_cluster_is_said_and_errs_on_the_large_side(fit):
    table = patients()
    table["lonely"] = np.where(np.arange(80) < 4, 9, table["stratum"])
    found = fit(table, strata="lonely", clusters="cluster")
    assert any("1 stratum has a single cluster, which is compared with the mean of all clusters" in note for note in found.notes)
    assert all(row.share.std_error > 0 for row in found.prevalences)


def test_one_cluster_gives_no_error_and_is_refused(fit):
    assert "clusters: 'one' has one cluster; a sampling error needs at least two" in refused(fit, patients(one=1), clusters="one")


def test_rows_without_a_stratum_are_counted(fit):
    found = fit(patients(stratum=[None, None, *([1.0, 2.0] * 39)]), strata="stratum")
    assert {reason.reason: reason.n for reason in found.left_out} == {"lack stratum": 2}


def test_a_regression_that_cannot_be_made_says_why(fit):
    for table, why in (
        (patients().drop(columns="bmi_kg_m2"), "there is no column 'bmi_kg_m2'"),
        (patients(sex=np.where(np.arange(80) % 2, "F", "M")), "'sex' must be a category with a level 'female'"),
        (patients(bmi_kg_m2=np.arange(80) * 1.0, age_years=np.arange(80) * 2.0), "do not vary independently"),
    ):
        assert why in refused(fit, table, kind="crp_regression")
        assert any(why in note for note in fit(table).notes)
    text = refused(fit, patients(), kind="crp_regression", columns=["age_years", "center"])
    assert "kind 'crp_regression' needs 'bmi_kg_m2' among the columns" in text
    assert "has 2 problems" in text


def test_resampling_refuses_values_that_have_no_logarithm_as_they_stand(fit):
    for values in ([0, 0], ["<0.2"]):
        text = refused(fit, patients(crp_mg_l=with_values(values)), kind="resampled", limit_of_detection=0.05)
        assert "'resampled' draws the rows as they stand" in text
        assert "use kind = 'gaussian_copula', or store limit / sqrt(2) in the file" in text


def test_a_share_that_the_limit_hides_is_empty_with_its_reason_and_nothing_is_nan(fit):
    found = fit(patients(), limit_of_detection=1.5)
    shares = {row.cut: row.share.data for row in found.prevalences}
    assert shares[1.0] is None
    assert shares[2.0] is not None
    told = " ".join(found.summary().split())
    assert "—: the data cannot tell who has 1 mg/L or more, as the limit of detection is 1.5 mg/L." in told
    assert "nan" not in found.summary()
    assert "nan" not in found.toml()
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_small_or_oddly_scaled_sample_is_told(fit):
    assert any("carry the information of" in note for note in fit(patients(30)).notes)
    in_mg_dl = patients().assign(crp_mg_l=lambda table: (table["crp_mg_l"] / 20).round(4))
    assert any("CRP in mg/L is usually 0.5 to 10 (1 mg/dL is 10 mg/L)" in note for note in fit(in_mg_dl).notes)


def test_one_column_may_be_named_without_a_list_and_crp_is_no_covariate_of_itself(fit):
    assert list(fit(patients(), columns="age_years").declared["covariates"]) == ["crp_mg_l", "age_years"]
    alone = fit(patients(), columns=["crp_mg_l"])
    assert list(alone.declared["covariates"]) == ["crp_mg_l"]
    assert "correlation" not in alone.declared
    assert alone.associations == ()


def test_a_parquet_file_gives_the_same_fit_as_a_csv_file(fit, tmp_path):
    table = patients()
    table.to_parquet(tmp_path / "clinic.parquet")
    first, second = fit(table), fit_population(tmp_path / "clinic.parquet")
    assert first.declared == second.declared


def test_hostile_names_of_columns_and_levels_survive_the_block(fit):
    import tomllib

    odd = 'severity "at start" [0-4] \\ é'
    table = patients().assign(**{odd: np.arange(80) % 5})
    table["sex"] = np.where(np.arange(80) % 2, 'say "x"', "new\tline ü")
    table["a.b c"] = np.arange(80) * 0.37
    found = fit(table, columns=[odd, "sex", "a.b c"])
    assert tomllib.loads(found.toml())["population"] == found.declared


@pytest.mark.parametrize("seed", range(4))
def test_any_small_table_ends_in_a_fit_or_a_told_error(fit, seed):
    rng = np.random.default_rng([RNG_SEED, seed])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            n = int(rng.integers(1, 60))
            table = patients(n)
            for name in ("crp_mg_l", "bmi_kg_m2", "sex", "weight", "stratum"):
                hole = rng.random(n) < rng.choice([0, 0.3, 0.95])
                table[name] = table[name].astype(object).where(~hole, None)
            table["crp_mg_l"] = table["crp_mg_l"].where(rng.random(n) > 0.1, 0)
            options = {
                "limit_of_detection": rng.choice([None, 0.3, 3.0]),
                "weights": rng.choice([None, "weight"]),
                "strata": rng.choice([None, "stratum"]),
            }
            options["kind"] = str(rng.choice(["gaussian_copula", "crp_regression", "resampled"]))
            options["marginals"] = str(rng.choice(["quantiles", "parametric"]))
            try:
                found = fit(table, **options)
            except SimtrialsError:
                continue
            json.dumps(found.to_dict(), allow_nan=False)
            assert all(math.isfinite(row.share.fitted) for row in found.prevalences)
            assert max(len(line) for line in found.summary().splitlines()) <= 80
