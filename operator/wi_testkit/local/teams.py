"""Teams of a local installation: a namespace, a tenant with one app, a vault; and configs and credentials in numbers."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from wi_testkit.local.api import Item, in_parallel
from wi_testkit.local.site import Site

GROUP = "identity.crewai.com"
AUDIENCE = "api://AzureADTokenExchange"
ALL_CONFIGS = f"/apis/{GROUP}/v1alpha1/workloadidentityconfigs"
ALL_CREDENTIALS = f"/apis/{GROUP}/v1alpha1/secretprovidercredentials"
PLURALS = {"WorkloadIdentityConfig": "workloadidentityconfigs", "SecretProviderCredential": "secretprovidercredentials"}


@dataclass(frozen=True, slots=True)
class Team:
    """``size`` configs and as many credentials, all in one tenant and one vault."""

    name: str
    size: int
    organization: str = field(default_factory=lambda: str(uuid.uuid4()))
    tenant: str = field(default_factory=lambda: str(uuid.uuid4()))
    client: str = field(default_factory=lambda: str(uuid.uuid4()))

    def enter_clouds(self, site: Site) -> None:
        """Make tenant, app and vault in the emulators."""
        site.entra.add_tenant(self.tenant)
        site.entra.add_application(self.tenant, self.client)
        subject = f"organization:{self.organization}"
        site.entra.trust(self.tenant, self.client, "team", issuer=site.lab.url, subject=subject, audience=AUDIENCE)
        site.keyvault.add_vault(self.vault, self.tenant)

    @property
    def vault(self) -> str:
        """Name of the team's vault."""
        return f"v-{self.name}"

    def render_namespace(self) -> Item:
        """Return the namespace."""
        metadata = {"name": self.name, "annotations": {f"{GROUP}/organization": self.organization}}
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}

    def render_objects(self) -> Iterator[Item]:
        """Yield the configs, then the credentials."""
        for number in range(self.size):
            yield self._render(
                "WorkloadIdentityConfig",
                f"c{number:03}",
                {"provider": "Azure", "azure": {"tenantId": self.tenant, "clientId": self.client}},
            )
        for number in range(self.size):
            spec = {
                "provider": "AzureKeyVault",
                "workloadIdentityRef": {"name": f"c{number:03}"},
                "azureKeyVault": {"vaultUrl": f"https://{self.vault}.vault.azure.net"},
            }
            yield self._render("SecretProviderCredential", f"s{number:03}", spec)

    def _render(self, kind: str, name: str, spec: Item) -> Item:
        metadata = {"name": name, "namespace": self.name}
        return {"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def path_of(item: Item) -> str:
    """Return the path of a config or credential."""
    metadata = item["metadata"]
    return f"/apis/{GROUP}/v1alpha1/namespaces/{metadata['namespace']}/{PLURALS[item['kind']]}/{metadata['name']}"


def make_teams(site: Site, names: Sequence[str], size: int) -> list[Team]:
    """Return teams that the clouds know and whose namespaces exist; no objects yet."""
    teams = [Team(name, size) for name in names]
    for team in teams:
        team.enter_clouds(site)
        site.api.apply(f"/api/v1/namespaces/{team.name}", team.render_namespace())
    return teams


def create_objects(site: Site, teams: Sequence[Team]) -> None:
    """Create all objects: configs of all teams first."""
    items = [item for team in teams for item in team.render_objects()]
    items.sort(key=lambda item: item["kind"] != "WorkloadIdentityConfig")
    in_parallel(functools.partial(site.api.apply, path_of(item), item) for item in items)


def delete_objects(site: Site, teams: Sequence[Team]) -> None:
    """Delete all objects of the teams; the namespaces stay."""
    for team in teams:
        for plural in PLURALS.values():
            site.api.delete(f"/apis/{GROUP}/v1alpha1/namespaces/{team.name}/{plural}")


def list_objects(site: Site) -> list[Item]:
    """Return all configs and credentials."""
    return [*site.api.list(ALL_CONFIGS), *site.api.list(ALL_CREDENTIALS)]


def is_ready(item: Item) -> bool:
    """Tell whether Ready is True for the present spec."""
    conditions: list[Item] = (item.get("status") or {}).get("conditions") or []
    ready = next((condition for condition in conditions if condition["type"] == "Ready"), {})
    return bool(ready.get("status") == "True" and ready.get("observedGeneration") == item["metadata"]["generation"])


def count_status_writes(site: Site, **labels: str) -> float:
    """Return how many status writes the API server has served so far; ``labels`` are further ones of its metric."""
    return sum(
        site.api.count("apiserver_request_total", resource=plural, subresource="status", **labels)
        for plural in PLURALS.values()
    )
