"""Whether the environment names a proxy."""

from __future__ import annotations

import urllib.request


def is_proxied() -> bool:
    """Tell whether HTTPS_PROXY or one of its like is set.

    Only then may an HTTP client trust the environment: aiohttp's also reads ~/.netrc for every request, twice in a thread.
    """
    return any(scheme != "no" for scheme in urllib.request.getproxies_environment())
