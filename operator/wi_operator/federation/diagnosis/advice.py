"""What no error tells: a rotated value that the application does not use. Rows without a surface, for the handbook."""

from __future__ import annotations

from wi_operator.federation.diagnosis.base import Provenance, Retry, Row


def _row(reason: str, cause: str, remedy: str) -> Row:
    return Row(reason, reason, cause, remedy, Retry.CONFIG, Provenance.DOCUMENTED, frozenset())


ROWS = (
    _row(
        "VersionPinned",
        "The reference names a version (?version=...), so every kickoff reads that one, whatever was set since.",
        "Remove ?version= from the reference; the sidecar's log shows the version that each kickoff read.",
    ),
    _row(
        "ValueReadAtImport",
        "The application copied the value when a module was imported or an object built, and uses the copy.",
        "Read os.environ inside the kickoff, or build the client there; the hook's warning names what still holds an old value.",
    ),
    _row(
        "HookNotLoaded",
        "A long-lived worker started without the runtime hook: -I, -E or -S, a frozen application, another sitecustomize, or the "
        'annotation identity.crewai.com/hook: "false".',
        "Start python without these options, or call wi_kickoff.environment() at each kickoff; `python -m wi_kickoff check` "
        "tells.",
    ),
    _row(
        "EnvfileRestarted",
        "In the delivery mode envfile a container that restarts reads the file of the pod's first start.",
        "Use restartPolicy: Never with it, or the mode exec.",
    ),
    _row(
        "DotenvOverrides",
        "A .env file in the image or working folder is loaded with override and replaces the value.",
        "Remove the variable from the .env file, or load it without override.",
    ),
)
