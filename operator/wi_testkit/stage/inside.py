"""One call of an emulator's admin API, made inside its pod: ``python3 -m wi_testkit.stage.inside METHOD PATH``.

The body is standard input; the answer is one JSON object ``{"status": …, "body": …}``. Standard library only: the
process starts at every call. It does not verify the certificate: it speaks to its own pod over loopback.
"""

import http.client
import json
import ssl
import sys
from pathlib import Path

PORT = 8443
TOKEN_FILE = Path("/etc/emulator/admin-token")
_SECONDS = 10


def main() -> int:
    """Make the call; returns 0 whatever the emulator answers."""
    method, path = sys.argv[1:3]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", PORT, context=context, timeout=_SECONDS)
    headers = {"Authorization": f"Bearer {TOKEN_FILE.read_text().strip()}"}
    connection.request(method, f"/_admin/{path}", sys.stdin.buffer.read(), headers)
    answer = connection.getresponse()
    print(json.dumps({"status": answer.status, "body": answer.read().decode(errors="replace")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
