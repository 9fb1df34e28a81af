"""How many pods a second the webhook injects on one core, beside an aiohttp server that allows whatever it reads.

    python bench/admission.py [PASSES] [SECONDS]

The real application with TLS, index, metrics and its log line per review; reviews of typical pods, as the API server sends
them, over kept connections: pods of some templates, each with UIDs, names and a literal of its own, as Jobs and Deployments
make them. What the webhook remembers of a template does not help it with pods that are all of different ones: these are
measured, too. Servers run on one core, the load on another, in turn. Goals: see docs/performance.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import selectors
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from figures import ROOT, Figures, find_python, percentile, read_cpu, read_memory

sys.path.insert(0, str(ROOT / "operator"))

CLIENTS = 16
CREDENTIALS = 100
WARM_SECONDS = 0.5
TEMPLATES, PODS = 20, 20
STRANGERS = 1000
"""Templates of one pod each: more than the webhook remembers."""


def render_container(template: int, mark: str) -> dict[str, object]:
    """Return a container with three references and a template over one of them."""
    return {
        "name": "app", "image": "registry.example.com/crew@sha256:" + "a" * 64, "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "crew"], "args": ["run", "--inputs", "/etc/crew/inputs.json"],
        "env": [
            {"name": "OPENAI_API_KEY", "value": f"secret://demo/openai-api-key-{template}"},
            {"name": "DB_PASSWORD", "value": f"secret://demo/db_password_{template}"},
            {"name": "DB_URL", "value": "postgres://app:$(DB_PASSWORD)@db.team-a.svc:5432/app"},
            {"name": "PROFILE", "value": "secret://demo/profile#user"},
            {"name": "KICKOFF_ID", "value": mark},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        ],
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": [
            {"name": "inputs", "mountPath": "/etc/crew"},
            {"name": f"kube-api-access-{mark}", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
        ],
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip


def render_reviews(templates: int, pods: int) -> list[bytes]:
    """Return reviews of so many pods of so many templates, mixed."""
    return [render_review(template, f"{pod:05x}") for pod in range(pods) for template in range(templates)]


def render_review(template: int, mark: str) -> bytes:
    """Return the review of a pod as a Job's controller creates it: about 3.5 KB; ``mark`` is what only this pod has."""
    job = f"0e1b6f0a-6d4d-4e39-{template:04x}-2b8c5c2{mark}"
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "crew-", "namespace": "team-a", "uid": f"5b1c2d7e-9f4a-4b7e-{template:04x}-0d5f5f8{mark}",
            "creationTimestamp": None,
            "labels": {
                "identity.crewai.com/inject": "true", "app": "crew", "batch.kubernetes.io/job-name": "crew",
                "batch.kubernetes.io/controller-uid": job, "job-name": "crew",
            },
            "annotations": {"prometheus.io/scrape": "true", "kubectl.kubernetes.io/default-container": "app"},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "crew", "controller": True,
                                 "uid": job, "blockOwnerDeletion": True}],
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
                               "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:generateName": {}}}}],
        },
        "spec": {
            "containers": [render_container(template, mark)], "restartPolicy": "Never", "terminationGracePeriodSeconds": 30,
            "volumes": [
                {"name": "inputs", "configMap": {"name": "crew-inputs", "defaultMode": 420}},
                {"name": f"kube-api-access-{mark}", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}},
            ],
            "dnsPolicy": "ClusterFirst", "serviceAccountName": "crew", "serviceAccount": "crew",
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "schedulerName": "default-scheduler", "enableServiceLinks": True, "priority": 0,
            "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": [{"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute",
                             "tolerationSeconds": 300} for key in ("not-ready", "unreachable")],
        },
        "status": {},
    }  # fmt: skip
    request = {
        "uid": f"705ab4f5-6393-11e8-{template:04x}-42010a8{mark}", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "team-a", "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:job-controller"}, "object": pod, "oldObject": None,
        "dryRun": False, "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }  # fmt: skip
    body = json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
    head = "POST /v1/mutate?timeout=5s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Accept-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def serve(kind: str, folder: Path, core: int) -> None:
    """Run one of the two servers until the standard input ends; prints its port."""
    os.sched_setaffinity(0, {core})
    from aiohttp import web

    from wi_operator.admission import server
    from wi_operator.core.certificate import ReloadingCertificate

    app = build_ours(folder) if kind == "ours" else build_noop(web)
    runner = await server.start(app, host="127.0.0.1", port=0, tls=ReloadingCertificate(folder).server_context())
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


