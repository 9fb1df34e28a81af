"""What a grant costs: CPU milliseconds of issuer and API server, with and without a token review, on one and two replicas.

    python bench grants

Runs the real issuer and a real API server on this machine, alone with two cores. Ends 1 when signing is below 2,000/s on one
core, or when a grant costs over 15 % more or less with two replicas than with one.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from wi_operator.federation.claims import make_claims
from wi_operator.federation.keys import generate_signing_key
from wi_operator.federation.mint import mint
from wi_testkit.lab import Lab
from wi_testkit.pki import CertificateAuthority

TICKS = os.sysconf("SC_CLK_TCK")
KNOWN, NEW, ROUNDS = 600, 60, 3
UNLIMITED = {f"WI_{name}_RATE": "100000" for name in ("POD", "ORGANIZATION", "REVIEW", "PUBLIC")}
LEAST_SIGNATURES, TOLERANCE = 2000.0, 0.15


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU time that the processes have used, all threads."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


class Meter:
    """Counts what issuers and API server use while grants are asked for."""

    def __init__(self, lab: Lab, replicas: int) -> None:
        self.issuers = [lab.pid(f"issuer-{number}") for number in range(replicas)]
        self.server = [lab.plane.find_pid("kube-apiserver")]
        self.connections = [lab.open_grants(number) for number in range(replicas)]

    def run(self, tokens: Sequence[str], **headers: str) -> tuple[float, float]:
        """Ask once with each token, on the replicas in turn; return milliseconds per grant of issuer and API server."""
        idle = self._idle()
        before, started = (cpu_seconds(self.issuers), cpu_seconds(self.server)), time.monotonic()
        body = json.dumps({"credentials": ["demo"]})
        for number, token in enumerate(tokens):
            connection = self.connections[number % len(self.connections)]
            own = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
            connection.request("POST", "/v1/grants", body, own)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in {200, 304}:
                raise SystemExit(f"the issuer answered {answer.status}")
        after, seconds = (cpu_seconds(self.issuers), cpu_seconds(self.server)), time.monotonic() - started
        spent = (after[n] - before[n] - idle[n] * seconds for n in range(2))
        issuer, server = (1000 * max(value, 0.0) / len(tokens) for value in spent)
        return issuer, server

    def _idle(self) -> tuple[float, float]:
        """Return what both use a second while nobody asks."""
        before = cpu_seconds(self.issuers), cpu_seconds(self.server)
        time.sleep(3)
        return (cpu_seconds(self.issuers) - before[0]) / 3, (cpu_seconds(self.server) - before[1]) / 3


def median(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians of both."""
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def measure_signing() -> float:
    """Return signatures a second of one core."""
    key, best = generate_signing_key(), 0.0
    for _ in range(ROUNDS):
        done, begun = 0, time.process_time()
        while time.process_time() - begun < 1.0:
            claims = make_claims(
                issuer="https://identity.example.com",
                organization="o",
                audience="a",
                now=0,
                lifetime=3600,
                token_id="j",
            )
            mint(claims, key)
            done += 1
        best = max(best, done / (time.process_time() - begun))
    return best


def set_up(lab: Lab) -> None:
    """Make a namespace with a config, a credential and a pod."""
    lab.add_namespace("team-a", "3f2504e0-4f89-41d3-9a0c-0305e82c3301")
    azure = {"tenantId": "11111111-2222-4333-8444-555555555555", "clientId": "99999999-8888-4777-8666-555555555555"}
    vault = {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": "https://demo.vault.azure.net"}}
    for kind, name, spec in (
        ("WorkloadIdentityConfig", "azure", {"provider": "Azure", "default": True, "azure": azure}),
        ("SecretProviderCredential", "demo", vault),
    ):
        metadata = {"name": name, "namespace": "team-a"}
        lab.apply({"apiVersion": "identity.crewai.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
    lab.add_pod("team-a", "kick")
    token = lab.pod_token("team-a", "kick")
    for replica in range(lab.issuers):
        lab.wait(lambda replica=replica: lab.grant(token, replica=replica).document.get("grants"), "the first grant")


def measure(replicas: int) -> dict[str, tuple[float, float]]:
    """Return milliseconds per grant of issuer and API server, by case."""
    with Lab(CertificateAuthority(), issuers=replicas, settings=UNLIMITED) as lab:
        set_up(lab)
        token = lab.pod_token("team-a", "kick")
        meter = Meter(lab, replicas)
        tag = lab.grant(token).headers["ETag"]
        meter.run([token] * 50)
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(ROUNDS):
            with ThreadPoolExecutor(4) as pool:
                fresh = list(pool.map(lambda _: lab.pod_token("team-a", "kick"), range(NEW)))
            found.setdefault("new token, reviewed", []).append(meter.run(fresh))
            found.setdefault("known token", []).append(meter.run([token] * KNOWN))
            found.setdefault("known token, unchanged (304)", []).append(
                meter.run([token] * KNOWN, **{"If-None-Match": tag})
            )
        return {case: median(pairs) for case, pairs in found.items()}


def main() -> int:
    """Print the table; return 1 when a claim does not hold."""
    one, two = measure(1), measure(2)
    print(f"{'CPU ms per grant':32} {'issuer':>8} {'API server':>11} {'sum':>7} {'two replicas : one':>20}")
    faults = []
    for case, (issuer, server) in one.items():
        ratio = sum(two[case]) / (issuer + server)
        print(f"{case:32} {issuer:8.2f} {server:11.2f} {issuer + server:7.2f} {ratio:19.2f}x")
        if case == "known token" and abs(ratio - 1) > TOLERANCE:
            faults.append(f"{case}: {ratio:.2f} x with two replicas")
    known = sum(one["known token"])
    review, unchanged = sum(one["new token, reviewed"]) / known, known / sum(one["known token, unchanged (304)"])
    print(f"the review's cache saves {review:.1f} x, an unchanged grant {unchanged:.1f} x")
    signatures = measure_signing()
    print(f"signing alone: {signatures:.0f} assertions/s on one core")
    if signatures < LEAST_SIGNATURES:
        faults.append(f"signing: {signatures:.0f}/s, at least {LEAST_SIGNATURES:.0f}")
    print("\n".join(faults) or "all claims hold")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
