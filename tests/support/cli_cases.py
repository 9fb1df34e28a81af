"""Objects as the API server shows them, and a cluster that is a table of answers."""

from wi_operator.cluster.errors import NotFoundError

NOW = 1_795_000_000.0
SUBJECT = "organization:5b0fba8c-43f1-4c0a-9d4c-6d1f0f5b7a01"
CLIENT = "c0ffee00-1234-4abc-9def-0123456789ab"
KID = "x1Tq0Yk3vVbCk0aQd0l5nB8s6mJ2hGf4eD9cLw7uRtE"


def condition(kind, status="True", reason="Succeeded", message="", generation=1):
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": "2026-11-18T04:00:00Z",
    }


def config(namespace="team-a", name="azure", *, conditions=None, provider="Azure", generation=1, **status):
    conditions = [condition("Ready")] if conditions is None else conditions
    federation = {
        "issuer": "https://identity.demo.test",
        "subject": SUBJECT,
        "audience": "api://AzureADTokenExchange",
        "organization": SUBJECT.partition(":")[2],
    }
    azure = {"azure": {"tenantId": "7f3d5c1e-2a6b-4e0f-8b57-0c1d2e3f4a5b", "clientId": CLIENT}}
    return {
        "metadata": {"namespace": namespace, "name": name, "generation": generation},
        "spec": {"provider": provider, **(azure if provider == "Azure" else {})},
        "status": {
            "conditions": conditions,
            "federation": federation,
            "handshake": {"lastSuccessTime": "2026-11-18T11:00:00Z", "observedTestRequest": ""},
        }
        | status,
    }


def credential(namespace="team-a", name="demo", *, conditions=None, **more):
    conditions = [condition("Ready")] if conditions is None else conditions
    return {
        "metadata": {"namespace": namespace, "name": name, "generation": 1},
        "spec": {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": "https://demo.vault.azure.net"}} | more,
        "status": {
            "conditions": conditions,
            "workloadIdentityConfig": {"name": "azure", "uid": "u"},
            "handshake": {"lastSuccessTime": "2026-11-18T11:00:00Z"},
        },
    }


def deployment(name, ready=2, desired=2, **env):
    variables = [{"name": key, "value": value} for key, value in env.items()]
    container = {"name": name, "image": "registry.example.com/operator:0.1.0", "env": variables}
    return {
        "metadata": {"name": name, "namespace": "wi-system"},
        "spec": {"replicas": desired, "template": {"spec": {"containers": [container]}}},
        "status": {"readyReplicas": ready},
    }


def pod(name="kickoff-x7k2p", *, phase="Succeeded", injected=True, ended=None, annotations=None, env=None):
    declared = (
        '{"version":1,"containers":{"app":{"entries":[{"name":"GREETING","reference":"secret://demo/greeting"}]}}}'
    )
    sidecar = {"name": "wi-sidecar", "env": [{"name": "WI_DECLARATION", "value": declared}]}
    state = {"terminated": ended} if ended else {"running": {}}
    return {
        "metadata": {
            "namespace": "team-a",
            "name": name,
            "creationTimestamp": "2026-11-18T11:02:00Z",
            "annotations": annotations or {},
        },
        "spec": {"initContainers": [sidecar] if injected else [], "containers": [{"name": "app", "env": env or []}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "app", "state": state}]},
    }


class FakeClient:
    """Answers from a table; an exception in it is raised."""

    def __init__(self, answers):
        self.answers, self.calls = answers, []

    async def get(self, path, **query):
        self.calls.append(("GET", path))
        answer = self.answers.get(path)
        if answer is None:
            raise NotFoundError(f"GET {path}", 404, "not found")
        if isinstance(answer, Exception):
            raise answer
        return answer(path) if callable(answer) else answer

    get_metadata = get

    async def list(self, path, *, selectors=None, metadata_only=False):
        self.calls.append(("LIST", path))
        answer = self.answers.get(path, [])
        if isinstance(answer, Exception):
            raise answer
        return list(answer), "1"

    async def merge(self, path, body, **query):
        self.calls.append(("PATCH", path, body))
        answer = self.answers.get(("PATCH", path))
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer(body)
        return {}

    merge_blind = merge
