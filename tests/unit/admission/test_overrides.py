"""A pod chooses its sidecar's resources and log level by annotation, and only within the chart's bounds."""

from dataclasses import replace

import pytest

GROUP = "identity.crewai.com"
ENV = [("A", "secret://demo/a")]


def sidecar_of(kit, annotations):
    pod = kit.pod(kit.container(env=ENV), annotations={f"{GROUP}/{name}": text for name, text in annotations.items()})
    verdict = kit.judge(pod)
    assert not verdict.problems, verdict.problems
    return next(c for c in kit.mutate(pod)["spec"]["initContainers"] if c["name"] == "wi-sidecar")


def problems_of(kit, annotations):
    pod = kit.pod(kit.container(env=ENV), annotations={f"{GROUP}/{name}": text for name, text in annotations.items()})
    return kit.judge(pod).problems


def test_without_annotations_the_charts_values_hold(kit):
    expected = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}
    assert sidecar_of(kit, {})["resources"] == expected


def test_resources_and_log_level_are_taken_over(kit):
    chosen = {"sidecar-memory-limit": "128Mi", "sidecar-memory-request": "48Mi", "sidecar-cpu-limit": "0.25",
              "sidecar-log-level": "DEBUG"}  # fmt: skip
    sidecar = sidecar_of(kit, chosen)
    assert sidecar["resources"] == {
        "requests": {"cpu": "10m", "memory": "48Mi"},
        "limits": {"memory": "128Mi", "cpu": "0.25"},
    }
    assert {"name": "WI_LOG_LEVEL", "value": "DEBUG"} in sidecar["env"]


def test_mutating_twice_changes_nothing(kit):
    annotations = {f"{GROUP}/sidecar-memory-limit": "128Mi", f"{GROUP}/sidecar-log-level": "WARNING"}
    once = kit.mutate(kit.pod(kit.container(env=ENV), annotations=annotations))
    verdict = kit.judge(once)
    assert (verdict.problems, list(verdict.operations)) == ((), [])


@pytest.mark.parametrize(
    ("annotation", "text", "said"),
    [
        ("sidecar-memory-limit", "16Mi", "a quantity from 32Mi to 256Mi"),
        ("sidecar-memory-limit", "1Gi", "a quantity from 32Mi to 256Mi"),
        ("sidecar-memory-request", "much", "a quantity from 32Mi to 256Mi"),
        ("sidecar-memory-request", "NaN", "a quantity from 32Mi to 256Mi"),
        ("sidecar-cpu-limit", "1", "a quantity from 1m to 500m"),
        ("sidecar-cpu-request", "0", "a quantity from 1m to 500m"),
        ("sidecar-log-level", "debug", "one of DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_what_the_chart_does_not_leave_to_pods_is_refused(kit, annotation, text, said):
    (problem,) = problems_of(kit, {annotation: text})
    for part in (f"annotation {GROUP}/{annotation}", "InvalidSidecarOverride", repr(text), said):
        assert part in problem


def test_a_request_over_its_limit_is_refused_before_the_api_server_does(kit):
    (problem,) = problems_of(kit, {"sidecar-memory-request": "128Mi"})
    assert "SidecarRequestOverLimit: Its request of memory 128Mi is over its limit of 64Mi." in problem
    assert not problems_of(kit, {"sidecar-memory-request": "128Mi", "sidecar-memory-limit": "128Mi"})


def test_further_variables_of_the_chart_reach_the_sidecar_as_they_are(kit):
    settings = replace(kit.settings, environment={"HTTPS_PROXY": "http://u:$(P)@proxy"})
    pod = kit.mutate(kit.pod(kit.container(env=ENV)), settings=settings)
    sidecar = next(c for c in pod["spec"]["initContainers"] if c["name"] == "wi-sidecar")
    assert {"name": "HTTPS_PROXY", "value": "http://u:$$(P)@proxy"} in sidecar["env"]
