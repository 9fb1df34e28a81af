"""What both kinds share: strict models, conditions, the handshake record, and how a kind is described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

RFC3339 = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
HttpsOrigin = Annotated[
    str, Field(pattern=r"^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/?$", max_length=253)
]
"""https, a host, perhaps a port (which must be on the allow-list), at most one trailing slash."""


class Strict(BaseModel):
    """A model whose JSON is camelCase and has no unknown field; ``rules`` become CEL rules of its schema."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, frozen=True)
    rules: ClassVar[tuple[Rule, ...]] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule and the text that tells what to write."""

    expression: str
    message: str


class ConditionModel(Strict):
    """``metav1.Condition``."""

    type: Annotated[str, Field(max_length=316)] = Field(description="Type of the condition, in CamelCase.")
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})] = Field(
        description="True, False or Unknown."
    )
    observed_generation: int | None = Field(default=None, ge=0, description="Generation that the condition speaks of.")
    last_transition_time: RFC3339 = Field(description="When the status last changed.")
    reason: Annotated[
        str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", min_length=1, max_length=1024)
    ] = Field(description="Why, in one CamelCase word; explained in the troubleshooting page.")
    message: Annotated[str, Field(max_length=32768)] = Field(description="What happened and what to do.")


Conditions = Annotated[
    list[ConditionModel],
    Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


class Handshake(Strict):
    """The record of handshakes with the cloud; written on transitions and asked tests, not at every check."""

    observed_test_request: str = Field(
        default="", max_length=256, description="Last value of the test-connection annotation served."
    )
    last_transition_time: RFC3339 | None = Field(default=None, description="When success turned to failure or back.")
    last_success_time: RFC3339 | None = Field(
        default=None, description="A successful handshake; not every one is recorded."
    )
    consecutive_failures: int = Field(default=0, ge=0, description="Failures in a row; 0 after a success.")
    error_code: str = Field(default="", max_length=64, description="The cloud's code of the current failure.")
    trace_id: str = Field(default="", max_length=64, description="The cloud's trace id of the first failure in a row.")
    correlation_id: str = Field(default="", max_length=64, description="The cloud's correlation id of that failure.")


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column of ``kubectl get``; priority 1 shows with ``-o wide`` only."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """All that ``schema.render_crd`` needs."""

    kind: str
    plural: str
    short_name: str
    description: str
    spec: type[Strict]
    status: type[Strict]
    columns: tuple[PrinterColumn, ...]
