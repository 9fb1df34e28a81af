"""Keys and CA rotate while kickoffs go on, against a cloud that keeps key sets; in real time, in real pods."""

import json
import threading
import time
from contextlib import contextmanager

from wi_testkit.loops import kickoffs_going_on
from wi_testkit.rotations import PATIENCE, SYSTEM, leaf_signer, rotate_authority, rotate_key, timetable

CACHE_SECONDS = 15.0
PUBLISH_SECONDS = 30
SHORT = {"wi-issuer": {"WI_GRANT_SECONDS": "60"}}
SHORT["wi-controller"] = SHORT["wi-issuer"] | {
    "WI_PUBLISH_BEFORE_SECONDS": str(PUBLISH_SECONDS),
    "WI_RETIRE_AFTER_SECONDS": "75",
}
LONG = {"WI_GRANT_SECONDS": "3600", "WI_PUBLISH_BEFORE_SECONDS": "86400", "WI_RETIRE_AFTER_SECONDS": "7200"}


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
        with kickoffs_going_on(team) as loops:
            first = next(key["kid"] for key in timetable(world))
            # The looping pod was made before: without an administrator's word the next CA would wait for its end.
            authority = threading.Thread(target=rotate_authority, args=(world,), kwargs={"settle_seconds": 20})
            authority.start()
            second = rotate_key(world, publish_seconds=PUBLISH_SECONDS)
            third = rotate_key(world, publish_seconds=PUBLISH_SECONDS)
            authority.join(PATIENCE)
            time.sleep(CACHE_SECONDS + 20)
        print(f"\nkickoffs {loops.kickoffs}, failed {loops.failed}")
        assert loops.failed == 0, loops.told
        assert loops.kickoffs > 150
        assert minted_with(world, team.name) >= {first, second, third}
        assert len(leaf_signer(world)[1]) == 2
        team.wait_ready("wic/azure", "spcred/demo")
