"""The real SDKs, unmodified and under the real names, complete the handshake against the emulators."""

import msal
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientAssertionCredential
from azure.identity.aio import ClientAssertionCredential as AsyncClientAssertionCredential
from azure.keyvault.secrets import SecretClient
from azure.keyvault.secrets.aio import SecretClient as AsyncSecretClient

TENANT = "33333333-3333-4333-8333-333333333333"
CLIENT = "cccccccc-0000-4000-8000-000000000001"
SUBJECT = "organization:5b6e6f2e-11f1-4c58-8a5c-3c8f5a3f1c22"
AUDIENCE = "api://AzureADTokenExchange"
URL = "https://demo.vault.azure.net"
NAMES = [f"sdk-{number:02}" for number in range(30)]

pytestmark = pytest.mark.usefixtures("real_names", "demo")


@pytest.fixture(scope="module")
def demo(entra, keyvault, static_issuer):
    """A tenant that trusts the static issuer, and a vault with more secrets than one page holds."""
    entra.add_tenant(TENANT)
    oid = entra.add_application(TENANT, CLIENT)
    entra.trust(TENANT, CLIENT, "sdk-test", issuer=static_issuer.url, subject=SUBJECT, audience=AUDIENCE)
    keyvault.add_vault("demo", TENANT)
    keyvault.assign("demo", oid, "Key Vault Secrets User")
    for name in NAMES:
        keyvault.set_secret("demo", name, f"not-a-secret-{name}")


@pytest.fixture
def identity(static_issuer, entra):
    """The arguments of a credential: public cloud, only the CA added."""

    def arguments(**claims):
        wanted = {"sub": SUBJECT, "aud": AUDIENCE, **claims}
        verify = {"connection_verify": str(entra.ca_file)}
        return {"tenant_id": TENANT, "client_id": CLIENT, "func": lambda: static_issuer.mint(wanted), **verify}

    return arguments


@pytest.fixture
def vault(keyvault):
    return {"vault_url": URL, "connection_verify": str(keyvault.ca_file)}


def test_the_sync_clients_get_and_list(identity, vault):
    with ClientAssertionCredential(**identity()) as credential, SecretClient(credential=credential, **vault) as client:
        assert client.get_secret("sdk-07").value == "not-a-secret-sdk-07"
        assert [item.name for item in client.list_properties_of_secrets()] == NAMES


async def test_the_async_clients_get_and_list(identity, vault):
    async with (
        AsyncClientAssertionCredential(**identity()) as credential,
        AsyncSecretClient(credential=credential, **vault) as client,
    ):
        assert (await client.get_secret("sdk-07")).value == "not-a-secret-sdk-07"
        assert [item.name async for item in client.list_properties_of_secrets()] == NAMES


def test_the_sync_client_reads_a_version_and_reports_a_missing_secret(identity, vault, keyvault):
    version = keyvault.secret("demo", "sdk-00")["versions"][0]["version"]
    with ClientAssertionCredential(**identity()) as credential, SecretClient(credential=credential, **vault) as client:
        assert client.get_secret("sdk-00", version).properties.version == version
        with pytest.raises(ResourceNotFoundError) as refused:
            client.get_secret("absent")
    assert refused.value.error.code == "SecretNotFound"


def test_msal_finds_the_endpoint_through_the_metadata(identity, entra):
    client = msal.ConfidentialClientApplication(
        CLIENT,
        client_credential={"client_assertion": identity()["func"]},
        authority=f"https://login.microsoftonline.com/{TENANT}",
        verify=str(entra.ca_file),
    )
    answer = client.acquire_token_for_client(["https://vault.azure.net/.default"])
    assert answer.keys() >= {"access_token", "token_type", "expires_in"}, answer


def test_the_sync_client_is_forbidden_to_set(identity, vault):
    with (
        ClientAssertionCredential(**identity()) as credential,
        SecretClient(credential=credential, **vault) as client,
        pytest.raises(HttpResponseError) as refused,
    ):
        client.set_secret("sdk-00", "not-a-secret")
    assert refused.value.error.innererror["code"] == "ForbiddenByRbac"


def test_the_sync_credential_reports_entras_refusal(identity):
    with (
        ClientAssertionCredential(**identity(sub="organization:x")) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS700213"),
    ):
        credential.get_token("https://vault.azure.net/.default")


async def test_the_async_credential_reports_entras_refusal(identity):
    async with AsyncClientAssertionCredential(**identity(aud="other")) as credential:
        with pytest.raises(ClientAuthenticationError, match="AADSTS700212"):
            await credential.get_token("https://vault.azure.net/.default")
