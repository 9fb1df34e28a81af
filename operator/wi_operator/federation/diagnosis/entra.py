"""Why Microsoft Entra refused a token request: one row per code.

Source: Microsoft Learn, "Microsoft Entra authentication and authorization error codes", "Workload identity federation:
important considerations and restrictions", and answers of the service. Its documentation warns that texts change, so
rows are found by number: ``error_codes``, else ``AADSTS<number>`` in the description, else OAuth's ``error``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from wi_operator.federation.diagnosis.base import Diagnosis, Provenance, Retry, Row
from wi_operator.federation.diagnosis.bodies import json_object, one_line, text_of

CAPTURED, DOCUMENTED, ASSUMED = Provenance.CAPTURED, Provenance.DOCUMENTED, Provenance.ASSUMED
TRANSIENT, PROPAGATION, CONFIG, BUG = Retry.TRANSIENT, Retry.PROPAGATION, Retry.CONFIG, Retry.BUG

CREATE = (
    "az ad app federated-credential create --id {client_id} --parameters "
    '\'{{"name":"workload-identity-operator","issuer":"{issuer}","subject":"{subject}","audiences":["{audience}"]}}\''
)
TRUST = (
    "Give the federated credential of app {client_id} exactly issuer '{issuer}', subject '{subject}', audience "
    "'{audience}' (case and trailing slash count): " + CREATE + " . A change takes up to 15 minutes to arrive."
)
LIST = "az ad app federated-credential list --id {client_id}"
PUBLISH = (
    "Open {issuer}/.well-known/openid-configuration and the jwks_uri in it from the internet: both must answer with "
    "200 over a publicly trusted certificate, without a login; look at IssuerPublished of the WorkloadIdentityConfig."
)
KEY = (
    "Wait up to 30 minutes after a rotation or for a new issuer; then compare the `kid` of the tokens with "
    "the JWKS of {issuer}: " + PUBLISH
)
CLOCK = "Synchronise the clocks of the cluster's nodes (NTP), first of those that run wi-issuer."
OURS = "This is a fault of the operator or of its settings: report it with code and trace id."
CLIENT = (
    "Compare spec.azure.clientId {client_id} (the application id, not the object id) and spec.azure.tenantId "
    "{tenant_id} with `az ad app show --id {client_id}`."
)
TENANT = "Correct spec.azure.tenantId {tenant_id}: `az account show --query tenantId` prints it."
PRINCIPAL = "Create it: az ad sp create --id {client_id} ."
CLOUD = "Set spec.azure.cloud to the cloud of tenant {tenant_id} (Public, USGovernment, China)."
SCOPE = "Check spec.azure.cloud, and with Custom spec.azure.custom.vaultScope: one resource and /.default, not {scope}."
POLICY = "Ask the administrator of tenant {tenant_id} to exempt service principal {client_id} from the policy."
WAIT = "Nothing to do: it is tried again. If it stays, look at the status page of Azure."


def _row(code: int, reason: str, cause: str, remedy: str, retry: Retry, provenance: Provenance) -> Row:
    return Row(f"AADSTS{code}", reason, cause, remedy, retry, provenance)


def _rows() -> Iterator[Row]:
    yield from _federation_rows()
    yield from _assertion_rows()
    yield from _directory_rows()
    yield from _request_rows()
    yield from _policy_rows()


def _federation_rows() -> Iterator[Row]:
    none = "App {client_id} has no federated credential"
    expression = "No federated credential matches, by value or by expression"
    yield _row(
        700211, "IssuerNotTrusted",
        "No federated credential of app {client_id} has the issuer '{issuer}'.", TRUST, PROPAGATION, CAPTURED,
    )  # fmt: skip
    yield _row(
        700212, "AudienceMismatch",
        "A federated credential of app {client_id} has our issuer, but not the audience '{audience}'.",
        TRUST, PROPAGATION, CAPTURED,
    )  # fmt: skip
    yield _row(
        700213, "SubjectMismatch",
        "A federated credential of app {client_id} has our issuer, but not the subject '{subject}'.",
        TRUST, PROPAGATION, CAPTURED,
    )  # fmt: skip
    yield _row(
        7002138, "SubjectCaseMismatch",
        "The subject of the federated credential differs from '{subject}' in upper and lower case only.",
        TRUST, PROPAGATION, CAPTURED,
    )  # fmt: skip
    yield _row(7002131, "SubjectMismatch", f"{expression} '{{subject}}'.", TRUST, PROPAGATION, DOCUMENTED)
    yield _row(7002137, "SubjectMismatch", f"{expression} '{{subject}}'.", TRUST, PROPAGATION, CAPTURED)
    yield _row(
        70021, "NoFederatedCredential",
        "No federated credential of app {client_id} matches issuer, subject and audience.",
        TRUST, PROPAGATION, CAPTURED,
    )  # fmt: skip
    yield _row(70025, "NoFederatedCredential", f"{none}.", TRUST, PROPAGATION, CAPTURED)
    yield _row(7000226, "NoFederatedCredential", f"{none} policy.", TRUST, PROPAGATION, DOCUMENTED)
    for code in (700233, 700234, 700235, 700237, 7002241):
        yield _row(
            code, "SubjectMismatch",
            "The federated credential holds an expression, which Entra takes only for a few well-known issuers.",
            TRUST, CONFIG, DOCUMENTED,
        )  # fmt: skip
    for code in (700222, 700226, 700229, 700236):
        yield _row(
            code, "AssertionRejected",
            "Entra takes the assertion for a token of its own, which it does not accept here.",
            "Set `issuer.url` of the chart to an issuer of your own, not to one of Entra's. " + OURS,
            CONFIG, DOCUMENTED,
        )  # fmt: skip
    for code in (700227, 70022204):
        yield _row(
            code, "AudienceMismatch", "The audience '{audience}' is not allowed in this cloud.", CLOUD, CONFIG, ASSUMED
        )


def _assertion_rows() -> Iterator[Row]:
    for code in (50166, 501661, 90061):
        yield _row(
            code, "PublicIssuerUnreachable",
            "Entra could not read the discovery document or the keys of '{issuer}'.", PUBLISH, PROPAGATION, CAPTURED,
        )  # fmt: skip
    yield _row(
        7000272, "SigningKeyNotVisible",
        "Entra has not seen the key that signed the assertion in the JWKS of '{issuer}'.", KEY, PROPAGATION, CAPTURED,
    )  # fmt: skip
    yield _row(
        7000274, "SigningKeyNotVisible",
        "The signature does not verify with the key that '{issuer}' publishes under this kid.",
        "Another key is published than the one that signs: " + PUBLISH, CONFIG, ASSUMED,
    )  # fmt: skip
    yield _row(50027, "AssertionRejected", "Entra calls the assertion malformed.", OURS, BUG, CAPTURED)
    yield _row(5002723, "AssertionRejected", "The assertion's header names no key.", OURS, BUG, CAPTURED)
    yield _row(5002727, "AssertionRejected", "The assertion's header has a wrong `typ`.", OURS, BUG, CAPTURED)
    yield _row(
        5002738, "AssertionRejected", "The assertion's signature algorithm is not accepted.",
        "Sign with an RSA key (RS256): replace the key that was given to the issuer.", CONFIG, CAPTURED,
    )  # fmt: skip
    yield _row(90014, "AssertionRejected", "The assertion lacks a claim that Entra needs.", OURS, BUG, CAPTURED)
    yield _row(
        700024, "ClockSkew", "Entra's clock finds the assertion outside its time of validity{skew}.",
        CLOCK, CONFIG, CAPTURED,
    )  # fmt: skip
    yield _row(
        700021, "AssertionRejected", "Entra takes the assertion for one that the app issued itself.",
        "`issuer.url` of the chart must be a URL, not a client id. " + OURS, CONFIG, CAPTURED,
    )  # fmt: skip
    for code in (700027, 50013):
        yield _row(
            code, "SigningKeyNotVisible", "Entra found no key that verifies the assertion.", KEY, PROPAGATION, CAPTURED
        )


def _directory_rows() -> Iterator[Row]:
    yield _row(
        700016, "ClientNotFound", "There is no app {client_id} in tenant {tenant_id}.", CLIENT, PROPAGATION, CAPTURED
    )
    yield _row(
        7000229, "ServicePrincipalMissing",
        "App {client_id} is registered, but has no service principal in tenant {tenant_id}.",
        PRINCIPAL, PROPAGATION, CAPTURED,
    )  # fmt: skip
    yield _row(
        7000112, "AppDisabled", "The service principal of app {client_id} is disabled.",
        "Enable it: az ad sp update --id {client_id} --set accountEnabled=true .", CONFIG, DOCUMENTED,
    )  # fmt: skip
    yield _row(90002, "TenantNotFound", "There is no tenant {tenant_id} in this cloud.", TENANT, CONFIG, CAPTURED)
    yield _row(900023, "TenantNotFound", "{tenant_id} is neither a tenant id nor a domain.", TENANT, CONFIG, CAPTURED)
    wrong = "Tenant or app belongs to another national cloud."
    for code in (90038, 900382, 900432, 900439, 900440):
        yield _row(code, "WrongCloud", wrong, CLOUD, CONFIG, DOCUMENTED)
    yield _row(
        500011, "WrongCloud", "Tenant {tenant_id} does not know the resource of scope {scope}.",
        CLOUD + " " + SCOPE, CONFIG, CAPTURED,
    )  # fmt: skip


def _request_rows() -> Iterator[Row]:
    yield _row(900144, "TokenRequestRejected", "The token request lacks a parameter.", OURS, BUG, DOCUMENTED)
    yield _row(7000216, "TokenRequestRejected", "The token request held no assertion.", OURS, BUG, CAPTURED)
    yield _row(7000218, "TokenRequestRejected", "The token request held no assertion.", OURS, BUG, DOCUMENTED)
    yield _row(70003, "TokenRequestRejected", "The grant type is not supported.", OURS, BUG, DOCUMENTED)
    yield _row(
        7000215, "ClientSecretRejected", "The client secret is wrong.",
        "Use authMethod WorkloadIdentity, or store the secret's value (not its id).", CONFIG, DOCUMENTED,
    )  # fmt: skip
    yield _row(
        7000222, "ClientSecretRejected", "The client secret has expired.",
        "Use authMethod WorkloadIdentity, which has nothing that expires.", CONFIG, DOCUMENTED,
    )  # fmt: skip
    for code in (70011, 1002012):
        yield _row(code, "ScopeRejected", "Entra does not take the scope {scope}.", SCOPE, CONFIG, CAPTURED)
    for code in (28002, 650057, 700022):
        yield _row(code, "ScopeRejected", "Entra does not take the scope {scope}.", SCOPE, CONFIG, DOCUMENTED)
    yield _row(
        1002016, "TokenRequestRejected", "Entra refused the version of TLS.",
        "Something between cluster and internet rewrites TLS: it must speak TLS 1.2 or later.", CONFIG, ASSUMED,
    )  # fmt: skip


def _policy_rows() -> Iterator[Row]:
    yield _row(53003, "BlockedByPolicy", "Conditional Access blocks the token.", POLICY, CONFIG, DOCUMENTED)
    yield _row(7002381, "BlockedByPolicy", "A policy of the tenant refuses this issuer.", POLICY, CONFIG, ASSUMED)
    yield _row(90055, "IdentityThrottled", "Entra limits tenant {tenant_id}.", WAIT, TRANSIENT, DOCUMENTED)
    yield _row(50196, "IdentityThrottled", "Entra saw too many equal requests.", WAIT, TRANSIENT, DOCUMENTED)
    for code in (90006, 90012, 90024, 90033):
        yield _row(code, "IdentityUnavailable", "Entra has a passing fault.", WAIT, TRANSIENT, DOCUMENTED)


ROWS = {row.code: row for row in _rows()}

THROTTLED = Row("HTTP429", "IdentityThrottled", "Entra answers too many requests (429).", WAIT, TRANSIENT, CAPTURED)
UNAVAILABLE = Row(
    "HTTP5xx", "IdentityUnavailable", "Entra, or a gateway before it, answers {status}.", WAIT, TRANSIENT, DOCUMENTED
)
UNREADABLE = Row(
    "IdentityAnswerUnreadable", "IdentityAnswerUnreadable",
    "What answered for Entra with {status} is not Entra's token endpoint.",
    "Look for a proxy or firewall that answers in its place, and check spec.azure.cloud and its authorityHost.",
    CONFIG, ASSUMED,
)  # fmt: skip
UNKNOWN = Row(
    "AADSTS", "IdentityRefused", "Entra refused the token request ({status}): {said}",
    "Search the code in Microsoft's list of Entra error codes; the trace id finds the sign-in log of {client_id}.",
    CONFIG, DOCUMENTED,
)  # fmt: skip
FALLBACKS = (THROTTLED, UNAVAILABLE, UNREADABLE, UNKNOWN)

ASSERTION_REASONS = frozenset(
    {
        "IssuerNotTrusted", "AudienceMismatch", "SubjectMismatch", "SubjectCaseMismatch", "NoFederatedCredential",
        "SigningKeyNotVisible", "AssertionRejected", "ClockSkew",
    }
)  # fmt: skip
"""Reasons about the assertion itself: one that was minted anew may pass (other organization, key or time)."""

_CODE = re.compile(r"AADSTS(\d{4,9})")
_TRAILER = re.compile(
    r"\s*Trace ID:\s*(?P<trace>[\w-]+)\s*Correlation ID:\s*(?P<correlation>[\w-]+)\s*Timestamp:.*\Z", re.DOTALL
)
_TIME = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z"
_TIMES = re.compile(rf"Current time: {_TIME}, assertion valid from {_TIME}, expiry time of assertion {_TIME}")


def diagnose(status: int, body: bytes, *, retry_after: float | None = None, **facts: str) -> Diagnosis:
    """Judge an error of the token endpoint.

    ``facts``: ``issuer``, ``subject``, ``audience``, ``client_id``, ``tenant_id``, ``scope``, as far as known.
    """
    document = json_object(body)
    description = text_of(document, "error_description")
    trailer = _TRAILER.search(description)
    text = one_line(description[: trailer.start()] if trailer else description)
    found = {**facts, "status": str(status), "said": text, "skew": _skew(description)}
    row = _find(status, document, description)
    trace, correlation = trailer.group("trace", "correlation") if trailer else ("", "")
    diagnosis = row.diagnose(
        text=text,
        trace_id=one_line(text_of(document, "trace_id") or trace),
        correlation_id=one_line(text_of(document, "correlation_id") or correlation),
        **found,
    )
    return replace(diagnosis, retry_after=retry_after)


def concerns_assertion(diagnosis: Diagnosis) -> bool:
    """Tell whether a newly minted assertion could help."""
    return diagnosis.reason in ASSERTION_REASONS


def _find(status: int, document: dict[str, Any], description: str) -> Row:
    codes = list(_codes(document, description))
    known = next((ROWS[code] for code in codes if code in ROWS), None)
    if known:
        return known
    if status == 429:
        return THROTTLED
    if status >= 500 or document.get("error") == "temporarily_unavailable":
        return UNAVAILABLE
    code = codes[0] if codes else one_line(text_of(document, "error"))[:80]
    return replace(UNKNOWN, code=code) if code else UNREADABLE


def _codes(document: dict[str, Any], description: str) -> Iterator[str]:
    listed = document.get("error_codes")
    for code in listed if isinstance(listed, list) else ():
        if isinstance(code, int) and not isinstance(code, bool) and 0 < code < 10**9:
            yield f"AADSTS{code}"
    if match := _CODE.search(description):
        yield match.group()


def _skew(description: str) -> str:
    """Return how far the clocks differ, rounded: an exact number would change the message at every try."""
    match = _TIMES.search(description)
    if not match:
        return ""
    try:
        now, start, end = (datetime.fromisoformat(text) for text in match.groups())
    except ValueError:
        return ""
    if now < start:
        return f": our clock is ahead of Entra's by about {_rounded((start - now).total_seconds())}"
    if now > end:
        return f": it ended about {_rounded((now - end).total_seconds())} before Entra's time"
    return ""


def _rounded(seconds: float) -> str:
    if seconds < 120:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
