"""Conditions as Kubernetes means them: transition time moves with the status only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wi_operator.api import names, reasons

MESSAGE_LIMIT = 32768
"""Characters; ``metav1.Condition`` allows no more."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One judged condition; ``status`` is ``True``, ``False`` or ``Unknown``."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ConditionType:
    """What a condition type stands for, in the words of the reference; ``on`` names the kinds."""

    name: str
    on: tuple[str, ...]
    proven: str
    otherwise: str


TYPES: tuple[ConditionType, ...] = (
    ConditionType(
        reasons.ISSUER_PUBLISHED,
        (names.CONFIG_KIND,),
        "discovery and keys, fetched through the public URL, are what the issuer signs with",
        "a warning while the handshake works: perhaps only the cluster cannot reach its own address",
    ),
    ConditionType(
        reasons.HANDSHAKE_SUCCEEDED,
        (names.CONFIG_KIND, names.CREDENTIAL_KIND),
        "a token was minted, and the cloud gave one of its own for it",
        "follow the reason",
    ),
    ConditionType(
        reasons.CONFIG_RESOLVED,
        (names.CREDENTIAL_KIND,),
        "the credential has exactly one config",
        "correct the reference, or the defaults",
    ),
    ConditionType(
        reasons.VAULT_REACHABLE,
        (names.CREDENTIAL_KIND,),
        "the vault answers and names your tenant",
        "network, name of the vault, tenant",
    ),
    ConditionType(
        reasons.SECRET_READABLE,
        (names.CREDENTIAL_KIND,),
        "`probeSecret` was read",
        "the role on the secret or vault. Without `probeSecret` it is Unknown: nothing is claimed",
    ),
    ConditionType(
        reasons.SECRETS_LISTABLE,
        (names.CREDENTIAL_KIND,),
        "the names were listed (`listSecretNames`)",
        "needs a role on the whole vault; kickoffs do not need it",
    ),
    ConditionType(
        reasons.READY,
        (names.CONFIG_KIND, names.CREDENTIAL_KIND),
        "what the kind needs: the handshake; for a credential also its config and vault, and the secret if `probeSecret` is set",
        "its reason is the first fault; its message lists what was not tested",
    ),
    ConditionType(
        reasons.RECONCILING,
        (names.CONFIG_KIND, names.CREDENTIAL_KIND),
        "not Ready, and the operator goes on trying by itself",
        "absent while Ready",
    ),
    ConditionType(
        reasons.STALLED,
        (names.CONFIG_KIND, names.CREDENTIAL_KIND),
        "not Ready, and it waits for you",
        "absent while Ready",
    ),
)


def find_condition(conditions: Iterable[Mapping[str, Any]], condition_type: str) -> Mapping[str, Any] | None:
    """Return the condition of that type as the API's JSON, or ``None``."""
    return next((condition for condition in conditions if condition.get("type") == condition_type), None)


def merge_conditions(
    previous: Iterable[Mapping[str, Any]], judged: Iterable[Condition], *, generation: int, now: str
) -> list[dict[str, Any]]:
    """Render ``judged`` in order; ``now`` (RFC 3339) is the transition time of those whose status changed.

    A type that is not judged any more disappears (abnormal-true types exist only while true).
    """
    before = {condition.get("type"): condition for condition in previous}
    return [_render(before.get(condition.type), condition, generation=generation, now=now) for condition in judged]


def _render(previous: Mapping[str, Any] | None, condition: Condition, *, generation: int, now: str) -> dict[str, Any]:
    unchanged = previous is not None and previous.get("status") == condition.status
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message[:MESSAGE_LIMIT],
        "observedGeneration": generation,
        "lastTransitionTime": previous.get("lastTransitionTime", now) if previous and unchanged else now,
    }
