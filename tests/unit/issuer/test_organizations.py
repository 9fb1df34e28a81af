"""An annotation counts only while its policy is in force, the same one before and after the change."""

import copy
from pathlib import Path

import pytest
import yaml

from wi_operator.cluster.errors import NotFoundError, UnreachableError
from wi_operator.index.objects import Organization
from wi_operator.index.store import Index
from wi_operator.issuer.organizations import Organizations, judge_guard, read_expected

ROOT = Path(__file__).parents[3]
TEMPLATE = ROOT / "charts/workload-identity-operator/templates/policy-organization.yaml"
EXPECTED = read_expected()
OURS = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
THEIRS = "3f2504e0-4f89-41d3-9a0c-0305e82c3302"


class Api:
    """Policy and binding of a cluster."""

    def __init__(self):
        self.is_down = False
        self.items = {}
        self.install("1")

    def install(self, uid):
        for kind, spec in (("policies", "policy"), ("policybindings", "binding")):
            path = f"/apis/admissionregistration.k8s.io/v1/validatingadmission{kind}/wi-organization"
            self.items[path] = {"metadata": {"uid": uid, "generation": 1}, "spec": copy.deepcopy(EXPECTED[spec])}

    @property
    def policy(self):
        return next(item for path, item in self.items.items() if "policies" in path)

    async def get(self, path):
        if self.is_down:
            raise UnreachableError(f"GET {path}", 0, "down")
        if path not in self.items:
            raise NotFoundError(f"GET {path}", 404, "")
        return copy.deepcopy(self.items[path])


def namespace(organization="", *, uid="u1", name="team-a"):
    annotations = {"identity.crewai.com/organization": organization} if organization else {}
    return {"metadata": {"name": name, "uid": uid, "annotations": annotations}}


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def organizations(api):
    return Organizations(api, Index())


def of(organizations, name="team-a"):
    return organizations.index.organizations.get(name)


async def test_an_annotation_counts_after_a_look_at_its_policy(organizations):
    organizations.put_namespace(namespace(OURS))
    assert of(organizations) is None
    await organizations.look()
    assert of(organizations) == Organization(OURS, is_implicit=False)
    organizations.put_namespace(namespace(THEIRS))
    assert of(organizations).id == OURS
    await organizations.look()
    assert of(organizations).id == THEIRS


def test_a_namespace_without_annotation_is_its_own_at_once(organizations):
    organizations.put_namespace(namespace())
    assert of(organizations) == Organization("u1", is_implicit=True)


def break_policy(api):
    api.policy["spec"]["failurePolicy"] = "Ignore"
    api.policy["metadata"]["generation"] += 1


def drop_rule(api):
    api.policy["spec"]["validations"].pop()
    api.policy["metadata"]["generation"] += 1


def delete_binding(api):
    del api.items[next(path for path in api.items if "bindings" in path)]


def audit_only(api):
    binding = next(item for path, item in api.items.items() if "bindings" in path)
    binding["spec"]["validationActions"] = ["Audit"]


def narrow(api):
    api.policy["spec"]["matchConstraints"]["namespaceSelector"] = {"matchLabels": {"a": "b"}}


BREAKS = [break_policy, drop_rule, delete_binding, audit_only, narrow]


@pytest.mark.attack(twin="test_an_annotation_counts_after_a_look_at_its_policy")
@pytest.mark.parametrize("breaks", BREAKS)
async def test_an_organization_set_while_the_policy_is_not_in_force_is_not_believed(api, organizations, caplog, breaks):
    organizations.put_namespace(namespace(OURS))
    await organizations.look()
    breaks(api)
    organizations.put_namespace(namespace(THEIRS))
    await organizations.look()
    assert of(organizations).id == OURS
    assert organizations.fault
    assert organizations.disputed == ("team-a",)
    assert organizations.index.disputed == {"team-a": THEIRS}
    assert "OrganizationPolicyModified" in str([getattr(record, "wi_fields", {}) for record in caplog.records])
    # Repaired: what was set in between stays disputed until it is set anew under the policy.
    api.install("2")
    await organizations.look()
    organizations.put_namespace(namespace(THEIRS))
    await organizations.look()
    assert (of(organizations).id, organizations.fault) == (OURS, "")
    organizations.put_namespace(namespace(OURS))
    assert organizations.disputed == ()
    assert organizations.index.disputed == {}
    organizations.put_namespace(namespace(THEIRS))
    await organizations.look()
    assert of(organizations).id == THEIRS


