"""The command line: ``python -m wi_testkit.controlplane build|up|down|status|env|load``."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.modules import SETS
from wi_testkit.controlplane.progress import Progress

PROGRAM = "python -m wi_testkit.controlplane"
DEFAULT_NAME = "demo"
_EXAMPLES = f"""examples:
  {PROGRAM} build                      build everything that the cache lacks (about 10 minutes on 2 cores, once)
  {PROGRAM} build kubernetes           build what the bare plane needs, and no more
  {PROGRAM} up --name demo             bring a node up (as root); does nothing when it is up already
  eval "$({PROGRAM} env)"              give this shell kubectl, helm and the node's KUBECONFIG
  {PROGRAM} load image.tar             import an image archive into the node
  {PROGRAM} down --name demo           remove the node and every trace of it

The cache is WI_CACHE, else workload-identity-operator in XDG_CACHE_HOME or ~/.cache.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, 1 after an error told in one line."""
    options = _build_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (ControlPlaneError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return code


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="A real Kubernetes node on this machine, built from Go modules by name.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build the programs that the cache lacks")
    names = [module_set.name for module_set in SETS]
    build.add_argument("sets", nargs="*", metavar="SET", help=f"which sets: {', '.join(names)} (default: all)")
    build.set_defaults(run=_build)
    for name, run, text in _NODE_COMMANDS:
        command = commands.add_parser(name, help=text)
        command.add_argument("--name", default=DEFAULT_NAME, help=f"which node (default: {DEFAULT_NAME})")
        command.set_defaults(run=run)
        if name == "load":
            command.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE", help="OCI or docker archive")
    return parser


def _build(options: argparse.Namespace) -> int:
    known = {module_set.name: module_set for module_set in SETS}
    if unknown := set(options.sets) - set(known):
        raise ControlPlaneError(f"there is no set {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in options.sets] or list(SETS)
    for name, folder in binaries.ensure_all(chosen, Progress()).items():
        print(f"{name}\t{folder}")
    return 0


def _up(options: argparse.Namespace) -> int:
    # Imported late, here and below: `build` must run where there is no cryptography library.
    from wi_testkit.controlplane.node import Node

    node = Node(options.name)
    node.up()
    print(f"KUBECONFIG={node.kubeconfig}")
    return 0


def _down(options: argparse.Namespace) -> int:
    from wi_testkit.controlplane.node import Node

    Node(options.name).down()
    return 0


def _report(options: argparse.Namespace) -> int:
    from wi_testkit.controlplane.node import Node

    report = Node(options.name).report()
    for label, value in vars(report).items():
        if value:
            print(f"{label}\t{value}")
    return 0 if report.state == "running" else 3


def _print_environment(options: argparse.Namespace) -> int:
    from wi_testkit.controlplane.node import Node

    for name, value in Node(options.name).kubectl_env().items():
        if os.environ.get(name) != value:
            print(f"export {name}={shlex.quote(value)}")
    return 0


def _load(options: argparse.Namespace) -> int:
    from wi_testkit.controlplane.node import Node

    for archive in options.archives:
        for image in Node(options.name).load_image(archive):
            print(image)
    return 0


_NODE_COMMANDS = (
    ("up", _up, "bring the node up, building first what is not built"),
    ("down", _down, "remove the node and every trace of it"),
    ("status", _report, "tell how the node does; exit code 3 unless it runs"),
    ("env", _print_environment, "print shell lines that set KUBECONFIG and PATH"),
    ("load", _load, "import image archives into the node"),
)


if __name__ == "__main__":
    sys.exit(main())
