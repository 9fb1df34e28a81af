"""``kubectl wi fic``: the federated credential of a config, in the words of four tools. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from wi_operator.cli.complaints import Complaint
from wi_operator.cli.exits import Exit
from wi_operator.federation.diagnosis import issuer
from wi_operator.index.objects import AZURE


class Language(Enum):
    """In which form."""

    AZ = "az"
    TERRAFORM = "terraform"
    BICEP = "bicep"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """What to enter in Entra, byte for byte; ``identity`` and ``group`` name a managed identity, else it is an app's."""

    name: str
    client_id: str
    issuer: str
    subject: str
    audience: str
    identity: str = ""
    group: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """The body of Microsoft Graph."""
        return {"name": self.name, "issuer": self.issuer, "subject": self.subject, "audiences": [self.audience]}


def of_config(item: Mapping[str, Any], *, name: str = "", identity: str = "", group: str = "") -> FederatedCredential:
    """Read a WorkloadIdentityConfig's status; raises ``Complaint`` while there is nothing to enter."""
    key = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
    spec, found = item.get("spec") or {}, (item.get("status") or {}).get("federation") or {}
    if spec.get("provider") != AZURE:
        raise Complaint(f"wic {key} is of {spec.get('provider')}: federated credentials are Entra's.", Exit.BAD)
    if not found:
        raise Complaint(f"wic {key} has no status yet: is wi-controller running? kubectl wi doctor", Exit.BAD)
    if not found.get("issuer"):
        raise Complaint(f"wic {key}: {issuer.URL_MISSING.diagnose().message}", Exit.BAD)
    if bool(identity) != bool(group):
        raise Complaint("A managed identity needs both: --managed-identity NAME --resource-group GROUP.", Exit.USAGE)
    return FederatedCredential(
        name=name or f"organization-{found['organization']}",
        client_id=str(spec["azure"]["clientId"]),
        issuer=found["issuer"],
        subject=found["subject"],
        audience=found["audience"],
        identity=identity,
        group=group,
    )


def render(credential: FederatedCredential, language: Language) -> str:
    """Write it; ends with a newline."""
    return RENDERERS[language](credential)


def _az(credential: FederatedCredential) -> str:
    if not credential.identity:
        body = json.dumps(credential.parameters, separators=(",", ":"))
        return f"az ad app federated-credential create --id {credential.client_id} --parameters {shlex.quote(body)}\n"
    words = ["az", "identity", "federated-credential", "create"]
    words += ["--name", credential.name, "--identity-name", credential.identity, "--resource-group", credential.group]
    words += ["--issuer", credential.issuer, "--subject", credential.subject, "--audiences", credential.audience]
    return shlex.join(words) + "\n"


def _json(credential: FederatedCredential) -> str:
    return json.dumps(credential.parameters, indent=2) + "\n"


def _terraform(credential: FederatedCredential) -> str:
    if credential.identity:
        return f"""\
data "azurerm_user_assigned_identity" "workload" {{
  name                = {_hcl(credential.identity)}
  resource_group_name = {_hcl(credential.group)}
}}

resource "azurerm_federated_identity_credential" "workload" {{
  name                = {_hcl(credential.name)}
  resource_group_name = {_hcl(credential.group)}
  parent_id           = data.azurerm_user_assigned_identity.workload.id
  audience            = [{_hcl(credential.audience)}]
  issuer              = {_hcl(credential.issuer)}
  subject             = {_hcl(credential.subject)}
}}
"""
    return f"""\
data "azuread_application" "workload" {{
  client_id = {_hcl(credential.client_id)}
}}

resource "azuread_application_federated_identity_credential" "workload" {{
  application_id = data.azuread_application.workload.id
  display_name   = {_hcl(credential.name)}
  audiences      = [{_hcl(credential.audience)}]
  issuer         = {_hcl(credential.issuer)}
  subject        = {_hcl(credential.subject)}
}}
"""


def _bicep(credential: FederatedCredential) -> str:
    if credential.identity:
        return f"""\
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {{
  name: {_quote(credential.identity)}
}}

resource credential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {{
  parent: identity
  name: {_quote(credential.name)}
  properties: {{
    audiences: [{_quote(credential.audience)}]
    issuer: {_quote(credential.issuer)}
    subject: {_quote(credential.subject)}
  }}
}}
"""
    return f"""\
extension microsoftGraphV1

@description('uniqueName of the app registration {credential.client_id}')
param appUniqueName string

resource app 'Microsoft.Graph/applications@v1.0' existing = {{
  uniqueName: appUniqueName
}}

resource credential 'Microsoft.Graph/applications/federatedIdentityCredentials@v1.0' = {{
  name: '${{app.uniqueName}}/{credential.name}'
  audiences: [{_quote(credential.audience)}]
  issuer: {_quote(credential.issuer)}
  subject: {_quote(credential.subject)}
}}
"""


def _hcl(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${") + "'"


RENDERERS: dict[Language, Callable[[FederatedCredential], str]] = {
    Language.AZ: _az,
    Language.TERRAFORM: _terraform,
    Language.BICEP: _bicep,
    Language.JSON: _json,
}
