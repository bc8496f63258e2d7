"""Random streams, expressions, matrices and outcomes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core import rng as streams_module
from simtrials.core.data import Measurements, Scale
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category, ExpressionError, parse
from simtrials.core.matrices import cholesky, nearest_correlation, not_a_correlation
from simtrials.core.outcomes import OUTCOMES
from simtrials.core.rng import COMPILED, Purpose, Streams, normals, uniforms


def numpy_generator(seed):
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))


@pytest.mark.parametrize(("ours", "method"), [(normals, "standard_normal"), (uniforms, "random")])
def test_draws_are_the_bits_of_numpy(ours, method):
    """Two million numbers, so that every layer of the ziggurat and its tail are met; then the state must be NumPy's as well."""
    assert COMPILED, "numba no longer has the tables, so NumPy draws itself; the kernels are never used"
    mine, theirs = numpy_generator(5), numpy_generator(5)
    drawn = ours(mine, (256, 8192))
    assert_array_equal(drawn, getattr(theirs, method)((8192, 256)).T)
    if method == "standard_normal":
        assert np.abs(drawn).max() > 4.5
    assert mine.bit_generator.state["state"]["state"].tolist() == theirs.bit_generator.state["state"]["state"].tolist()


def test_draws_are_the_same_without_compiled_kernels(monkeypatch):
    compiled = normals(numpy_generator(1), (4, 50, 3))
    monkeypatch.setattr(streams_module, "COMPILED", False)
    assert_array_equal(normals(numpy_generator(1), (4, 50, 3)), compiled)


def test_patients_are_the_slow_axis():
    assert_array_equal(normals(numpy_generator(1), (4, 50))[:, :20], normals(numpy_generator(1), (4, 20)))


def test_a_stream_is_keyed_by_its_name():
    streams = Streams(1, Purpose.RUN, 0)
    assert streams["a"].random() != streams["b"].random()
    assert Streams(1, Purpose.RUN, 0)["b"].random() == Streams(1, Purpose.RUN, 0)["b"].random()


COLUMNS = {
    "crp": np.array([0.5, 3.0, 12.0]),
    "age": np.array([20.0, 40.0, 70.0]),
    "sex": Category(np.array([0, 1, 0]), ("female", "male")),
    "madrs.screening": np.array([10.0, 25.0, 40.0]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crp >= 3", [False, True, True]),
        ("3 <= crp <= 10", [False, True, False]),
        ("18 <= age < 65 and sex == 'female'", [True, False, False]),
        ("sex in ['male'] or crp > 10", [False, True, True]),
        ("sex not in ['male']", [True, False, True]),
        ("not (crp > 1)", [True, False, False]),
        ("sex != 'female'", [False, True, False]),
        ("madrs.screening / 5 == 5", [False, True, False]),
        ("abs(crp - 3) < 0.1", [False, True, False]),
    ],
)
def test_conditions(text, expected):
    assert parse(text).truth(COLUMNS).tolist() == expected


def test_numbers():
    assert_allclose(
        parse("ln(crp) + sqrt(age) * 2 - crp ** 2 / 4").evaluate(COLUMNS),
        np.log(COLUMNS["crp"]) + np.sqrt(COLUMNS["age"]) * 2 - COLUMNS["crp"] ** 2 / 4,
    )
    assert parse("sex").evaluate(COLUMNS) is COLUMNS["sex"]
    assert parse("ln(crp) * madrs.screening").names == {"crp", "madrs.screening"}


