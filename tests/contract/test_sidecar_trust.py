"""A sidecar learns the issuer's next CA from a grant, and meets its first certificate without a fault."""

import asyncio
import json
import time

import pytest

from wi_operator.agent.process import Sidecar
from wi_operator.agent.retry import Deadline
from wi_operator.agent.settings import read_settings
from wi_operator.core.clock import SystemClock
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_testkit.pki import CertificateAuthority
from wi_testkit.static_issuer import server_context

OLD, NEXT = CertificateAuthority("old"), CertificateAuthority("next")


class Issuer:
    """Serves one grants document; ``authority`` signs its certificate from the next connection on."""

    def __init__(self):
        self.authority, self.bundle, self.connections, self.server, self.port = OLD, OLD.pem.decode(), 0, None, 0

    async def start(self):
        context = server_context(self.authority, "localhost")
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        self.port = self.server.sockets[0].getsockname()[1]

    async def restart(self, authority):
        """Come back with a certificate of another CA, as after a reload: kept connections are gone."""
        self.server.close()
        self.authority = authority
        await self.start()

    async def _serve(self, reader, writer):
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        document = {"organization": "o", "grants": [], "refusals": [], "caBundle": "", "issuerCaBundle": self.bundle}
        body = json.dumps(document).encode()
        head = (
            f'HTTP/1.1 200 OK\r\nETag: "{time.monotonic()}"\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n'
        )
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def issuer():
    issuer = Issuer()
    await issuer.start()
    yield issuer
    issuer.server.close()


def sidecar_for(issuer, folder):
    (folder / "token").write_text("planted")
    entries = [{"name": "A", "reference": "secret://demo/a"}]
    environ = {
        "WI_DECLARATION": json.dumps({"version": 1, "containers": {"app": {"entries": entries}}}),
        "WI_GRANTS_URL": f"https://localhost:{issuer.port}",
        "WI_CA_BUNDLE": OLD.pem.decode(),
        "WI_TOKEN_FILE": str(folder / "token"),
        "WI_RUN_DIR": str(folder / "run"),
    }
    return Sidecar(read_settings(environ), SystemClock())


async def ask(sidecar):
    return await sidecar._grants.revalidate(Deadline.after(SystemClock(), 3.0))


async def test_the_next_ca_is_believed_once_a_grant_has_brought_it(issuer, tmp_path):
    sidecar = sidecar_for(issuer, tmp_path)
    issuer.bundle = OLD.pem.decode() + NEXT.pem.decode()
    await ask(sidecar)
    await issuer.restart(NEXT)
    seen = issuer.connections
    assert (await ask(sidecar)).issuer_ca == issuer.bundle
    assert issuer.connections == seen + 1


@pytest.mark.attack(twin="test_the_next_ca_is_believed_once_a_grant_has_brought_it")
async def test_a_certificate_of_a_ca_that_no_grant_has_brought_is_refused(issuer, tmp_path):
    sidecar = sidecar_for(issuer, tmp_path)
    await issuer.restart(NEXT)
    seen = issuer.connections
    with pytest.raises(DiagnosedError) as refused:
        await ask(sidecar)
    assert refused.value.diagnosis.reason == "IssuerCertificateRejected"
    assert issuer.connections == seen, "nothing was sent"
    await issuer.restart(OLD)
    assert (await ask(sidecar)).organization == "o"


async def test_a_bundle_without_certificates_changes_nothing(issuer, tmp_path):
    sidecar = sidecar_for(issuer, tmp_path)
    issuer.bundle = "no certificate"
    await ask(sidecar)
    issuer.bundle = OLD.pem.decode()
    assert (await ask(sidecar)).organization == "o"
