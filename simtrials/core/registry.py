"""Slots: open sets of component kinds, looked up by name when a file is read.

A registry is itself a pydantic annotation (``endpoint: Annotated[Endpoint, ENDPOINTS]``): validation, JSON Schema, listings and hints
read it, so a class decorated with ``@ENDPOINTS.register`` is known everywhere as soon as its module is imported.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import core_schema

from simtrials.core.check import Component, fault, faults, shown, told
from simtrials.core.errors import did_you_mean

SLOT = "x-slot"
"""Key of the placeholder that stands in a JSON Schema for any kind of a slot, since a slot may contain itself."""
C = TypeVar("C", bound=Component)
S = TypeVar("S", bound=Component)


class Registry(Generic[C]):
    """One slot: its kinds by name. `noun` is the word errors use; `default` the kind taken when a table names none."""

    slots: ClassVar[dict[str, "Registry[Any]"]] = {}

    def __init__(self, slot: str, noun: str, base: type[C], default: str | None = None) -> None:
        self.slot, self.noun, self.base, self.default = slot, noun, base, default
        self._kinds: dict[str, type[C]] = {}
        Registry.slots[slot] = self

    def register(self, cls: type[S]) -> type[S]:
        """Class decorator: make a kind known under the default of its `kind` field."""
        name = cls.model_fields["kind"].default
        fits: bool = issubclass(cls, self.base)
        if not isinstance(name, str) or not fits:
            raise TypeError(f"{cls.__name__} must be a {self.base.__name__} with a `kind: Literal[...] = ...` field")
        if name in self._kinds and self._kinds[name].__qualname__ != cls.__qualname__:
            raise TypeError(f"two kinds of {self.noun} are called {name!r}")
        kinds: dict[str, Any] = self._kinds
        kinds[name] = cls
        return cls

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._kinds))

    def __getitem__(self, kind: str) -> type[C]:
        return self._kinds[kind]

    def __contains__(self, kind: str) -> bool:
        return kind in self._kinds

    def _validate(self, value: Any) -> C:
        if isinstance(value, self.base):
            return value
        if not isinstance(value, Mapping):
            raise fault(f"expected a table with a kind, got {shown(value)}")
        kind = value.get("kind", self.default)
        if kind is None:
            raise faults([("kind", f"is missing; known: {', '.join(self)}")])
        if not isinstance(kind, str) or kind not in self._kinds:
            raise faults([("kind", f"no {self.noun} called {shown(kind)}{did_you_mean(str(kind), self)}")])
        cls = self._kinds[kind]
        try:
            return cls.model_validate(dict(value))
        except ValidationError as error:
            fields = [name for name in cls.model_fields if name != "kind"]
            raise faults(told(error, fields)) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        dump = core_schema.plain_serializer_function_ser_schema(lambda value: value.model_dump(mode="json"))
        return core_schema.no_info_plain_validator_function(self._validate, serialization=dump)

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {SLOT: self.slot}
