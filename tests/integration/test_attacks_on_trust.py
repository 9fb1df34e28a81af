"""Attempts to become another organization, or to lead a token elsewhere, on a real API server."""

import json
import urllib.error
import urllib.parse
import urllib.request

import pytest
from attack_scene import (
    AUDIENCE,
    CLIENT,
    ORGANIZATION,
    OTHER_CLIENT,
    OURS,
    TENANT,
    assert_granted,
    config,
    controller_token,
    credential,
    fails,
    handshake_body,
    make_object,
)

from wi_testkit.controlplane.errors import ControlPlaneError

pytestmark = pytest.mark.usefixtures("honest")

# --- whose a namespace is ---------------------------------------------------------------------------------------


def as_tenant(lab, *arguments, stdin=None):
    tenant = lab.plane.mint_kubeconfig("tenant")
    return lab.plane.run_kubectl(f"--kubeconfig={tenant}", *arguments, stdin=stdin)


@pytest.fixture(scope="module")
def tenant(lab):
    """Somebody who may do everything with namespaces, and with pods, but bind an organization."""
    rules = [
        {"apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"], "verbs": ["*"]},
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "t"},
        "rules": rules,
    }
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "t"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "t"},
        "roleRef": reference, "subjects": [subject],
    }  # fmt: skip
    lab.apply(role, binding)
    lab.add_namespace("team-c")
    lab.wait(lambda: is_refused(lab, "replace", "--raw", "/api/v1/namespaces/team-c"), "the policy in force")


def is_refused(lab, *arguments):
    try:
        as_tenant(lab, *arguments, "--filename=-", stdin=json.dumps(claimed(lab)))
    except ControlPlaneError as error:
        return "needs the verb bind" in str(error)
    return False


def claimed(lab):
    item = lab.read("namespace", "team-c")
    item["metadata"].setdefault("annotations", {})[ORGANIZATION] = OURS
    return item


@pytest.mark.attack(twin="test_a_tenant_may_change_everything_else_of_its_namespace")
@pytest.mark.parametrize("way", ["", "/status", "/finalize"])
def test_a_tenant_that_annotates_its_namespace(lab, tenant, way):
    assert is_refused(lab, "replace", "--raw", f"/api/v1/namespaces/team-c{way}")
    lab.add_pod("team-c", "kick")
    answer = lab.grant(lab.pod_token("team-c", "kick"))
    assert answer.document["organization"] == lab.read("namespace", "team-c")["metadata"]["uid"]


@pytest.mark.parametrize("way", ["", "/status", "/finalize"])
def test_a_tenant_may_change_everything_else_of_its_namespace(lab, tenant, way):
    """The same change without the annotation is allowed: it is the organization that is refused."""
    plain = lab.read("namespace", "team-c")
    plain["metadata"]["labels"]["touched"] = "yes"
    as_tenant(lab, "replace", "--raw", f"/api/v1/namespaces/team-c{way}", "--filename=-", stdin=json.dumps(plain))
    assert ORGANIZATION not in lab.read("namespace", "team-c")["metadata"].get("annotations", {})


@pytest.mark.attack(twin="test_an_organization_that_an_administrator_sets_counts")
def test_an_organization_that_was_set_behind_the_policys_back(lab, tenant):
    """The cluster's policy is away for a moment: what was set then is not believed, also after the repair."""
    lab.add_namespace("team-d")
    lab.add_pod("team-d", "kick")
    lab.apply(config("azure", "team-d"))
    own = lab.read("namespace", "team-d")["metadata"]["uid"]
    token = lab.pod_token("team-d", "kick")
    lab.wait(lambda: lab.grant(token).document.get("organization") == own, "the implicit organization")
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/wi-organization"
    binding = json.loads(lab.plane.run_kubectl("get", "--raw", path))
    lab.plane.run_kubectl("delete", "--raw", path)
    annotation = f"{ORGANIZATION}={OURS}"
    lab.wait(lambda: not fails(as_tenant, lab, "annotate", "--overwrite", "namespace", "team-d", annotation), "the gap")
    lab.wait(lambda: "OrganizationDisputed" in lab.log("issuer-0"), "the alarm")
    refused = lab.grant(token)
    assert refused.document.get("organization", "") != OURS, refused
    # The controller is told, so that whoever looks at the namespace's own objects sees it too.
    told = lab.ask("/v1/handshakes", handshake_body(lab, "team-d"), controller_token(lab)).document
    assert (told["organization"], told["disputed"]) == (own, OURS)
    del binding["metadata"]["uid"], binding["metadata"]["resourceVersion"], binding["metadata"]["managedFields"]
    lab.apply(binding)
    lab.wait(lambda: "in force again" in lab.log("issuer-0"), "the repair")
    assert lab.grant(token).document.get("organization", "") != OURS
    # An administrator sets it anew, and it counts.
    lab.plane.run_kubectl("annotate", "namespace", "team-d", f"{ORGANIZATION}-")
    lab.wait(lambda: lab.grant(token).document.get("organization") == own, "the old organization")
    lab.plane.run_kubectl("annotate", "namespace", "team-d", annotation)
    lab.wait(lambda: lab.grant(token).document.get("organization") == OURS, "the new organization")


