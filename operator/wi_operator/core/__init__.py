"""Ground: errors, clock, secret values, logging; imports nothing of ours."""
