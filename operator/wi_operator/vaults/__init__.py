"""One adapter per vault: build the read, understand the answer."""
