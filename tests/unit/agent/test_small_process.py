"""The sidecar is multiplied by every pod: what it imports is what each of them pays."""

import subprocess
import sys
from pathlib import Path

import wi_operator

SOURCE = Path(wi_operator.__path__[0]).parent
LIST = "import sys; import wi_operator.agent.process; print(*sys.modules)"
ALLOWED = ("agent", "core", "api.names", "api.reference", "federation.clouds", "federation.hosts",
           "federation.exchange.base", "federation.exchange.entra", "federation.diagnosis", "vaults.base",
           "vaults.azure")  # fmt: skip
PARENTS = {"wi_operator", "wi_operator.api", "wi_operator.federation", "wi_operator.federation.exchange",
           "wi_operator.vaults", "wi_kickoff", "wi_kickoff.wire"}  # fmt: skip


def imported():
    command = [sys.executable, "-c", LIST]
    result = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True)
    return result.stdout.split()


def test_nothing_but_the_standard_library_and_h11_is_imported():
    foreign = {name.split(".")[0] for name in imported()} - sys.stdlib_module_names
    # What the interpreter's distributor loads at every start is not ours.
    started = ("__", "_virtualenv", "_distutils", "sitecustomize", "apport_python_hook")
    assert {name for name in foreign if not name.startswith(started)} == {"h11", "wi_operator", "wi_kickoff"}


def test_of_our_own_only_the_light_layers_are_imported():
    ours = {name for name in imported() if name.startswith("wi_")} - PARENTS
    assert not [name for name in ours if not name.removeprefix("wi_operator.").startswith(ALLOWED)]


def test_heavy_parts_of_the_standard_library_stay_out():
    assert not {"random", "urllib.request", "http.client", "email", "pathlib", "tempfile", "uuid"} & set(imported())
