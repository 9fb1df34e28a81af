"""Runs at the start of every Python in the container: installs the import hook, then runs the image's own sitecustomize.

Nothing is imported here that is not loaded already; CrewAI is never imported from here. Any Python may meet this file, so
it also reads as Python 2, and does nothing but chaining below 3.10. An error of the other sitecustomize is reported by
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
    if "crewai" in sys.modules:
        load_patches().patch_loaded(MODULES)


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
run_next()
