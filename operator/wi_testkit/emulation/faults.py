"""Scripted faults: what goes wrong, for which requests, how often.

A fault has the same JSON shape on both emulators:

- for which requests: ``realm`` (tenant id, or vault name), ``name`` (client id, or secret name), ``operation``,
  ``authenticated`` (true: only requests that carry an assertion or a token; false: only those that do not); what is left
  out means any;
- how often: ``times`` (then never again; left out: until removed), ``probability`` with ``seed``;
- what happens: ``delay`` (seconds before anything else); then an answer of ``code`` (with ``variant``) or of ``status``,
  ``headers``, ``body``, else the natural one (``headers`` alone changes its headers); then ``transport``, which says how
  that answer is spoilt on its way, with ``bytes`` (oversize) and ``interval`` (seconds between two bytes of a drip).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wi_testkit.emulation.admin import RuleError

TRANSPORTS = ("hang", "reset", "resetBody", "truncate", "garbage", "oversize", "drip")
OVERSIZE = 8 * 1024 * 1024
INTERVAL = 0.2

# Tells whether a code can be scripted, and whether it comes before the caller is known.
KnownCode = Callable[[str], bool]


@dataclass(frozen=True)
class Target:
    """What a request is about, in the words of a fault. Names are in lower case."""

    realm: str
    name: str = ""
    operation: str = ""
    authenticated: bool = False


@dataclass(kw_only=True)
class Fault:
    """One fault, and how often it has happened."""

    identifier: str
    realm: str = ""
    name: str = ""
    operation: str = ""
    authenticated: bool | None = None
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    delay: float = 0.0
    code: str = ""
    variant: int = 0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    transport: str = ""
    size: int = OVERSIZE
    interval: float = INTERVAL
    fired: int = 0
    removed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  the same seed gives the same requests

    @property
    def scripted(self) -> bool:
        """Tell whether the answer is written in the fault, so that the emulator is not asked at all."""
        return self.status is not None or self.body is not None

    def concerns(self, target: Target) -> bool:
        """Tell whether the request is one of those that are meant."""
        pairs = ((self.realm, target.realm), (self.name, target.name), (self.operation, target.operation))
        chosen = self.authenticated is None or self.authenticated == target.authenticated
        return chosen and all(not wanted or wanted == found for wanted, found in pairs)

    def happens(self) -> bool:
        """Decide whether it happens to a request that it concerns, and count."""
        if self.times is not None and self.fired >= self.times:
            return False
        if self._random.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """Return what an administrator sees."""
        hidden = {"identifier", "removed", "size"}
        shown = {key: value for key, value in vars(self).items() if key not in hidden and not key.startswith("_")}
        return {"id": self.identifier, "bytes": self.size, **shown}


class Faults:
    """The faults of an emulator, oldest first; the first one that happens decides."""

    def __init__(self, known: KnownCode, early: frozenset[str] = frozenset()) -> None:
        self._known = known
        self._early = early
        self._count = 0
        self.all: dict[str, Fault] = {}

    def add(self, body: Mapping[str, Any]) -> Fault:
        """Read a fault and let it happen from now on; raises RuleError for one that cannot be."""
        fault = fault_from(body, f"fault-{self._count + 1}")
        if fault.code and not self._known(fault.code):
            raise RuleError(f"code {fault.code} is unknown; GET /_admin/codes has all of them")
        # A code is an answer to somebody: clients that first ask without a token must get their challenge.
        if fault.code and fault.authenticated is None and fault.code not in self._early:
            fault.authenticated = True
        self._count += 1
        self.all[fault.identifier] = fault
        return fault

    def remove(self, identifier: str) -> None:
        """Remove a fault; requests that it keeps hanging are reset."""
        fault = self.all.pop(identifier, None)
        if fault is None:
            raise RuleError(f"there is no fault {identifier!r}", 404)
        fault.removed.set()

    def clear(self) -> None:
        """Remove all faults."""
        for identifier in list(self.all):
            self.remove(identifier)

    def pick(self, target: Target) -> Fault | None:
        """Return the fault that happens to a request."""
        return next((fault for fault in self.all.values() if fault.concerns(target) and fault.happens()), None)


TYPES: dict[str, tuple[type, ...]] = {
    "realm": (str,), "name": (str,), "operation": (str,), "authenticated": (bool, type(None)),
    "times": (int, type(None)), "probability": (int, float), "seed": (int,), "delay": (int, float),
    "code": (str, int), "variant": (int,), "status": (int, type(None)), "headers": (dict,),
    "body": (str, dict, list, type(None)), "transport": (str,), "bytes": (int,), "interval": (int, float),
}  # fmt: skip


def fault_from(body: Mapping[str, Any], identifier: str) -> Fault:
    """Read a fault; a typo must not pass for a fault that never happens."""
    for key, value in body.items():
        if key not in TYPES or not isinstance(value, TYPES[key]):
            raise RuleError(f"{key!r}: {value!r} is not as a fault has it; its members are {', '.join(TYPES)}")
    fields = {"size" if key == "bytes" else key: value for key, value in body.items()}
    fields |= {key: str(fields.get(key, "")).lower() for key in ("realm", "name")}
    fault = Fault(identifier=identifier, **{**fields, "code": str(fields.get("code", ""))})
    if fault.transport and fault.transport not in TRANSPORTS:
        raise RuleError(f"transport is one of {', '.join(TRANSPORTS)}")
    if fault.code and fault.body is not None:
        raise RuleError("an answer has a code or a body, not both")
    if not 0 < fault.probability <= 1 or fault.delay < 0 or (fault.times is not None and fault.times < 1):
        raise RuleError("probability is above 0 and at most 1, delay at least 0, times at least 1")
    return fault
