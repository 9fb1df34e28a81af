"""Keys and CA rotate while kickoffs go on, against a cloud that keeps key sets; in real time, in real pods."""

import base64
import json
import re
import threading
import time
from contextlib import contextmanager

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from wi_testkit.stage.errors import StageError

SYSTEM = ("-n", "wi-system")
CACHE_SECONDS = 15.0
PUBLISH_SECONDS = 30
SHORT = {"wi-issuer": {"WI_GRANT_SECONDS": "60"}}
SHORT["wi-controller"] = SHORT["wi-issuer"] | {
    "WI_PUBLISH_BEFORE_SECONDS": str(PUBLISH_SECONDS),
    "WI_RETIRE_AFTER_SECONDS": "75",
}
LONG = {"WI_GRANT_SECONDS": "3600", "WI_PUBLISH_BEFORE_SECONDS": "86400", "WI_RETIRE_AFTER_SECONDS": "7200"}
PATIENCE = 240
GROUP = "identity.crewai.com"


@contextmanager
def short_times(world):
    """Lives of a minute: otherwise a rotation takes days."""
    set_times(world, SHORT)
    world.entra.set(jwksCacheSeconds=CACHE_SECONDS)
    try:
        yield
    finally:
        world.entra.set(jwksCacheSeconds=0.0)
        set_times(world, {name: {key: LONG[key] for key in values} for name, values in SHORT.items()})


def set_times(world, deployments):
    for name, values in deployments.items():
        pairs = [f"{key}={value}" for key, value in values.items()]
        world.kubectl(*SYSTEM, "set", "env", f"deployment/{name}", *pairs)
        world.kubectl(*SYSTEM, "rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=150)


def wait(is_true, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := is_true()):
        if time.monotonic() > deadline:
            raise StageError(f"{what}: not within {PATIENCE} s")
        time.sleep(1)
    return found


class Loops(threading.Thread):
    """Kickoffs without a break: in a pod that runs on, and each in a pod of its own with a grant of its own."""

    def __init__(self, team):
        super().__init__(daemon=True)
        self.team, self.worker = team, team.start_worker("loop", {"APP_A": "secret://demo/a"})
        self.ended, self.kickoffs, self.failed, self.told = threading.Event(), 0, 0, []
        self.jobs = threading.Thread(target=self._run_jobs, daemon=True)

    def run(self):
        self.jobs.start()
        while not self.ended.is_set():
            said = self.worker.kick_for(10)
            done, failed = map(int, re.fullmatch(r"kickoffs (\d+), failed (\d+)", said.splitlines()[-1]).groups())
            self._count(done, failed, said)
        self.jobs.join(120)

    def _run_jobs(self):
        while not self.ended.is_set():
            outcome = self.team.kick("fresh", {"APP_A": "secret://demo/a"})
            self._count(1, 0 if outcome.succeeded else 1, outcome.termination_message + outcome.log)

    def _count(self, done, failed, said):
        self.kickoffs += done
        self.failed += failed
        if failed:
            self.told.append(said)


def timetable(world):
    found = json.loads(world.kubectl(*SYSTEM, "get", "configmap", "wi-issuer-state", "-o", "json"))
    return json.loads(found["data"]["state.json"])["keys"]


def annotate(world, secret, **annotations):
    pairs = [f"{GROUP}/{name.replace('_', '-')}={value}" for name, value in annotations.items()]
    world.kubectl(*SYSTEM, "annotate", "--overwrite", "secret", secret, *pairs)


def rotate(world, request):
    """Ask for a rotation; return the new key's id once it signs."""
    known = {key["kid"] for key in timetable(world)}
    annotate(world, "wi-issuer-keys", rotate=request)
    kid = wait(lambda: next((k["kid"] for k in timetable(world) if k["kid"] not in known), ""), "publication")

    def signs():
        entry = next(key for key in timetable(world) if key["kid"] == kid)
        published, after = entry["publishedAt"], entry["signAfter"]
        if after:
            assert moment(after) - moment(published) >= PUBLISH_SECONDS
        return after and moment(after) <= time.time()

    wait(signs, f"signing with {kid}")
    return kid


def moment(text):
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone


def leaf_signer(world):
    """Return the certificate in the public bundle that signed the issuer's leaf, and the bundle."""
    data = json.loads(world.kubectl(*SYSTEM, "get", "secret", "wi-issuer-tls", "-o", "json"))["data"]
    bundle = json.loads(world.kubectl(*SYSTEM, "get", "configmap", "wi-ca-bundle", "-o", "json"))["data"]["ca.crt"]
    leaf = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
    authorities = x509.load_pem_x509_certificates(bundle.encode())
    for authority in authorities:
        try:
            leaf.verify_directly_issued_by(authority)
        except (InvalidSignature, ValueError):
            continue
        return authority, authorities
    raise AssertionError("no CA of the bundle signed the leaf")


def rotate_ca(world):
    before, _ = leaf_signer(world)
    annotate(world, "wi-internal-ca", rotate="1")
    wait(lambda: len(leaf_signer(world)[1]) == 2, "the next CA in the bundle")
    # The looping pod was made before: without an administrator's word the next CA would wait for its end.
    time.sleep(20)
    assert leaf_signer(world)[0] == before
    annotate(world, "wi-internal-ca", rotate_now="1")
    wait(lambda: leaf_signer(world)[0] != before, "leaves of the next CA")


def minted_with(world, namespace):
    """Return the ids of the keys that signed for pods of the namespace, by the issuers' audit lines."""
    selector = "--selector=app.kubernetes.io/component=issuer"
    lines = world.kubectl(*SYSTEM, "logs", selector, "--tail=-1", "--max-log-requests=8").splitlines()
    records = [json.loads(line) for line in lines if '"assertion minted"' in line]
    return {record["kid"] for record in records if record.get("namespace") == namespace}


def test_keys_rotate_twice_and_the_ca_once_while_kickoffs_go_on(world):
    team = world.add_team("t-rotation")
    with short_times(world):
        team.set_up()
        team.set_secret("a", "planted-a")
        loops = Loops(team)
        loops.start()
        first = next(key["kid"] for key in timetable(world))
        authority = threading.Thread(target=rotate_ca, args=(world,))
        authority.start()
        second = rotate(world, "1")
        third = rotate(world, "2")
        authority.join(PATIENCE)
        time.sleep(CACHE_SECONDS + 20)
        loops.ended.set()
        loops.join(150)
        print(f"\nkickoffs {loops.kickoffs}, failed {loops.failed}")
        assert loops.failed == 0, loops.told
        assert loops.kickoffs > 150
        assert minted_with(world, team.name) >= {first, second, third}
        assert len(leaf_signer(world)[1]) == 2
        team.wait_ready("wic/azure", "spcred/demo")
