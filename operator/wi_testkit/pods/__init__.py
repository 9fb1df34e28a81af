"""Pods of every shape, made from the API server's own schema, for property-based tests of admission."""
