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


FIXED = {"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "1000m", "memory": "64Mi"}}


def sidecar_of_guaranteed(kit, *, settings=None, init=(), **annotations):
    annotations = {f"{GROUP}/{name.replace('_', '-')}": text for name, text in annotations.items()}
    pod = kit.pod(kit.container(env=ENV, resources=FIXED), init=init, annotations=annotations)
    once = kit.mutate(pod, settings=settings) if settings else kit.mutate(pod)
    assert list((kit.judge(once, settings=settings) if settings else kit.judge(once)).operations) == []
    return [each["resources"] for each in once["spec"]["initContainers"] if each["name"].startswith("wi-")]


def test_in_a_guaranteed_pod_requests_are_limits(kit):
    fixed = {"cpu": "200m", "memory": "64Mi"}
    assert sidecar_of_guaranteed(kit) == [{"requests": fixed, "limits": fixed}]


def test_a_guaranteed_pods_own_choices_hold(kit):
    chosen = {"sidecar_cpu_limit": "250m", "sidecar_cpu_request": "20m", "sidecar_memory_limit": "128Mi"}
    fixed = {"cpu": "250m", "memory": "128Mi"}
    assert sidecar_of_guaranteed(kit, **chosen) == [{"requests": fixed, "limits": fixed}]
    (more,) = sidecar_of_guaranteed(kit, sidecar_cpu_request="300m")
    assert more["requests"]["cpu"] == more["limits"]["cpu"] == "300m"


@pytest.mark.parametrize("init", [[{"name": "free", "image": "x"}], [{"name": "free", "image": "x", "resources": {}}]])
def test_a_pod_with_one_free_container_is_not_guaranteed(kit, init):
    assert sidecar_of_guaranteed(kit, init=init) == [dict(kit.settings.resources)]


def test_the_chart_may_let_it_become_burstable(kit):
    settings = replace(kit.settings, guaranteed_cpu="")
    assert sidecar_of_guaranteed(kit, settings=settings) == [dict(kit.settings.resources)]


def test_without_a_limit_of_memory_in_the_chart_its_request_is_the_limit(kit):
    settings = replace(kit.settings, resources={"requests": {"memory": "48Mi"}})
    fixed = {"cpu": "200m", "memory": "48Mi"}
    assert sidecar_of_guaranteed(kit, settings=settings) == [{"requests": fixed, "limits": fixed}]
