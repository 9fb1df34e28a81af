"""Why a host gave no answer at all: name, way, trust, patience."""

from __future__ import annotations

from enum import Enum

from wi_operator.federation.diagnosis.base import Diagnosis, Provenance, Retry, Row, Surface


class Failure(Enum):
    """What a client met before it had a whole answer; the value is the row's reason."""

    HOST_UNKNOWN = "HostUnknown"
    DNS = "DnsUnavailable"
    UNREACHABLE = "HostUnreachable"
    BLOCKED = "EgressBlocked"
    TLS = "TlsNotTrusted"
    RESET = "ConnectionLost"
    SLOW = "HostSlow"
    GARBAGE = "NotHttp"
    TOO_LARGE = "AnswerTooLarge"
    PROXY_UNREACHABLE = "ProxyUnreachable"
    PROXY_REFUSED = "ProxyRefused"


KICKOFF = frozenset({Surface.KICKOFF})
SURFACES = KICKOFF | {Surface.CONFIG, Surface.CREDENTIAL}


def _row(failure: Failure, cause: str, remedy: str, retry: Retry, surfaces: frozenset[Surface] = SURFACES) -> Row:
    return Row(failure.value, failure.value, cause, remedy, retry, Provenance.ASSUMED, surfaces)


ROWS = {
    Failure(row.code): row
    for row in (
        _row(
            Failure.HOST_UNKNOWN, "DNS does not know the host {host} ({detail}).",
            "Check spec.azure.cloud, authorityHost or vaultUrl, and the DNS of the cluster.", Retry.PROPAGATION,
        ),
        _row(
            Failure.DNS, "DNS gave no answer for the host {host} ({detail}).",
            "It is tried again; if it stays, look at CoreDNS, and at NetworkPolicies that keep the pod from it.",
            Retry.TRANSIENT,
        ),
        _row(
            Failure.UNREACHABLE, "No connection to {host}, port {port} ({detail}).",
            "Let the pod out: a NetworkPolicy, egress gateway or firewall must allow TCP to {host}:{port} and DNS.",
            Retry.TRANSIENT,
        ),
        _row(
            Failure.BLOCKED, "Nothing came back from {host}, port {port}, while connecting ({detail}): packets get lost.",
            "Most often a NetworkPolicy without an egress rule: allow TCP to {host}:{port} and DNS from this pod; else look at "
            "egress gateway and firewall.", Retry.TRANSIENT,
        ),
        _row(
            Failure.TLS, "The certificate of {host}:{port} is not trusted ({detail}).",
            "If a proxy inspects TLS, give its CA to the chart (`extraCA`); otherwise another host answers in its place.",
            Retry.CONFIG,
        ),
        _row(
            Failure.RESET, "{host}:{port} closed the connection in the middle ({detail}).",
            "It is tried again; if it stays, look for a proxy or firewall on the way to {host}.", Retry.TRANSIENT,
        ),
        _row(
            Failure.SLOW, "{host}:{port} did not answer in time ({detail}).",
            "It is tried again; if it stays, look at the way to {host} and at Azure's status page.", Retry.TRANSIENT,
        ),
        _row(
            Failure.GARBAGE, "What answers on {host}:{port} does not speak HTTP/1.1 ({detail}).",
            "Look for a proxy or firewall that answers in its place.", Retry.CONFIG,
        ),
        _row(
            Failure.TOO_LARGE, "{host}:{port} answered more than {detail} bytes.",
            "Look for a proxy or firewall that answers in its place.", Retry.CONFIG, KICKOFF,
        ),
        _row(
            Failure.PROXY_UNREACHABLE, "The proxy on the way to {host} could not be reached ({detail}).",
            "Check `sidecar.proxy` of the chart, and that a NetworkPolicy lets the pod out to the proxy.",
            Retry.TRANSIENT, KICKOFF,
        ),
        _row(
            Failure.PROXY_REFUSED, "The proxy gave no tunnel to {host}, port {port} ({detail}).",
            "Let the proxy pass CONNECT to {host}:{port}, or add {host} to `sidecar.proxy.noProxy` of the chart; 407 means "
            "that it wants a user.", Retry.TRANSIENT, KICKOFF,
        ),
    )
}  # fmt: skip
VAULT_HOST_UNKNOWN = Row(
    "VaultHostUnknown", "VaultHostUnknown", "DNS does not know the vault {host} ({detail}).",
    "A vault that does not exist, or was deleted, has no name in DNS: check azureKeyVault.vaultUrl with `az keyvault "
    "list`, then the DNS of the cluster.", Retry.PROPAGATION, Provenance.CAPTURED,
    frozenset({Surface.CREDENTIAL, Surface.KICKOFF}),
)  # fmt: skip


def diagnose(failure: Failure, *, host: str, port: int, detail: str, vault: bool = False) -> Diagnosis:
    """Judge a failed connection; ``detail`` is the operating system's or OpenSSL's word, ``vault`` the host's role."""
    row = VAULT_HOST_UNKNOWN if vault and failure is Failure.HOST_UNKNOWN else ROWS[failure]
    return row.diagnose(host=host, port=str(port), detail=detail)