@pytest.mark.attack(twin="test_an_annotation_counts_after_a_look_at_its_policy")
async def test_a_policy_that_was_away_between_two_looks_is_noticed(api, organizations):
    organizations.put_namespace(namespace(OURS))
    await organizations.look()
    api.install("2")  # deleted and made anew, the same text
    organizations.put_namespace(namespace(THEIRS))
    await organizations.look()
    assert of(organizations).id == OURS
    assert organizations.disputed == ("team-a",)


async def test_leaving_an_organization_under_the_policy_is_believed(organizations):
    organizations.put_namespace(namespace(OURS))
    await organizations.look()
    organizations.put_namespace(namespace())
    await organizations.look()
    assert of(organizations) == Organization("u1", is_implicit=True)


async def test_a_namespace_made_anew_under_the_policy_is_believed(organizations):
    organizations.put_namespace(namespace(OURS))
    await organizations.look()
    organizations.put_namespace(namespace(OURS, uid="u2"))
    await organizations.look()
    assert of(organizations) == Organization(OURS, is_implicit=False)


@pytest.mark.attack(twin="test_leaving_an_organization_under_the_policy_is_believed")
async def test_leaving_an_organization_unguarded_is_not_believed_either(api, organizations):
    organizations.put_namespace(namespace(OURS))
    await organizations.look()
    delete_binding(api)
    organizations.put_namespace(namespace())
    await organizations.look()
    assert of(organizations).id == OURS


@pytest.mark.attack(twin="test_a_namespace_made_anew_under_the_policy_is_believed")
async def test_a_namespace_made_anew_inherits_nothing(api, organizations):
    organizations.put_namespace(namespace(OURS))
    await organizations.look()
    delete_binding(api)
    organizations.put_namespace(namespace(OURS, uid="u2"))
    await organizations.look()
    assert of(organizations) is Organization.UNVERIFIED


async def test_an_installation_that_begins_without_the_policy_believes_it_once_it_is_there(api, organizations):
    items, api.items = api.items, {}
    organizations.put_namespace(namespace(OURS))
    organizations.put_namespace(namespace(name="plain", uid="u9"))
    await organizations.look()
    assert of(organizations) is Organization.UNVERIFIED
    assert of(organizations, "plain").id == "u9"
    api.items = items
    await organizations.look()
    assert of(organizations).id == OURS
    assert organizations.disputed == ()


async def test_an_api_server_that_is_away_changes_nothing(api, organizations):
    organizations.put_namespace(namespace(OURS))
    await organizations.look()
    api.is_down = True
    organizations.put_namespace(namespace(THEIRS))
    with pytest.raises(UnreachableError):
        await organizations.look()
    assert of(organizations).id == OURS
    api.is_down = False
    await organizations.look()
    assert of(organizations).id == THEIRS


def test_what_is_expected_is_what_the_chart_installs():
    policy, binding = yaml.safe_load_all(TEMPLATE.read_text())
    for name, item in (("policy", policy), ("binding", binding)):
        assert {key: EXPECTED[name][key] for key in item["spec"] if key != "matchConstraints"} == {
            key: value for key, value in item["spec"].items() if key != "matchConstraints"
        }
    assert judge_guard({}, binding, EXPECTED) == "the policy wi-organization is missing"
