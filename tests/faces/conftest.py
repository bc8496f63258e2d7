"""Runs that the tests of the faces share: made once, never changed."""

import pytest
from faces import runs


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="session")
def questions(folder):
    return runs.made(folder, **runs.question_tables())


@pytest.fixture(scope="session")
def crowded(folder):
    return runs.made(folder, **runs.crowded_tables())


@pytest.fixture(scope="session")
def plain(folder):
    return runs.made(folder, **runs.plain_tables())


@pytest.fixture(scope="session")
def three_arms(folder):
    return runs.made(folder, null=False, **runs.three_arm_tables())


@pytest.fixture(scope="session")
def departing(folder):
    return runs.made(folder, null=False, **runs.departing_tables())


@pytest.fixture(scope="session")
def failing(folder):
    return runs.made(folder, **runs.failing_tables())
