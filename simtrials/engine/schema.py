"""The JSON Schemas of scenarios, put together from the registries."""

from typing import Any

from simtrials.core.registry import SLOT, Registry
from simtrials.engine.declared import Declared
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.scenario import Scenario


def scenario_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the scenario file of a trial; each slot is a definition that lists its kinds."""
    return _schema_of(Scenario)


def evidence_schema() -> dict[str, Any]:
    """The same of the scenario file of bodies of evidence."""
    return _schema_of(EvidenceScenario)


def _schema_of(model: type[Declared]) -> dict[str, Any]:
    schema = model.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    definitions |= _slots()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_resolved(schema)}


def _slots() -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    for slot, registry in Registry.slots.items():
        choices = []
        for kind in registry:
            own = registry[kind].model_json_schema()
            definitions |= own.pop("$defs", {})
            if registry.default != kind:
                own.setdefault("required", []).insert(0, "kind")
            own["properties"]["kind"] = {"const": kind}
            definitions[f"{slot}.{kind}"] = own
            choices.append({"$ref": f"#/$defs/{slot}.{kind}"})
        definitions[slot] = {"anyOf": choices}
    return definitions


def _resolved(value: Any) -> Any:
    """The placeholders of slots replaced by references to their definitions; a default beside them stays."""
    if isinstance(value, dict):
        rest = {key: _resolved(item) for key, item in value.items() if key != SLOT}
        return rest | {"$ref": f"#/$defs/{value[SLOT]}"} if SLOT in value else rest
    return [_resolved(item) for item in value] if isinstance(value, list) else value
