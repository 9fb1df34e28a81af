"""The exported files are what the issuer serves, byte by byte."""

import io
import os
import subprocess
import sys
import tarfile

from aiohttp.test_utils import TestClient, TestServer

from wi_operator.core.clock import SystemClock
from wi_operator.federation.keys import generate_key_set
from wi_operator.federation.timetable import first_timetable
from wi_operator.issuer.app import PublicFace
from wi_operator.issuer.keyring import Keyring, MountedKeys
from wi_operator.issuer.settings import IssuerSettings

URL = "https://static.example.com/oidc"
FILES = (".well-known/openid-configuration", "oauth2/jwks")


def export(tmp_path, *arguments, url=URL):
    environment = os.environ | {
        "WI_PUBLIC_URL": url,
        "WI_KEYS_DIR": str(tmp_path / "keys"),
        "WI_STATE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-m", "wi_operator.main", "issuer-export", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)


def mount(tmp_path):
    key_set = generate_key_set()
    (tmp_path / "keys").mkdir()
    for name, entry in key_set.render().items():
        (tmp_path / "keys" / name).write_bytes(entry)
    (tmp_path / "state.json").write_text(first_timetable(key_set, SystemClock().now()).render())
    ring = Keyring(MountedKeys(tmp_path / "keys", tmp_path), SystemClock())
    ring.load()
    return ring


async def test_the_files_equal_what_the_issuer_serves(tmp_path):
    face = PublicFace(IssuerSettings(URL), mount(tmp_path), SystemClock())
    done = export(tmp_path, str(tmp_path / "public"))
    assert (done.returncode, done.stderr) == (0, b"")
    with tarfile.open(fileobj=io.BytesIO(export(tmp_path, "-").stdout)) as archive:
        read = {name: archive.extractfile(name).read() for name in FILES}
    async with TestClient(TestServer(face.build_app())) as client:
        for name in FILES:
            served = await (await client.get(f"/oidc/{name}")).read()
            assert (tmp_path / "public" / name).read_bytes() == served
            assert read[name] == served
    assert b"PRIVATE" not in b"".join(file.read_bytes() for file in (tmp_path / "public").rglob("*") if file.is_file())


def test_what_is_missing_is_said_in_one_line(tmp_path):
    for url, said in (("", b"there is no issuer URL"), (URL, b"there is no published key")):
        done = export(tmp_path, str(tmp_path / "public"), url=url)
        assert done.returncode == 78
        assert said in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "public").exists()
