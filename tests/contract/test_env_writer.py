"""The container ``wi-env`` against a sidecar's sockets: files for the kubelet, or the launcher's kind of failure."""

import asyncio
import os
import stat

import pytest

from wi_kickoff import wire
from wi_operator.agent import env_writer
from wi_operator.agent.env_grammar import parse
from wi_operator.agent.env_writer import Places, write_files
from wi_operator.agent.process import read_files
from wi_operator.agent.server import KickoffServer
from wi_operator.agent.settings import Budgets
from wi_operator.core.clock import SystemClock

VALUE = "planted-not-a-real-secret"


def ok(**values):
    line = wire.Field(wire.LOG_LINE, "Workload identity config 'a/b' (azure): 1 secret(s) resolved")
    return wire.Reply(True, (line, *(wire.Field(wire.VALUE, f"{name}={value}") for name, value in values.items())))


def refused(*lines):
    return wire.Reply(False, tuple(wire.Field(wire.MESSAGE, line) for line in lines))


class Pod:
    """A pod's folders, and a sidecar that answers as it was told."""

    def __init__(self, root, replies):
        self.root, self.replies, self.asked = root, replies, []
        for name in ("run", "env"):
            (root / name).mkdir()
        (root / "log").write_text("")
        self.places = Places(tuple(replies), str(root / "run"), str(root / "env"), str(root / "log"))

    async def _answer(self, container, source, deadline):
        del deadline
        self.asked.append((container, source))
        reply = self.replies[container]
        return reply.pop(0) if isinstance(reply, list) else reply

    async def write(self, delay=0.0):
        server = KickoffServer(self._answer, budgets=Budgets(), clock=SystemClock())
        task = asyncio.create_task(asyncio.to_thread(write_files, self.places))
        await asyncio.sleep(delay)
        for container in self.replies:
            await server.start(str(self.root / "run" / container), container, read_files())
        code = await task
        await server.stop()
        return code

    def files(self):
        return {path.name: parse(path.read_text()) for path in (self.root / "env").iterdir()}

    @property
    def message(self):
        return (self.root / "log").read_text()


async def test_each_container_gets_its_own_file(tmp_path, capfd):
    pod = Pod(tmp_path, {"app": ok(A=VALUE, B="two\nlines"), "web": ok(C="c")})
    assert await pod.write() == 0
    assert pod.files() == {"app.env": {"A": VALUE, "B": "two\nlines"}, "web.env": {"C": "c"}}
    assert stat.S_IMODE(os.stat(tmp_path / "env" / "app.env").st_mode) == 0o400
    assert pod.asked == [("app", "envfile"), ("web", "envfile")]
    told = capfd.readouterr().err
    assert told.count("1 secret(s) resolved") == 2
    assert VALUE not in told


async def test_it_waits_for_a_sidecar_that_is_still_starting(tmp_path):
    assert await Pod(tmp_path, {"app": ok(A="a")}).write(delay=0.5) == 0


async def test_without_a_sidecar_it_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr(wire, "RETRY_SECONDS", 0.2)
    pod = Pod(tmp_path, {"app": ok(A="a")})
    assert await asyncio.to_thread(write_files, pod.places) == 78
    assert "container 'app': SidecarUnreachable" in pod.message


async def test_every_failure_is_told_and_no_file_stays(tmp_path, capfd):
    pod = Pod(
        tmp_path,
        {
            "app": refused("Workload identity kickoff failed: 1 of 1.", "A (secret://x/y): CredentialNotFound: …"),
            "web": ok(B=VALUE, C=f"{VALUE}'\nPATH='/evil", D=""),
            "fine": ok(E="e"),
        },
    )
    assert await pod.write() == 78
    assert pod.files() == {}
    assert "container 'app': A (secret://x/y): CredentialNotFound" in pod.message
    assert "container 'web': C: ValueNotInFile: The value cannot be delivered" in pod.message
    assert "it holds a single quote" in pod.message
    assert "container 'web': D: ValueNotInFile" in pod.message
    for text in (pod.message, capfd.readouterr().err):
        assert VALUE not in text
        assert "evil" not in text


async def test_a_second_try_replaces_what_the_first_left(tmp_path):
    pod = Pod(tmp_path, {"app": [ok(A="old"), ok(A="new")]})
    (tmp_path / "env" / "app.env.draft").write_text("left")
    for value in ("old", "new"):
        assert await pod.write() == 0
        assert pod.files() == {"app.env": {"A": value}}


async def test_a_file_that_reads_back_otherwise_leaves_no_draft(tmp_path, monkeypatch):
    def refuse(path, values):
        raise env_writer.EnvFileError("it reads back otherwise")

    monkeypatch.setattr(env_writer.env_grammar, "check_file", refuse)
    pod = Pod(tmp_path, {"app": ok(A=VALUE)})
    assert await pod.write() == 78
    assert list((tmp_path / "env").iterdir()) == []


async def test_a_volume_that_cannot_be_written_is_told(tmp_path):
    pod = Pod(tmp_path, {"app": ok(A="a")})
    (tmp_path / "env").rmdir()
    assert await pod.write() == 78
    assert (
        "container 'app': EnvfileNotWritten: The file for the kubelet could not be written: No such file" in pod.message
    )


async def test_a_busy_sidecar_is_asked_again(tmp_path):
    busy = wire.Reply(False, (wire.Field(wire.MESSAGE, "SidecarBusy: …"), wire.Field(wire.RETRY, "0.1")))
    assert await Pod(tmp_path, {"app": [busy, busy, ok(A="a")]}).write() == 0


def test_places_come_from_the_environment():
    assert Places.read({"WI_CONTAINERS": "a,b", "WI_ENV_DIR": "/e"}) == Places(["a", "b"], "/run/wi", "/e")


@pytest.mark.parametrize("data", [b"", b"wi1 ok\0", b"wi2 ok\0.\0", b"junk\0.\0"])
async def test_what_is_no_reply_is_no_value(tmp_path, monkeypatch, data):
    monkeypatch.setattr(wire, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(env_writer, "_exchange", lambda _: data)
    pod = Pod(tmp_path, {"app": ok()})
    assert await asyncio.to_thread(write_files, pod.places) == 78
    assert pod.files() == {}
    assert "container 'app': " in pod.message
