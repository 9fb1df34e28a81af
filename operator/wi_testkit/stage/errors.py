"""What can go wrong on the stage, told in one line (a diagnosis may follow it)."""

from wi_testkit.controlplane.errors import ControlPlaneError


class StageError(ControlPlaneError):
    """A step failed; the message names it, the cause and what to do."""


class CommandError(StageError):
    """A program failed; ``complaint`` is what it wrote on standard error."""

    def __init__(self, program: str, complaint: str) -> None:
        super().__init__(f"{program}: {complaint}")
        self.complaint = complaint
