"""The sidecar: one kickoff at a time per container, values for no longer than the request."""
