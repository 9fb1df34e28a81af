"""Runs inside the automation container; standard library only."""
