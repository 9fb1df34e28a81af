"""What belongs in a message beside the outcome: ambiguous and changed defaults, an implicit organization. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wi_operator.api import names, reasons
from wi_operator.api.conditions import find_condition
from wi_operator.federation.diagnosis import issuer
from wi_operator.index.objects import Config, Credential, ObjectKey
from wi_operator.index.resolve import ambiguous_default
from wi_operator.index.store import Index

CREDENTIALS_LIMIT = 20
"""Federated credentials of one app. Source: Microsoft Learn, "Workload identity federation considerations"."""
CREDENTIALS_WARNING = 18


def of_config(index: Index, config: Config) -> tuple[str, ...]:
    """Return the remarks of a config's Ready message."""
    notes = _implicit_organization(index, config), _second_default(index, config), _crowded_app(index, config)
    return tuple(note for note in notes if note)


def of_credential(index: Index, credential: Credential) -> tuple[str, ...]:
    """Return the remarks of a credential's Ready message."""
    if not credential.is_default:
        return ()
    others = [other for other in index.credentials_in(credential.key.namespace) if other.is_default]
    if len(others) < 2:
        return ()
    return (_ambiguous(credential.key.namespace, names.CREDENTIAL_KIND, [other.key for other in others]),)


def _implicit_organization(index: Index, config: Config) -> str:
    organization = index.organizations.get(config.key.namespace)
    if organization is None or not organization.is_implicit:
        return ""
    return (
        f"OrganizationImplicit: the organization is the UID of namespace '{config.key.namespace}', which changes when the "
        f"namespace is made anew; set its annotation {names.ORGANIZATION_ANNOTATION} before creating federated credentials."
    )


def disputed_organization(config: Config, organization: str, claimed: str) -> str:
    """Return the remark about an organization that the issuer does not believe, or "" when ``claimed`` is empty."""
    if not claimed:
        return ""
    row = issuer.ORGANIZATION_DISPUTED
    diagnosis = row.diagnose(namespace=config.key.namespace, claimed=claimed, organization=organization)
    return f"{row.reason}: {diagnosis.message}"


def _crowded_app(index: Index, config: Config) -> str:
    count = len(index.organizations_of_app(config))
    if count <= CREDENTIALS_WARNING:
        return ""
    return (
        f"{reasons.FEDERATED_CREDENTIAL_LIMIT}: {count} organizations use app {config.azure.get('clientId')}, each needs a "
        f"federated credential of its own, and an app takes {CREDENTIALS_LIMIT} at most: give further organizations another app."
    )


def _second_default(index: Index, config: Config) -> str:
    others = [
        other
        for other in index.configs_in(config.key.namespace)
        if other.is_default and other.provider == config.provider
    ]
    if not config.is_default or len(others) < 2:
        return ""
    kind = f"{config.provider} {names.CONFIG_KIND}"
    return _ambiguous(config.key.namespace, kind, [other.key for other in others])


def _ambiguous(namespace: str, kind: str, keys: Sequence[ObjectKey]) -> str:
    return f"{reasons.AMBIGUOUS_DEFAULT}: {ambiguous_default(namespace, kind, keys).message}"


def resolution(credential: Credential, config: Config, item: Mapping[str, Any]) -> tuple[tuple[str, str], str]:
    """Return reason and message of ConfigResolved, and the name of the default config before when it has just changed.

    A changed default stays the reason until the credential's own spec changes: whoever looks later shall see it too.
    """
    status = item.get("status") or {}
    before = status.get("workloadIdentityConfig") or {}
    uses = f"Uses WorkloadIdentityConfig '{config.key.name}'"
    if credential.config_ref:
        return (reasons.RESOLVED, f"{uses}."), ""
    plain = (reasons.RESOLVED, f"{uses}, the default of namespace '{config.key.namespace}'.")
    if before and before.get("uid") != config.uid:
        message = (
            f"{uses}, since the default of namespace '{config.key.namespace}' changed from '{before.get('name')}'."
        )
        return (reasons.DEFAULT_CHANGED, message), str(before.get("name"))
    told = find_condition(status.get("conditions") or [], reasons.CONFIG_RESOLVED) or {}
    is_told = told.get("reason") == reasons.DEFAULT_CHANGED
    if is_told and told.get("observedGeneration") == item["metadata"].get("generation"):
        return (reasons.DEFAULT_CHANGED, str(told.get("message", ""))), ""
    return plain, ""
