"""One module per kind: spec, status, kind."""
