"""The controller in a thread of the test, with the rights that the test gives it; waiting and applying."""

import asyncio
import contextlib
import json
import threading
import time

import pytest
from kubernetes.aio.config import kube_config

from wi_operator.reconcile.process import Controller

PATIENCE = 30.0


def eventually(check, *, seconds=PATIENCE, describe=None):
    """Return the first true answer of ``check``; ``describe`` tells what there is when none comes."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"still {found!r}: {describe() if describe else ''}"
        time.sleep(0.2)


class Running:
    """A controller in a thread with a loop of its own."""

    def __init__(self, settings):
        self.settings = settings
        self.outcome = None
        self.controller = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        async def main():
            self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
            self.controller = await Controller.connect(self.settings)
            await self.controller.run()

        try:
            asyncio.run(main())
        except BaseException as error:
            self.outcome = error

    def await_leadership(self):
        eventually(lambda: self.outcome or (self.controller is not None and self.controller.is_leading))
        assert self.outcome is None

    def stop(self):
        if not self.thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self.task.cancel)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def running_controller(settings, kubeconfig):
    """Run a controller with the rights of a kubeconfig until the block ends."""
    patch = pytest.MonkeyPatch()
    # kopf reads the variable, kubernetes.aio read it when it was imported.
    patch.setenv("KUBECONFIG", str(kubeconfig))
    patch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    try:
        running = Running(settings)
        running.await_leadership()
        yield running
        running.stop()
    finally:
        patch.undo()


def apply_all(plane, items):
    """Apply objects in one call of kubectl."""
    document = {"apiVersion": "v1", "kind": "List", "items": list(items)}
    plane.run_kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(document))
