"""The command line: ``python -m wi_testkit.stage up|rotate|down|install|images|render``."""

import argparse
import os
import sys
from collections.abc import Sequence

from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.progress import Progress
from wi_testkit.emulation.admin import AdminError
from wi_testkit.stage import demo
from wi_testkit.stage.clusters import open_cluster
from wi_testkit.stage.images import ensure_images
from wi_testkit.stage.install import Stage
from wi_testkit.stage.manifests import check_manifests, write_manifests

PROGRAM = "python -m wi_testkit.stage"
_EXAMPLES = f"""examples:
  {PROGRAM} up                   the demo: cluster, emulators, operator, two kickoffs with a rotation between
  {PROGRAM} rotate new-value     rotate the demo's secret by hand and kick off again
  {PROGRAM} down                 remove the demo
  {PROGRAM} install              cluster, emulators and operator, without the demo's samples
  {PROGRAM} images               build the images into the cache
  {PROGRAM} render               render manifests/ from the chart (--check: only tell whether they are current)
  CLUSTER=current {PROGRAM} up   in the cluster of your kubeconfig

environment:
  CLUSTER        embedded (default), current or kind
  WI_IMAGE_LOAD  for CLUSTER=current: the command that imports an image, as 'minikube image load {{archive}}'
  WI_BASE_IMAGE  another base image with python3 (built with Docker then)
  WI_CACHE       where built programs and images are kept
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, 1 after an error told in one line."""
    options = _build_parser().parse_args(arguments)
    try:
        return _run(options, Progress())
    except (ControlPlaneError, AdminError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; run it again to go on, or make demo-down", file=sys.stderr)
        return 130


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="The operator and emulators of the cloud in a real cluster.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cluster", default=os.environ.get("CLUSTER") or "embedded", help="embedded, current or kind")
    parser.add_argument("--name", default="demo", help="of the cluster that is made (default: demo)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("up", "run the demo and leave it up"),
        ("down", "remove the demo"),
        ("install", "cluster, emulators and operator only"),
        ("images", "build the images into the cache"),
    ):
        commands.add_parser(name, help=text)
    rotate = commands.add_parser("rotate", help="rotate the demo's secret")
    rotate.add_argument("value", metavar="VALUE", help="the new value")
    render = commands.add_parser("render", help="render manifests/ from the chart")
    render.add_argument("--check", action="store_true", help="write nothing; exit code 1 when they are not current")
    return parser


def _run(options: argparse.Namespace, progress: Progress) -> int:
    kind, name = options.cluster, options.name
    match options.command:
        case "up":
            return demo.run_demo(kind, name, progress)
        case "down":
            return demo.end_demo(kind, name, progress)
        case "rotate":
            return demo.rotate_by_hand(kind, name, options.value, progress)
        case "install":
            cluster = open_cluster(kind, name, progress)
            Stage(cluster, progress).install()
            print(demo.print_environment(cluster))
        case "images":
            for image in ensure_images(progress):
                print(f"{image.name}\t{image.archive}")
        case _:
            return check_manifests(progress) if options.check else write_manifests(progress)
    return 0


if __name__ == "__main__":
    sys.exit(main())