def test_an_organization_that_an_administrator_sets_counts(lab, tenant):
    lab.add_namespace("team-e")
    lab.add_pod("team-e", "kick")
    token = lab.pod_token("team-e", "kick")
    lab.plane.run_kubectl("annotate", "namespace", "team-e", f"{ORGANIZATION}={OURS}")
    lab.wait(lambda: lab.grant(token).document.get("organization") == OURS, "the organization")
    assert lab.grant(token).document["refusals"][0]["reason"] == "CredentialNotFound"


# --- where tokens may go ----------------------------------------------------------------------------------------

HOSTS = [
    "https://demo.vault.azure.net.attacker.test",
    "https://attacker.test",
    "https://vault.azure.net",
    "https://a.b.vault.azure.net",
    "https://demo.vault.azure.net:8443",
    "https://demovault.azure.net",
    "https://demo.vault.azure.cn",
    "https://demo-vault-azure-net.attacker.test",
    "https://login.microsoftonline.com.attacker.test",
    "https://169.254.169.254",
]


@pytest.mark.parametrize("url", ["https://other.vault.azure.net", "https://169-254-169-254.vault.azure.net/"])
def test_a_vault_on_the_list_gets_an_assertion(lab, pod, url):
    lab.apply(credential("here", vault=url))
    host = url.removeprefix("https://").strip("/")
    lab.wait(lambda: host in json.dumps(lab.grant(pod, "here").document["grants"]), "the grant")
    assert_granted(lab.grant(pod, "here"))


@pytest.mark.attack(twin="test_a_vault_on_the_list_gets_an_assertion")
@pytest.mark.parametrize("url", HOSTS)
def test_a_vault_outside_the_list_gets_no_assertion(lab, pod, url):
    lab.apply(credential("elsewhere", vault=url))

    def refused():
        found = lab.grant(pod, "elsewhere").document
        return found["refusals"] and found["refusals"][0]["detail"]

    lab.wait(lambda: url.removeprefix("https://").split("/")[0] in (refused() or ""), "the refusal")
    document = lab.grant(pod, "elsewhere", "demo").document
    assert [grant["credential"] for grant in document["grants"]] == ["demo"]
    assert document["refusals"][0]["reason"] == "ForbiddenHost"


@pytest.mark.parametrize("url", ["https://demo.vault.azure.net", "https://Demo.Vault.Azure.NET/"])
def test_a_vault_url_that_is_what_it_looks_like_is_accepted(lab, url):
    lab.apply(credential("odd", vault=url))


@pytest.mark.attack(twin="test_a_vault_url_that_is_what_it_looks_like_is_accepted")
@pytest.mark.parametrize(
    "url",
    [
        "http://demo.vault.azure.net", "https://user@demo.vault.azure.net", "https://demo.vault.azure.net@attacker.test",
        "https://demo.vault.azure.net/path", "https://demo.vault.azure.net?x=1", "https://demo.vault.azure.net#x",
        "https://demo.vault.azure.net\\@attacker.test", "https://d\u0435mo.vault.azure.net", "https://demo\u3002vault.azure.net",
        "https://demo.vault.azure.net ", "https://demo.vault.azure.net\t.attacker.test", "https://demo.vault.azure.net//",
        "https://[::1]", "https://demo.vault.azure.net.", "javascript:alert(1)", "//demo.vault.azure.net",
    ],
)  # fmt: skip
def test_a_vault_url_that_is_not_what_it_looks_like_is_refused_by_the_api_server(lab, url):
    with pytest.raises(ControlPlaneError, match="vaultUrl"):
        lab.apply(credential("odd", vault=url))


@pytest.fixture(scope="module")
def authorities(lab, teams, entra):
    """Two custom clouds, one of them on the list: credentials ``by-mine`` and ``by-listed``."""
    custom = {"vaultScope": "https://vault.azure.net/.default"}
    for name, authority in (("mine", "https://login.attacker.test"), ("listed", entra.url)):
        lab.apply(config(name, cloud="Custom", custom=custom | {"authorityHost": authority}))
        spec = {"workloadIdentityRef": {"name": name}}
        lab.apply(
            credential(f"by-{name}", vault=entra.url if name == "listed" else "https://demo.vault.azure.net", **spec)
        )