HOSTILE = [
    "__import__('os').system('ls')",
    "crp.__class__",
    "().__class__.__bases__",
    "lambda: 1",
    "[x for x in crp]",
    "{'a': crp}",
    "crp if age else sex",
    "f'{crp}'",
    "crp[0]",
    "print(crp)",
    "exec('1')",
    "crp := 3",
    "crp; age",
    "import os",
    "ln(crp, 2)",
    "ln(x=crp)",
    "sqrt",
    "crp @ age",
    "crp << 2",
    "~crp",
    "crp is None",
    "True",
    "None",
    "...",
    "b'x'",
    "1j",
    "crp" + " + crp" * 150,
    "crp " * 200,
    "",
    "@pandas.io.common.os.system('ls')",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_not_on_the_list_is_refused(text):
    with pytest.raises(ExpressionError):
        parse(text).evaluate(COLUMNS)


def test_a_power_tower_ends_at_infinity_at_once():
    assert np.isinf(parse("9**9**9**9").evaluate({}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sex > 1", "takes a category for a number"),
        ("sex == 1", "compares a category with a number"),
        ("sex == 'femal'", "did you mean 'female'"),
        ("crp == 'high'", "takes the text 'high' for a number"),
        ("cpr > 1", "no column called 'cpr' in 'cpr > 1'; did you mean 'crp'"),
        ("crp and age", "is not a condition"),
        ("crp in 3", "write a list after 'in'"),
    ],
)
def test_a_wrong_comparison_says_what_is_wrong(text, message):
    with pytest.raises(ExpressionError, match=message.replace("(", r"\(")):
        parse(text).evaluate(COLUMNS)


def test_higham_example_has_its_published_nearest_correlation():
    """Higham 2002, section 4: for [[1, 1, 0], [1, 1, 1], [0, 1, 1]] the nearest correlation matrix has .7607 and .1573."""
    near = nearest_correlation(np.array([[1.0, 1, 0], [1, 1, 1], [0, 1, 1]]), smallest=0.0)
    assert_allclose(near, [[1, 0.7607, 0.1573], [0.7607, 1, 0.7607], [0.1573, 0.7607, 1]], atol=5e-5)


def test_the_offered_matrix_is_a_correlation_matrix_even_with_three_digits():
    bad = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    assert "nearest valid matrix" in str(not_a_correlation(bad, "abc"))
    assert not_a_correlation(np.round(nearest_correlation(bad), 3), "abc") is None


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(2), "3 by 3"),
        (np.array([[1, 0.5, 0], [0.4, 1, 0], [0, 0, 1]]), "symmetric: a with b"),
        (np.array([[1, 1.5, 0], [1.5, 1, 0], [0, 0, 1]]), r"a and b must be in \[-1, 1\]"),
        (np.array([[0.9, 0, 0], [0, 1, 0], [0, 0, 1]]), "a with itself must be 1"),
        (np.array([[1, np.nan, 0], [np.nan, 1, 0], [0, 0, 1]]), "a and b"),
    ],
)
def test_a_matrix_that_is_no_correlation_matrix_is_told_why(matrix, message):
    import re

    assert re.search(message, str(not_a_correlation(matrix, "abc")))


def test_cholesky_of_a_singular_matrix_reproduces_it():
    loading = np.array([[1.0, 0.0], [0.5, 1.0], [2.0, -1.0]])
    covariance = loading @ loading.T
    factor = cholesky(covariance)
    assert_allclose(factor @ factor.T, covariance, atol=1e-12)
    assert_allclose(cholesky(np.diag([4.0, 9.0])), np.diag([2.0, 3.0]))


def measured(scale, baseline, *scores):
    value = np.array(scores, dtype=float).T[np.newaxis]
    weeks = tuple(float(week) for week in range(1, len(scores) + 1))
    return Measurements(weeks, value, ~np.isnan(value), np.array([baseline], dtype=float), None, scale, scale.improves)


MADRS, SHAPS, RISING = Scale("MADRS", 0, 60, 10), Scale("SHAPS", 14, 56, None), Scale("DARS", 0, 68, 60, "up")


def outcome(name, data, week):
    return OUTCOMES[name].read(data, week)[0].tolist()


def test_response_is_half_of_the_baseline_and_not_a_point_less():
    assert outcome("response", measured(MADRS, [30, 30, 31, 0], [15, 16, 15, 0]), 1.0) == [1.0, 0.0, 1.0, 1.0]


def test_response_subtracts_the_minimum_of_the_scale_first():
    """SHAPS 40 is 26 above its minimum of 14; half of that is a score of 27, not of 20."""
    assert outcome("response", measured(SHAPS, [40, 40, 40], [27, 28, 20]), 1.0) == [1.0, 0.0, 1.0]


def test_on_a_rising_scale_response_halves_the_distance_from_the_top():
    assert outcome("response", measured(RISING, [28, 28], [48, 47]), 1.0) == [1.0, 0.0]
    assert outcome("remission", measured(RISING, [28, 28], [60, 59]), 1.0) == [1.0, 0.0]


def test_remission_is_at_or_below_the_cut():
    assert outcome("remission", measured(MADRS, [30, 30], [10, 11]), 1.0) == [1.0, 0.0]


def test_sustained_response_needs_both_visits():
    data = measured(MADRS, [30, 30, 30], [15, 20, 10], [15, 10, 20])
    assert outcome("sustained_response", data, 2.0) == [1.0, 0.0, 0.0]


def test_change_and_percent_change():
    data = measured(SHAPS, [40, 14], [27, 20])
    assert outcome("change", data, 1.0) == [-13.0, 6.0]
    first, second = outcome("percent_change", data, 1.0)
    assert first == -50.0
    assert np.isnan(second)


def test_missing_scores_stay_missing():
    for name in ("response", "remission", "change", "percent_change", "score"):
        assert np.isnan(outcome(name, measured(MADRS, [30], [np.nan]), 1.0)[0]), name


def test_an_error_lists_every_problem():
    error = DeclarationError([Problem("a.b", "must hold"), Problem("", "is empty")], "file.toml")
    assert str(error) == "file.toml has 2 problems\n  a.b: must hold\n  is empty"
    assert did_you_mean("ancvoa", ["ancova", "t_test"]) == "; did you mean 'ancova'?"
    assert did_you_mean("zzz", ["a", "b"]) == "; known: a, b"
