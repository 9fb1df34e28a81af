"""``python -m wi_testkit.entra``: the emulator as a process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from wi_testkit.emulation.checks import UnknownCheckError
from wi_testkit.emulation.listener import admin_token, argument_parser, serve, serving_context, trusting_context
from wi_testkit.entra.app import build_app
from wi_testkit.entra.service import EntraService, EntraSettings

EXAMPLES = """examples:
  python -m wi_testkit.entra --listen 127.0.0.1:9443 --tls-cert tls.crt --tls-key tls.key \\
      --ca issuer-ca.crt --admin-token-file admin-token
  curl --cacert ca.crt -X PUT -H "Authorization: Bearer $(cat admin-token)" -d '{"displayName": "Demo"}' \\
      https://127.0.0.1:9443/_admin/tenants/11111111-1111-4111-8111-111111111111
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped."""
    parser = argument_parser("wi_testkit.entra", "Emulator of Microsoft Entra's token endpoint.", EXAMPLES)
    parser.add_argument(
        "--leeway", type=float, default=0.0, metavar="SECONDS", help="clock difference accepted in exp and nbf"
    )
    parser.add_argument(
        "--jwks-cache",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="keep an issuer's keys so long; 0 fetches each time",
    )
    options = parser.parse_args(arguments)
    settings = EntraSettings(leeway=options.leeway, jwks_cache_seconds=options.jwks_cache)
    try:
        service = EntraService(trusting_context(options.ca), without=options.without, settings=settings)
    except UnknownCheckError as error:
        parser.error(str(error))
    app = build_app(service, admin_token(options.admin_token_file))
    asyncio.run(serve(app, options.listen, serving_context(options.tls_cert, options.tls_key)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
