"""The definitions of the Gateway API."""

from wi_testkit.definitions import GATEWAY_API

find_definitions = GATEWAY_API.find
"""Return the folder of the standard channel's definitions; fetched once. Raises ControlPlaneError."""
