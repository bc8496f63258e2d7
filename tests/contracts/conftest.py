"""A test may register kinds of its own; the next one finds the slots as they were."""

import pytest

from simtrials.core.registry import Registry


@pytest.fixture(autouse=True)
def _slots_as_they_were():
    before = {slot: dict(registry._kinds) for slot, registry in Registry.slots.items()}
    yield
    for slot, registry in Registry.slots.items():
        registry._kinds = before.get(slot, registry._kinds)
