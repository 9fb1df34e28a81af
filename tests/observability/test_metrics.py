"""What the processes expose: well-formed, documented, bounded; and kickoffs that a sidecar tells of at its end."""

import re
import time
from pathlib import Path

import pytest

from wi_testkit.prometheus import run_promtool

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations/metrics.md").read_text()
DOCUMENTED = dict(re.findall(r"^\| `(wi_\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
PROCESSES = ("controller", "issuer", "webhook")
STOP_SECONDS = 3.0


def types(text):
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))


def value(scene, series):
    found = re.search(rf"^{re.escape(series)} (\S+)$", scene.scrape("issuer"), re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("process", PROCESSES)
def test_promtool_finds_nothing_to_complain_of(prometheus, scene, process):
    code, told = run_promtool("check", "metrics", stdin=scene.scrape(process))
    assert (code, told) == (0, "")


def test_what_is_exposed_is_what_is_documented(prometheus, scene):
    exposed = {}
    for process in PROCESSES:
        exposed |= types(scene.scrape(process))
    ours = {name: kind for name, kind in exposed.items() if name.startswith("wi_")}
    assert ours == DOCUMENTED
    assert all(name.startswith("process_") for name in set(exposed) - set(ours))


def test_no_label_holds_a_name_of_a_tenant(prometheus, scene):
    for process in PROCESSES:
        text = scene.scrape(process)
        for name in ("watched", "astray", "s000", "c000", "pod-0", scene.good.organization, "no-such-vault"):
            assert name not in text


def test_a_pod_with_one_kickoff_is_counted_when_it_ends(prometheus, scene, make_pod):
    pod = make_pod("job-0")
    succeeded = 'wi_kickoff_resolve_duration_seconds_count{outcome="succeeded"}'
    before = value(scene, succeeded)
    assert pod.kick() == 0
    assert value(scene, succeeded) == before
    begun = time.monotonic()
    pod.started.stop()
    assert time.monotonic() - begun < STOP_SECONDS
    assert value(scene, succeeded) == before + 1


def test_a_failed_kickoff_is_told_with_its_reason(prometheus, scene, pod):
    missing = 'wi_kickoff_failures_total{reason="SecretNotFound"}'
    before = value(scene, missing)
    assert pod.kick("bad") == 78
    assert pod.kick() == 0
    assert value(scene, missing) == before + 1
