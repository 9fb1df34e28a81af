"""The product as processes of its own on a bare plane: real API server, issuer and controllers, emulated clouds, no nodes."""
