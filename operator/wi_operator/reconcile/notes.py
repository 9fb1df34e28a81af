"""What belongs in a message beside the outcome: ambiguous and changed defaults, an implicit organization. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wi_operator.api import names, reasons
from wi_operator.api.conditions import find_condition
from wi_operator.index.objects import Config, Credential
from wi_operator.index.store import Index


def of_config(index: Index, config: Config) -> tuple[str, ...]:
    """Return the remarks of a config's Ready message."""
    return tuple(note for note in (_implicit_organization(index, config), _second_default(index, config)) if note)


def of_credential(index: Index, credential: Credential) -> tuple[str, ...]:
    """Return the remarks of a credential's Ready message."""
    if not credential.is_default:
        return ()
    others = [other for other in index.credentials_in(credential.key.namespace) if other.is_default]
    if len(others) < 2:
        return ()
    listed = ", ".join(sorted(other.key.name for other in others))
    return (
        f"{reasons.AMBIGUOUS_DEFAULT}: namespace '{credential.key.namespace}' has {len(others)} default "
        f"SecretProviderCredentials ({listed}), so a reference without a credential's name resolves to none: keep "
        "spec.default: true on one.",
    )


def _implicit_organization(index: Index, config: Config) -> str:
    organization = index.organizations.get(config.key.namespace)
    if organization is None or not organization.is_implicit:
        return ""
    return (
        f"OrganizationImplicit: the organization is the UID of namespace '{config.key.namespace}', which changes when the "
        f"namespace is made anew; set its annotation {names.ORGANIZATION_ANNOTATION} before creating federated credentials."
    )


def _second_default(index: Index, config: Config) -> str:
    others = [
        other
        for other in index.configs_in(config.key.namespace)
        if other.is_default and other.provider == config.provider
    ]
    if not config.is_default or len(others) < 2:
        return ""
    listed = ", ".join(sorted(other.key.name for other in others))
    return (
        f"{reasons.AMBIGUOUS_DEFAULT}: namespace '{config.key.namespace}' has {len(others)} default {config.provider} "
        f"WorkloadIdentityConfigs ({listed}), so a credential without spec.workloadIdentityRef resolves to none: keep "
        "spec.default: true on one."
    )


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