def build_ours(folder: Path):
    from prometheus_client import CollectorRegistry

    from wi_operator.admission import server
    from wi_operator.admission.metrics import AdmissionMetrics
    from wi_operator.admission.settings import InjectionSettings
    from wi_operator.core.clock import SystemClock
    from wi_operator.core.log import configure
    from wi_operator.core.log_quickly import encode_quickly
    from wi_operator.index.store import Index

    configure("INFO", encode=encode_quickly)
    index = Index()
    ready = {"conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded"}]}
    for namespace in ("team-a", *(f"team-{number}" for number in range(CREDENTIALS - 1))):
        where = {"namespace": namespace}
        index.put_config({"metadata": {**where, "name": "azure"}, "spec": {"provider": "Azure", "default": True}})
        spec = {"provider": "AzureKeyVault"}
        index.put_credential({"metadata": {**where, "name": "demo"}, "spec": spec, "status": ready})
    settings = InjectionSettings(
        sidecar_image="registry.example.com/wi@sha256:" + "0" * 64,
        grants_url="https://wi-issuer-grants.wi-system.svc",
        ca_bundle=(folder / "ca.crt").read_text(),
    )
    return server.build_app(
        index=index,
        settings=lambda: settings,
        is_ready=lambda: True,
        metrics=AdmissionMetrics(CollectorRegistry()),
        clock=SystemClock(),
    )


def build_noop(web):
    """The least that a webhook can do: read the review, and allow it."""
    import orjson

    async def answer(request):
        review = orjson.loads(await request.read())
        response = {"uid": review["request"]["uid"], "allowed": True}
        body = orjson.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/mutate", answer)
    return app


