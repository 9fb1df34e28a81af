"""One module per served process: it wires its parts, runs until SIGTERM and closes what it opened."""
