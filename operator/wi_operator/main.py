"""Entry of the processes: ``wi-operator controller|issuer|webhook|sidecar|envfile|issuer-export DIR``. Wires, decides nothing.

The sidecar's path imports nothing but the sidecar: it is multiplied by every pod.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

HELP = """usage: wi-operator <process>
       wi-operator issuer-export DIR

The processes of the Workload Identity Operator; the chart starts them, settings come from WI_* variables.

  controller   checks configs and credentials, keeps keys and certificates
  issuer       public discovery and JWKS; grants for sidecars
  webhook      puts the sidecar into pods
  sidecar      reads secrets at every kickoff (started in pods by the webhook)
  envfile      writes the files of the delivery mode envfile and ends (likewise)

  issuer-export DIR   writes the two public documents below DIR, for static hosting under the issuer URL;
                      - writes them to standard output as a tar archive

examples:
  wi-operator issuer
  WI_LOG_LEVEL=DEBUG wi-operator controller
  kubectl -n wi-system exec deploy/wi-issuer -- wi-operator issuer-export - | tar x -C public/
"""
UNUSABLE = 78
"""Exit code for settings that cannot be used (EX_CONFIG)."""
USAGE = 64
EXPORT = "issuer-export"


def _sidecar() -> int:
    # Process 1 ignores a signal without a handler: one that comes while modules load must end it too.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from wi_operator.agent.process import main as run

    return run(os.environ)


def _envfile() -> int:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    from wi_operator.agent.env_writer import main as run

    return run(os.environ)


def _served(name: str, *, uses_msal: bool = False) -> Callable[[], int]:
    def run() -> int:
        import asyncio
        import importlib

        from wi_operator.core.memory import import_without, keep_small

        keep_small()
        if uses_msal:
            # msal imports requests, which it only needs without a transport of ours, and that a guesser of encodings (3 MiB).
            import_without("requests", hidden="charset_normalizer")
        return _told(_log, lambda: asyncio.run(importlib.import_module(f"wi_operator.processes.{name}").run()))

    return run


def _export(target: str) -> int:
    from wi_operator.processes.issuer_export import export

    return _told(lambda fault: print(f"wi-operator {EXPORT}: {fault}", file=sys.stderr), lambda: export(target))


def _log(fault: str) -> None:
    """Tell why a process was not started as a line of its log, which others read by its keys."""
    import logging

    from wi_operator.core.log import configure, fields

    configure()
    logging.getLogger("wi_operator.main").error("not started: the settings cannot be used", extra=fields(error=fault))


def _told(tell: Callable[[str], None], run: Callable[[], int]) -> int:
    """Run, and tell unusable settings in one line."""
    from wi_operator.core.errors import SettingsError

    try:
        return run()
    except SettingsError as error:
        tell(str(error))
        return UNUSABLE


PROCESSES: dict[str, Callable[[], int]] = {
    "sidecar": _sidecar,
    "envfile": _envfile,
    "controller": _served("controller", uses_msal=True),
    "issuer": _served("issuer"),
    "webhook": _served("webhook"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one process; returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given in (["--help"], ["-h"], ["help"]):
        print(HELP, end="")
        return 0
    if len(given) == 2 and given[0] == EXPORT:
        return _export(given[1])
    if len(given) != 1 or given[0] not in PROCESSES:
        print(
            f"wi-operator: name one process: {', '.join(sorted(PROCESSES))}, or {EXPORT} DIR (see wi-operator --help)",
            file=sys.stderr,
        )
        return USAGE
    return PROCESSES[given[0]]()


if __name__ == "__main__":
    sys.exit(main())
