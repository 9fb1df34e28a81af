"""The mutating webhook: pure decisions behind a small listener."""
