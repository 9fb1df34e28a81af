"""What both emulators share: ordered named checks, the journal of requests, the listener and its supervision."""
