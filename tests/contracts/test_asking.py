"""Mistakes in the words of the planning commands: what is wrong and what to write instead, before anything is simulated."""

import pytest

from simtrials.cli.plan import fields_of
from simtrials.core.errors import SimtrialsError


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
