"""Trust: claims, keys, discovery and minting; pure, the clock is passed in."""
