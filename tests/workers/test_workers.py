"""The examples, as they are, in real servers: 50 kickoffs with a rotation before each, and no worker is ever restarted."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from wi_testkit.environments import CREWAI, ensure_environment
from wi_testkit.kickoff.llm import Endpoint
from wi_testkit.kickoff.sidecar import scripted_sidecar

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "workers"
KICKOFFS = 50
WORKERS = 2
START_SECONDS = 120
SENDER = """
import os, sys
from celery import Celery
app = Celery(broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])
folder = os.environ["BROKER_FOLDER"]
app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
for line in sys.stdin:
    print(app.send_task("crew.run").get(timeout=60, interval=0.02), flush=True)
"""


class Stage:
    """A sidecar whose secret is rotated at will, an endpoint that sees the keys, and programs under the hook."""

    def __init__(self, sidecar, endpoint, folder):
        self.sidecar, self.endpoint, self.folder = sidecar, endpoint, folder
        self.log = folder / "log"
        self.serial = 0
        self.rotate()
        self.python = ensure_environment(CREWAI[-1])
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "CREWAI_STORAGE_DIR": str(folder),
            "PYTHONPATH": f"{sidecar.hook}:{EXAMPLES}", "OPENAI_BASE_URL": endpoint.url + "/v1",
            "CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "CREWAI_TRACING_ENABLED": "false",
            "CREWAI_TESTING": "true", "BROKER_FOLDER": str(folder / "broker"), "CELERY_BROKER_URL": "filesystem://",
            "CELERY_RESULT_BACKEND": f"file://{folder}/results",
        }  # fmt: skip

    def rotate(self):
        self.serial += 1
        self.value = f"fake-key-{self.serial:04d}"
        self.sidecar.values = {"OPENAI_API_KEY": self.value}

    def start(self, *arguments, **more):
        return subprocess.Popen(
            [self.python, *arguments], env=self.environment, cwd=self.folder, start_new_session=True, text=True, **more
        )

    @contextlib.contextmanager
    def server(self, *arguments):
        with self.log.open("wb") as log:
            process = self.start(*arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def run_kickoffs(self, kick):
        """Rotate and kick off; each must use the new key and no other, in processes that stay."""
        pids = set()
        for _ in range(KICKOFFS):
            self.rotate()
            del self.endpoint.keys[:]
            pid, fingerprint = kick().split()
            assert fingerprint == f"fingerprint=sha256:{hashlib.sha256(self.value.encode()).hexdigest()[:12]}"
            assert set(self.endpoint.keys) == {self.value}
            pids.add(pid)
        assert 1 <= len(pids) <= WORKERS


@pytest.fixture(scope="module")
def endpoint():
    endpoint = Endpoint()
    endpoint.start()
    return endpoint


@pytest.fixture
def stage(endpoint, tmp_path):
    (tmp_path / "broker").mkdir()
    (tmp_path / "results").mkdir()
    with scripted_sidecar() as sidecar:
        yield Stage(sidecar, endpoint, tmp_path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        return answer.read().decode()


def wait_for(condition, process, log):
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (
            "gunicorn",
            "--preload",
            "--workers",
            "2",
            "--timeout",
            "120",
            "--bind",
            "127.0.0.1:{port}",
            "gunicorn_app:app",
        ),
        ("uvicorn", "--workers", "2", "--port", "{port}", "uvicorn_app:app"),
    ],
    ids=["gunicorn-preload", "uvicorn-workers"],
)
def test_a_server_that_never_restarts_uses_each_rotated_key(stage, arguments):
    port = free_port()
    with stage.server("-m", *(each.format(port=port) for each in arguments)) as process:
        wait_for(lambda: listens(port), process, stage.log)
        stage.run_kickoffs(lambda: get(port))


def test_celery_workers_that_were_forked_use_each_rotated_key(stage):
    arguments = (
        "-m",
        "celery",
        "--app",
        "celery_app",
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        "2",
        "--loglevel",
        "INFO",
    )
    with stage.server(*arguments) as process:
        wait_for(lambda: " ready." in stage.log.read_text(), process, stage.log)
        sender = stage.start("-c", SENDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)
        with sender:
            stage.run_kickoffs(lambda: ask(sender))
            sender.stdin.close()


def test_a_plain_loop_uses_each_rotated_value(stage):
    with stage.start(EXAMPLES / "plain_loop.py", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1) as worker:
        for _ in range(KICKOFFS):
            stage.rotate()
            told = ask(worker)
            assert told == f"{worker.pid} fingerprint=sha256:{hashlib.sha256(stage.value.encode()).hexdigest()[:12]}"
        assert ask(worker, "program") == f"{worker.pid} program ran"
        worker.stdin.close()
    assert stage.sidecar.requests.count("api") == KICKOFFS + 1


def ask(process, line=""):
    print(line, file=process.stdin)
    return process.stdout.readline().strip()
