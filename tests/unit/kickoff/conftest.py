"""Programs under the hook, with a stand-in for CrewAI: the same modules and methods, none of the weight."""

import os
import subprocess
import sys
import textwrap

import pytest

from wi_testkit.kickoff.sidecar import scripted_sidecar

CREW = """
import asyncio

class Crew:
    stream = False

    def __init__(self, run=None, **held):
        self.run = run or (lambda: None)
        self.__dict__.update(held)

    def kickoff(self, from_checkpoint=None):
        return self.run()

    async def kickoff_async(self):
        return await asyncio.to_thread(self.kickoff)

    async def akickoff(self):
        result = self.run()
        return await result if asyncio.iscoroutine(result) else result

    def replay(self, task_id):
        return self.run()

    @classmethod
    def from_checkpoint(cls, saved):
        return saved
"""
PRELUDE = """
import os, pathlib
from crewai import Crew
seen = lambda: print(os.environ.get("KEY"), flush=True)
"""
FILES = {
    "__init__.py": "__version__ = '{version}'\nfrom crewai.crew import Crew\n",
    "crew.py": CREW,
    "llms/__init__.py": "",
    "llms/base_llm.py": """
class BaseLLM:
    def __init__(self, **fields):
        self._client = self._async_client = object()
        self.__dict__.update(fields)
""",
    "tools/__init__.py": "",
    "tools/base_tool.py": """
class BaseTool:
    def __init__(self, **fields):
        self.__dict__.update(fields)
""",
    "a2a/__init__.py": "",
    "a2a/utils/__init__.py": "",
    "a2a/utils/task.py": """
async def execute(agent):
    return await _execute_impl(agent)

async def _execute_impl(agent):
    return agent()
""",
}


class Programs:
    """Runs code under the hook; ``Crew`` and ``seen``, which prints the variable KEY, are there."""

    prelude = PRELUDE

    def __init__(self, sidecar, folder):
        self.sidecar = sidecar
        self.folder = folder
        self.install()

    def install(self, version="1.15.30"):
        for name, text in FILES.items():
            path = self.folder / "crewai" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{version}", version))

    def run(self, code, *, options=(), python=sys.executable, path=(), **env):
        search = os.pathsep.join(map(str, [self.sidecar.hook, self.folder, *path]))
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": search, "RUN": str(self.sidecar.folder), **env}
        return subprocess.run(
            [python, *options, "-c", self.prelude + textwrap.dedent(code)],
            env=environment, cwd=self.folder, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def output(self, code, **more):
        done = self.run(code, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


@pytest.fixture
def sidecar():
    with scripted_sidecar() as sidecar:
        sidecar.values = {"KEY": "fake-value-1"}
        yield sidecar


@pytest.fixture
def programs(sidecar, tmp_path):
    return Programs(sidecar, tmp_path)
