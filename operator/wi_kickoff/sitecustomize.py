"""Runs at the start of every Python in the container: installs the import hook, then runs the image's own sitecustomize.

Nothing is imported here that is not loaded already; CrewAI is never imported from here. Any Python may meet this file, so
it also reads as Python 2, and only chains and stays first below 3.10. An error of the other sitecustomize is reported by
Python as ever, and the hook stays.
"""

import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
NAME = "sitecustomize"
MODULES = (
    "crewai",
    "crewai.crew",
    "crewai.flow.flow",
    "crewai.flow.runtime",
    "crewai.agent",
    "crewai.agent.core",
    "crewai.lite_agent",
    "crewai.agents.agent_builder.base_agent",
    "crewai.a2a.utils.task",
)


class KickoffFinder(object):
    """Finds the modules that hold kickoff methods with everybody else's finders, and wraps them once they ran."""

    names = frozenset(MODULES)

    def find_spec(self, name, path=None, target=None):
        """Return the spec that the finders after us give, with a loader that tells ``wi_kickoff.patches``."""
        if name not in self.names:
            return None
        patches = load_patches()
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find and not isinstance(finder, KickoffFinder) else None
            if spec is not None:
                return patches.watch(spec)
        return None


def load_patches():
    """Import our package from this folder, whatever the program did to ``sys.path`` since."""
    sys.path.insert(0, FOLDER)
    try:
        from wi_kickoff import patches
    finally:
        sys.path.remove(FOLDER)
    return patches


def install():
    """Put the finder first, once; what a ``.pth`` file imported before us is wrapped where it is."""
    if any(type(finder).__name__ == "KickoffFinder" for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, KickoffFinder())
    stay_first()
    if "crewai" in sys.modules:
        load_patches().patch_loaded(MODULES)


def stay_first():
    """Keep this folder first on the path of whatever this process turns itself into.

    ``opentelemetry-instrument`` and ``elasticapm-run`` start a program with a sitecustomize of their own before ours, and
    theirs does not run the next one: the hook would be gone without a word.
    """
    run, run_with = os.execv, os.execve

    def execv(path, argv):
        put_first(os.environ)
        return run(path, argv)

    def execve(path, argv, env):
        return run_with(path, argv, put_first(dict(env)) if hasattr(env, "keys") else env)

    os.execv, os.execve = execv, execve


def put_first(environ):
    """Return ``environ`` with this folder first in its ``PYTHONPATH``, if it stands there at all."""
    path = environ.get("PYTHONPATH")  # may be bytes, or a path of pathlib: then it is nobody's list
    entries = path.split(os.pathsep) if isinstance(path, str) else []
    if FOLDER in entries[1:]:
        environ["PYTHONPATH"] = os.pathsep.join([FOLDER] + [entry for entry in entries if entry != FOLDER])
    return environ


def run_next():
    """Run the ``sitecustomize`` that this one hides, as the module of that name."""
    path = [entry for entry in sys.path if os.path.abspath(entry or ".") != FOLDER]
    if sys.version_info[0] < 3:
        import imp

        try:
            found = imp.find_module(NAME, path)
        except ImportError:
            return
        imp.load_module(NAME, *found)
        return
    # The class is there before any import: `importlib.machinery` would have to be loaded.
    finder = next((each for each in sys.meta_path if getattr(each, "__name__", "") == "PathFinder"), None)
    spec = finder.find_spec(NAME, path) if finder else None
    if spec is None or spec.loader is None:
        return
    module = type(sys)(NAME)
    module.__spec__, module.__file__, module.__loader__ = spec, spec.origin, spec.loader
    sys.modules[NAME] = module
    spec.loader.exec_module(module)


if sys.version_info >= (3, 10):
    install()
try:
    run_next()
finally:
    put_first(os.environ)  # OpenTelemetry's puts itself before us for the processes that this one will start
