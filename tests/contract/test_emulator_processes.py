"""The emulators as processes: command line, start and stop; and the test CA that their TLS rests on."""

import os
import ssl
import subprocess
import sys

import pytest

from wi_testkit.emulation import acts
from wi_testkit.emulation.admin import AdminError
from wi_testkit.emulation.process import SOURCE_ROOT, EmulatorStartError, running, started
from wi_testkit.entra.server import running_entra
from wi_testkit.pki import CertificateAuthority
from wi_testkit.stage.emulators import StagedEntra, StagedKeyVault

ENVIRONMENT = {"PYTHONPATH": str(SOURCE_ROOT)}


def run(*arguments):
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)


@pytest.mark.parametrize("module", ["wi_testkit.entra", "wi_testkit.keyvault"])
def test_help_has_examples(module):
    done = run(module, "--help")
    assert done.returncode == 0
    assert f"examples:\n  python -m {module} --listen" in done.stdout


def test_there_is_no_default_admin_token():
    done = run("wi_testkit.entra", "--tls-cert", "x", "--tls-key", "x")
    assert done.returncode == 1
    assert "an admin token is needed" in done.stderr


def test_a_process_ends_with_its_context(test_ca):
    with running("wi_testkit.entra", test_ca, []) as process:
        os.kill(process.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_process_that_does_not_listen_is_an_error():
    with (
        pytest.raises(EmulatorStartError, match="said 'something else"),
        started([sys.executable, "-c", "print('something else')"]),
    ):
        pass


def test_two_emulators_have_ports_and_states_of_their_own(test_ca, entra):
    with running_entra(test_ca) as other:
        other.add_tenant("44444444-4444-4444-8444-444444444444")
        assert other.url != entra.url
        assert "44444444-4444-4444-8444-444444444444" not in entra.state()["tenants"]


@pytest.mark.parametrize(
    ("name", "verified"),
    [("demo.vault.azure.net", True), ("127.0.0.1", True), ("login.example", False), ("a.b.vault.azure.net", False)],
)
def test_a_certificate_is_for_its_names_only(tmp_path, name, verified):
    ca = CertificateAuthority()
    leaf = ca.issue(["*.vault.azure.net", "127.0.0.1"])
    accepting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    accepting.load_cert_chain(leaf.write(tmp_path), tmp_path / "tls.key")
    strict = ca.client_context()
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    assert shakes_hands(accepting, strict, name) is verified


def shakes_hands(accepting, connecting, name):
    """Tell whether the client verifies the server, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        accepting.wrap_bio(to_server, to_client, server_side=True),
        connecting.wrap_bio(to_client, to_server, server_hostname=name),
    ]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return sides[1].version() is not None


@pytest.mark.parametrize("kind", [StagedEntra, StagedKeyVault])
def test_the_client_of_a_staged_emulator_sets_faults_and_settings_too(kind, entra, keyvault, tmp_path):
    local = entra if kind is StagedEntra else keyvault
    (tmp_path / "token").write_text(local._token)
    place = f"inside.PORT = {local.url.rpartition(':')[2]}; inside.TOKEN_FILE = Path({str(tmp_path / 'token')!r})"

    class Here:
        """Runs what would run in the pod."""

        def kubectl(self, *arguments, stdin=None):
            program = f"from pathlib import Path; from wi_testkit.stage import inside; {place}; inside.main()"
            command = [sys.executable, "-c", program, *arguments[arguments.index("wi_testkit.stage.inside") + 1 :]]
            return subprocess.run(
                command, input=stdin, text=True, capture_output=True, check=True, env=ENVIRONMENT
            ).stdout

    staged = kind(Here())
    fault = staged.fault(acts.throttled(), times=1)
    assert [each["id"] for each in local.faults()] == [fault]
    staged.heal(fault)
    assert (local.faults(), staged.cpu_seconds() > 0) == ([], True)
    assert staged.set(seed=4)["seed"] == local.settings()["seed"] == 4
    staged.set(seed=0)
    with pytest.raises(AdminError, match="HTTP 400"):
        staged.fault({"transport": "none"})


def test_the_private_key_is_readable_by_its_owner_only(tmp_path):
    CertificateAuthority().issue(["localhost"]).write(tmp_path)
    assert (tmp_path / "tls.key").stat().st_mode & 0o777 == 0o600
