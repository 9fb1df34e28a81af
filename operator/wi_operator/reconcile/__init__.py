"""The control loop: gather, decide, render, apply."""
