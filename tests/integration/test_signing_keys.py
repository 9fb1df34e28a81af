"""The keys' life on a real API server, with the controller's own rights: taint, loss, and its acceptance."""

import json

GROUP = "identity.crewai.com"
SYSTEM = "--namespace=wi-system"


def kids(lab):
    return [key["kid"] for key in lab.fetch("/oauth2/jwks")["keys"]]


def timetable(lab):
    return json.loads(lab.read("configmap", "wi-issuer-state")["data"]["state.json"])


def annotate(lab, what, **annotations):
    pairs = [f"{GROUP}/{name.replace('_', '-')}={value}" for name, value in annotations.items()]
    lab.plane.run_kubectl("annotate", "--overwrite", SYSTEM, *what.split("/"), *pairs)


def grant(lab):
    lab.add_namespace("team-k")
    lab.add_pod("team-k", "kick")
    return lab.grant(lab.pod_token("team-k", "kick"))


def test_a_tainted_key_is_gone_within_seconds_and_another_one_signs(lab):
    before, epoch = kids(lab), timetable(lab)["epoch"]
    annotate(lab, "secret/wi-issuer-keys", taint=before[-1])
    lab.wait(lambda: before[-1] not in str(timetable(lab)), "the taint")
    assert timetable(lab)["epoch"] == epoch + 1
    lab.wait(lambda: _shown(lab) and before[-1] not in kids(lab), "another key in public", patience=60)
    lab.wait(lambda: any(key["signAfter"] for key in timetable(lab)["keys"]), "one that signs", patience=60)
    lab.wait(lambda: grant(lab).status == 200, "a grant", patience=60)
    entry = f"{before[-1]}.pem"
    lab.wait(
        lambda: entry not in lab.read("secret", "wi-issuer-keys")["data"], "the end of its private half", patience=60
    )


def _shown(lab):
    try:
        return kids(lab)
    except Exception:
        return []


def test_a_lost_key_is_told_and_its_loss_is_accepted_by_name(lab):
    lab.wait(lambda: all(key["signAfter"] for key in timetable(lab)["keys"]), "a quiet timetable", patience=60)
    lost = [key["kid"] for key in timetable(lab)["keys"]]
    lab.plane.run_kubectl("delete", "secret", "wi-issuer-keys", SYSTEM)

    def told():
        events = json.loads(lab.plane.run_kubectl("get", "events", SYSTEM, "--output=json"))["items"]
        return [event for event in events if event["reason"] == "KeyLost"]

    lab.wait(told, "the event")
    assert lab.plane.run_kubectl("get", "secret", "wi-issuer-keys", SYSTEM, "--ignore-not-found") == ""
    # A replica that has the key goes on; one that starts without it says what is lost.
    assert grant(lab).status == 200
    annotate(lab, "configmap/wi-issuer-state", accept_key_loss=lost[0])
    lab.wait(lambda: timetable(lab)["keys"][0]["kid"] not in lost, "a new key", patience=60)
    lab.wait(lambda: _shown(lab) == [timetable(lab)["keys"][0]["kid"]], "the new key in public", patience=60)
    assert grant(lab).status == 200