class Load:
    """Connections that each send the next review when the answer to the last one is whole."""

    def __init__(self, port: int, clients: int, ca: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        self._reviews: Iterator[bytes] = iter(())
        self._selector = selectors.DefaultSelector()
        self._begun: dict[ssl.SSLSocket, float] = {}
        self.latencies: list[float] = []
        for _ in range(clients):
            plain = socket.create_connection(("127.0.0.1", port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = context.wrap_socket(plain, server_hostname="localhost")
            self._selector.register(connection, selectors.EVENT_READ)

    def run(self, reviews: Iterator[bytes], seconds: float) -> float:
        """Load for that long; returns answers a second."""
        self.latencies, self._reviews = [], reviews
        began = time.perf_counter()
        for key in self._selector.get_map().values():
            self._ask(key.fileobj)
        while time.perf_counter() - began < seconds:
            self._answer_ready(ask=True)
        took = time.perf_counter() - began
        count = len(self.latencies)
        while self._begun:
            self._answer_ready(ask=False)
        return count / took

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _answer_ready(self, *, ask: bool) -> None:
        for key, _ in self._selector.select(5):
            connection = key.fileobj
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK"), answer[:100]
            head, _, body = answer.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65536)
            self.latencies.append((time.perf_counter() - self._begun.pop(connection)) * 1000)
            if ask:
                self._ask(connection)

    def _ask(self, connection) -> None:
        self._begun[connection] = time.perf_counter()
        connection.sendall(next(self._reviews))


def choose_python() -> str:
    """Return the distribution's interpreter, as in the image, if our compiled packages fit it; else our own."""
    found = find_python()
    version = subprocess.run([found, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
    return found if version.stdout.strip() == str(sys.version_info[:2]) else sys.executable


@contextlib.contextmanager
def serving(kind: str, folder: Path, core: int) -> Iterator[tuple[int, int]]:
    """Yield port and process id of a server."""
    command = [choose_python(), __file__, "serve", kind, str(folder), str(core)]
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env={"PYTHONPATH": packages}
        )
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.stdin.close()
        process.wait(15)


def main() -> int:
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
        return 0
    given = [float(each) for each in sys.argv[1:]]
    passes, seconds = (*given, *(20, 0.5)[len(given) :])
    figures = Figures()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    print(
        f"admission: reviews of {len(render_review(0, '00000'))} bytes, {TEMPLATES} templates, {CLIENTS} connections, "
        f"one core for the server, {choose_python()}"
    )
    # Not at the top: the servers have no use for the library behind it.
    from wi_testkit.pki import CertificateAuthority

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        authority = CertificateAuthority()
        authority.issue(["localhost"]).write(folder)
        authority.write(folder / "ca.crt")
        servers = {kind: stack.enter_context(serving(kind, folder, cores[0])) for kind in ("ours", "noop")}
        measure(figures, servers, folder, int(passes), seconds)
    return figures.close()


Figure = dict[str, list[float]]


class Lane(NamedTuple):
    """What is asked of which process; reviews come round and round."""

    load: Load
    reviews: Iterator[bytes]
    process: int


def measure(figures: Figures, servers, folder: Path, passes: int, seconds: float) -> None:
    known, strangers = render_reviews(TEMPLATES, PODS), render_reviews(STRANGERS, 1)

    def connect(clients: int) -> dict[str, Lane]:
        ours, noop = (Load(servers[kind][0], clients, folder / "ca.crt") for kind in ("ours", "noop"))
        return {
            "ours": Lane(ours, itertools.cycle(known), servers["ours"][1]),
            "noop": Lane(noop, itertools.cycle(known), servers["noop"][1]),
            "strangers": Lane(ours, itertools.cycle(strangers), servers["ours"][1]),
        }

    rates, wall, tails = load_together(connect(CLIENTS), passes, seconds)
    alone = load_alone(connect(1), passes, seconds / 4)
    figures.tell("reviews in a second of one core", rates["ours"], "/s", least=4000)
    figures.tell("  by the wall clock", wall["ours"], "/s")
    figures.tell("  of templates never seen", rates["strangers"], "/s")
    figures.tell("an aiohttp server that allows everything", rates["noop"], "/s")
    figures.tell("  by the wall clock", wall["noop"], "/s")
    # Of the wall clock: the other server waits for the load's core, as a webhook waits for its API server.
    figures.tell("webhook ÷ that server, under the same load", divide(wall["ours"], wall["noop"]), "", least=0.4)
    figures.tell("  of their CPU time", divide(rates["ours"], rates["noop"]))
    figures.tell("  of templates never seen", divide(wall["strangers"], wall["noop"]))
    figures.tell(f"p99 at {CLIENTS} connections", tails["ours"], "ms", most=10)
    figures.tell("p99 at one connection", alone["ours"], "ms")
    added = [ours - noop for ours, noop in zip(alone["ours"], alone["noop"], strict=True)]
    figures.tell("  added to that server's", added, "ms", most=2)
    figures.tell("resident after the load", [read_memory(servers["ours"][1], "VmRSS")], "MiB", most=60)
    lines = len((folder / "ours.log").read_bytes().splitlines())
    assert lines > (sum(wall["ours"]) + sum(wall["strangers"])) * seconds, "the log is missing"


def load_together(lanes: dict[str, Lane], passes: int, seconds: float) -> tuple[Figure, ...]:
    """Load each in turn, again and again; returns reviews in a second of CPU and of the wall clock, and the p99s in ms."""
    rates, wall, tails = ({lane: [] for lane in lanes} for _ in range(3))
    for load, reviews, _ in lanes.values():
        load.run(reviews, WARM_SECONDS)
    for _ in range(passes):
        for lane, (load, reviews, process) in lanes.items():
            before = read_cpu(process)
            answered = load.run(reviews, seconds) * seconds
            rates[lane].append(answered / (read_cpu(process) - before))
            wall[lane].append(answered / seconds)
            tails[lane].append(percentile(load.latencies, 0.99))
    for load in {lane.load for lane in lanes.values()}:
        load.close()
    return rates, wall, tails


def load_alone(lanes: dict[str, Lane], passes: int, seconds: float) -> Figure:
    """Ask over one connection each; returns the p99s in ms."""
    tails: Figure = {lane: [] for lane in lanes}
    for _ in range(passes):
        for lane, (load, reviews, _) in lanes.items():
            load.run(reviews, seconds)
            tails[lane].append(percentile(load.latencies, 0.99))
    for load in {lane.load for lane in lanes.values()}:
        load.close()
    return tails


def divide(first: list[float], second: list[float]) -> list[float]:
    """Divide pass by pass."""
    return [one / other for one, other in zip(first, second, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
