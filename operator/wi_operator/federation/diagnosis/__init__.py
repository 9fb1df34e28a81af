"""One table row per error: reason, cause, remedy, retry class."""
