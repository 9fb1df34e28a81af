"""What admission and issuer know of the objects, in memory."""
