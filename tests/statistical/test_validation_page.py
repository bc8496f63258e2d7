"""The page of validation names every row with its exact value, so that it cannot fall behind the checks unseen."""

import pytest
from statistical.make_validation import PAGE, number
from statistical.test_trial_cases import LEFT_OUT, ROWS

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the source distribution has no docs")


def test_the_page_lists_every_row_with_its_exact_value():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for check in ROWS:
        wanted = f"| {check.name} | {check.design} | {number(check.published)} | {number(check.exact)} | {check.method} |"
        assert sum(line.startswith(wanted) for line in lines) == 1, f"run statistical.make_validation: no line starts with {wanted}"


def test_the_page_gives_the_reason_for_every_row_left_out():
    text = PAGE.read_text(encoding="utf-8")
    for row, why in LEFT_OUT.items():
        assert f"| {row} | {why} |" in text
