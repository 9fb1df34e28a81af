"""gunicorn --preload --workers 2 gunicorn_app:app

Nothing but the crew: the runtime hook refreshes each kickoff, in every worker that was forked.
"""

from collections.abc import Callable, Iterable
from typing import Any

from crew import crew, describe


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Run the crew for a request."""
    crew.kickoff()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [describe().encode()]
