"""What can go wrong, told in one line that says what to do."""


class ControlPlaneError(Exception):
    """A build, a start or a stop failed; the message names the thing, the cause and where to look."""


class MissingPackagesError(ControlPlaneError):
    """System packages are missing and cannot be installed from here."""


class NotReadyError(ControlPlaneError):
    """A component did not become ready within its time; the message ends with its last log lines."""