def test_an_authority_on_the_list_gets_an_assertion(lab, pod, authorities):
    lab.wait(lambda: lab.grant(pod, "by-listed").document["grants"], "the listed one")
    assert_granted(lab.grant(pod, "by-listed"))


@pytest.mark.attack(twin="test_an_authority_on_the_list_gets_an_assertion")
def test_an_authority_outside_the_list_gets_no_assertion(lab, pod, authorities):
    lab.wait(lambda: lab.grant(pod, "by-listed").document["grants"], "the listed one")
    document = lab.grant(pod, "by-mine", "by-listed").document
    assert [grant["credential"] for grant in document["grants"]] == ["by-listed"]
    assert document["refusals"][0]["reason"] == "ForbiddenHost"


PROVIDERS = {"azure": "Azure", "aws": "AWS", "gcp": "GCP"}


@pytest.mark.parametrize(
    ("kind", "block"),
    [
        ("azure", {"tenantId": TENANT, "clientId": CLIENT}),
        ("azure", {"tenantId": "tenant.example", "clientId": CLIENT}),
        ("aws", {"roleArn": "arn:aws:iam::123456789012:role/wi", "region": "eu-west-1"}),
        ("gcp", {"providerResourceName": "projects/1/locations/global/workloadIdentityPools/pool/providers/provider"}),
    ],
)
def test_a_tenant_region_or_project_in_its_form_is_accepted(lab, kind, block):
    lab.apply(
        make_object("WorkloadIdentityConfig", f"good-{kind}", "team-a", {"provider": PROVIDERS[kind], kind: block})
    )


@pytest.mark.attack(twin="test_a_tenant_region_or_project_in_its_form_is_accepted")
@pytest.mark.parametrize(
    ("kind", "block"),
    [
        ("azure", {"tenantId": "attacker.test/x", "clientId": CLIENT}),
        ("azure", {"tenantId": "..", "clientId": CLIENT}),
        ("azure", {"tenantId": "a@b", "clientId": CLIENT}),
        ("azure", {"tenantId": f"{TENANT}?x", "clientId": CLIENT}),
        ("azure", {"tenantId": TENANT, "clientId": "x&scope=y"}),
        ("aws", {"roleArn": "arn:aws:iam::123456789012:role/wi", "region": "attacker.test/"}),
        ("aws", {"roleArn": "arn:aws:iam::123456789012:role/wi", "region": "eu-west-1.attacker.test#"}),
        ("aws", {"roleArn": "arn:aws:iam::x:role/wi?", "region": "eu-west-1"}),
        ("gcp", {"providerResourceName": "projects/1/../../x/locations/global/workloadIdentityPools/p/providers/q"}),
        (
            "gcp",
            {"providerResourceName": "//attacker.test/projects/1/locations/global/workloadIdentityPools/p/providers/q"},
        ),
    ],
)
def test_a_tenant_region_or_project_that_would_change_the_host(lab, kind, block):
    item = make_object("WorkloadIdentityConfig", "injected", "team-a", {"provider": PROVIDERS[kind], kind: block})
    with pytest.raises(ControlPlaneError, match=r"(?i)invalid"):
        lab.apply(item)


# --- the boundary is the organization (design rule 0): two outcomes that are expected ----------------------------


def test_who_may_create_a_pod_may_have_its_organizations_token(lab):
    """A hand-made projected token is as good as the injected one: no webhook stands between."""
    lab.add_pod("team-a", "hand-made", "default")
    assert_granted(lab.grant(lab.pod_token("team-a", "hand-made", "default")))


def test_an_account_may_present_its_organizations_token_for_any_app_that_trusts_it(lab, pod, entra):
    """What the cloud checks is the organization; which config the token was fetched through it cannot know."""
    entra.add_tenant(TENANT)
    for number, client in enumerate((CLIENT, OTHER_CLIENT)):
        entra.add_application(TENANT, client)
        entra.trust(TENANT, client, f"fic-{number}", issuer=lab.url, subject=f"organization:{OURS}", audience=AUDIENCE)
    entra.add_application(TENANT, "99999999-8888-4777-8666-555555555557")
    assertion = lab.grant(pod).document["grants"][0]["assertion"]

    def exchange(client):
        form = {
            "grant_type": "client_credentials", "client_id": client, "scope": "https://vault.azure.net/.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": assertion,
        }  # fmt: skip
        request = urllib.request.Request(
            f"{entra.url}/{TENANT}/oauth2/v2.0/token", urllib.parse.urlencode(form).encode()
        )
        try:
            with urllib.request.urlopen(request, context=lab.authority.client_context()) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    assert "access_token" in exchange(CLIENT)
    assert "access_token" in exchange(OTHER_CLIENT), "expected: least privilege is made in the cloud"
    assert exchange("99999999-8888-4777-8666-555555555557")["error_codes"] == [70025]
