"""Judging of Key Vault's answers."""

import json

import pytest

from wi_operator.federation.diagnosis import keyvault
from wi_operator.federation.diagnosis.base import Retry

OID = "33333333-0000-0000-0000-000000000000"
TENANT = "22222222-0000-0000-0000-000000000000"
OTHER = "44444444-0000-0000-0000-000000000000"
RESOURCE = "/subscriptions/s/resourcegroups/some-rg/providers/microsoft.keyvault/vaults/v/secrets/n"
FACTS = {"vault": "v", "vault_host": "v.vault.azure.net", "secret": "n", "client_id": "app", "tenant_id": TENANT}


def rbac(action, resource=RESOURCE):
    return (
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role "
        f"definitions were changed recently, please observe propagation time.\r\nCaller: appid=app;oid={OID};iss=x\r\n"
        f"Action: 'Microsoft.KeyVault/vaults/secrets/{action}/action'\r\nResource: '{resource}'\r\nAssignment: (not "
        "found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: v;location=eastus\r\n"
    )


def judge(status, code, message="", inner="", **rest):
    error = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    return keyvault.diagnose(status, json.dumps({"error": error}).encode(), **{**FACTS, **rest})


def test_a_missing_role_names_role_object_and_scope():
    diagnosis = judge(403, "Forbidden", rbac("getSecret"), "ForbiddenByRbac")
    assert (diagnosis.reason, diagnosis.code) == ("VaultDenied", "ForbiddenByRbac")
    assert (
        f'az role assignment create --role "Key Vault Secrets User" --assignee-object-id {OID} '
        f"--assignee-principal-type ServicePrincipal --scope '{RESOURCE}'"
    ) in diagnosis.remedy
    assert "DeniedWithNoValidRBAC" in diagnosis.cause


def test_listing_has_a_row_of_its_own():
    assert judge(403, "Forbidden", rbac("readMetadata"), "ForbiddenByRbac").reason == "VaultListDenied"


def test_a_firewall_tells_the_address_that_it_saw():
    message = "Client address is not authorized and caller is not a trusted service.\r\nClient address: 203.0.113.9\r\n"
    diagnosis = judge(403, "Forbidden", message, "ForbiddenByFirewall")
    assert diagnosis.reason == "VaultNetworkBlocked"
    assert "203.0.113.9" in diagnosis.remedy


@pytest.mark.parametrize(
    ("status", "code", "message", "inner", "reason"),
    [
        (403, "Forbidden", "The user ... does not have secrets get permission", "AccessDenied", "VaultDenied"),
        (403, "Forbidden", "requires on-behalf-of", "ForbiddenByPolicy", "VaultDenied"),
        (403, "Forbidden", "Public network access is disabled", "ForbiddenByConnection", "VaultNetworkBlocked"),
        (403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled", "SecretDisabled"),
        (404, "SecretNotFound", "A secret with (name/id) n was not found", "", "SecretNotFound"),
        (401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.", "", "VaultTokenRejected"),
        (401, "Unauthorized", "AKV10022: Invalid audience.", "", "WrongCloud"),
        (401, "Unauthorized", "AKV10032: Invalid issuer.", "", "VaultWrongTenant"),
        (401, "Unauthorized", "AKV10046: Unable to resolve the key", "", "VaultUnavailable"),
        (401, "Unauthorized", "[TokenExpired] Error validating token: 'S2S12086'.", "", "VaultTokenRejected"),
        (401, "Unauthorized", "something", "", "VaultTokenRejected"),
        (429, "Throttled", "Request was not processed", "", "VaultThrottled"),
        (400, "BadParameter", "The request URI contains an invalid name: a_b", "", "InvalidSecretName"),
        (500, "InternalServerError", "", "", "VaultUnavailable"),
        (409, "Conflict", "Something new.", "", "VaultRefused"),
        (403, "Forbidden", "Something new.", "ForbiddenByMoon", "VaultRefused"),
    ],
)
def test_each_refusal_has_its_row(status, code, message, inner, reason):
    diagnosis = judge(status, code, message, inner)
    assert diagnosis.reason == reason


def test_an_unknown_refusal_keeps_code_and_text():
    diagnosis = judge(403, "Forbidden", "Something new.", "ForbiddenByMoon")
    assert diagnosis.message.startswith("ForbiddenByMoon: Vault v answered 403: Something new.")


def challenge(tenant):
    return f'Bearer authorization="https://login.windows.net/{tenant}", resource="https://vault.azure.net"'


def test_the_challenge_of_another_tenant_tells_where_the_vault_lives():
    diagnosis = judge(401, "Unauthorized", "AKV10000: x", challenge=challenge(OTHER))
    assert diagnosis.reason == "VaultWrongTenant"
    assert OTHER in diagnosis.message


def test_the_challenge_of_our_own_tenant_says_nothing():
    assert judge(401, "Unauthorized", "AKV10000: x", challenge=challenge(TENANT.upper())).code == "AKV10000"


def test_a_tenant_given_as_a_domain_cannot_be_compared():
    assert judge(401, "Unauthorized", "x", challenge=challenge(OTHER), tenant_id="a.example").code == "Unauthorized"


@pytest.mark.parametrize(("status", "reason"), [(429, "VaultThrottled"), (502, "VaultUnavailable")])
def test_a_gateways_answer_is_retried(status, reason):
    diagnosis = keyvault.diagnose(status, b"<html>", **FACTS)
    assert (diagnosis.reason, diagnosis.row.retry) == (reason, Retry.TRANSIENT)


@pytest.mark.attack(twin="test_each_refusal_has_its_row")
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{"code":1,"innererror":[]}}'])
def test_what_is_no_vault_is_told_as_such(body):
    assert keyvault.diagnose(403, body, **FACTS).reason == "VaultAnswerUnreadable"


@pytest.mark.attack(twin="test_a_missing_role_names_role_object_and_scope")
def test_a_hostile_resource_does_not_enter_the_command():
    diagnosis = judge(403, "Forbidden", rbac("getSecret", "/x'; rm -rf / #"), "ForbiddenByRbac")
    assert "rm -rf" not in diagnosis.message
    assert "--scope '<resource>'" in diagnosis.remedy


def test_a_version_is_named():
    assert "'n' version abc in" in judge(404, "SecretNotFound", "x", version="abc").cause
