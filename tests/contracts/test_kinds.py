"""Every registered kind keeps the promises of a component."""

import json

import examples
import jsonschema
import pytest
from pydantic import ValidationError

import simtrials.engine.files  # noqa: F401
from simtrials.core.registry import Registry
from simtrials.engine.files import is_evidence, parse_toml, shipped_scenarios
from simtrials.engine.schema import evidence_schema, scenario_schema

EVERY = [(slot, declared) for slot, many in examples.EXAMPLES.items() for declared in many]
IDS = [f"{slot}-{examples.kind_of(declared)}" for slot, declared in EVERY]


def test_every_kind_has_an_example():
    known = {(slot, kind) for slot, registry in Registry.slots.items() for kind in registry}
    shown = {(slot, declared["kind"]) for slot, declared in EVERY}
    assert known == shown


@pytest.mark.parametrize(("slot", "declared"), EVERY, ids=IDS)
def test_a_component_equals_what_its_dump_declares(slot, declared):
    made = examples.component(slot, declared)
    again = examples.component(slot, json.loads(made.model_dump_json()))
    assert again == made


@pytest.mark.parametrize(("slot", "declared"), EVERY, ids=IDS)
def test_a_component_is_frozen_and_takes_no_unknown_field(slot, declared):
    made = examples.component(slot, declared)
    with pytest.raises(ValidationError):
        made.kind = "other"
    with pytest.raises(ValidationError):
        examples.component(slot, declared | {"unheard_of": 1})


@pytest.mark.parametrize(("slot", "declared"), EVERY, ids=IDS)
def test_a_component_does_not_take_text_for_a_number(slot, declared):
    for field, value in declared.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            with pytest.raises(ValidationError):
                examples.component(slot, declared | {field: str(value)})


@pytest.mark.parametrize("slot", sorted(Registry.slots))
def test_every_field_of_every_kind_is_described(slot):
    registry = Registry.slots[slot]
    for kind in registry:
        assert (registry[kind].__doc__ or "").strip(), kind
        for name, field in registry[kind].model_fields.items():
            assert name == "kind" or field.description, f"{slot}.{kind}.{name} has no description"


def test_shipped_scenarios_keep_the_json_schema():
    schemas = {True: evidence_schema(), False: scenario_schema()}
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for name, path in shipped_scenarios().items():
        raw = parse_toml(path)
        faults = list(jsonschema.Draft202012Validator(schemas[is_evidence(raw)]).iter_errors(raw))
        assert not faults, f"{name}: {faults[0].message}"


def test_the_json_schema_refuses_an_unknown_kind():
    tables = examples.scenario_tables()
    tables["analyses"]["severity"]["kind"] = "ancvoa"
    assert list(jsonschema.Draft202012Validator(scenario_schema()).iter_errors(tables))


def test_two_kinds_of_one_slot_cannot_share_a_name():
    from typing import Literal

    from simtrials.trial.endpoints import ENDPOINTS, Endpoint

    class Other(Endpoint):
        kind: Literal["binary"] = "binary"

    with pytest.raises(TypeError, match="two kinds"):
        ENDPOINTS.register(Other)
