"""Emulators and a real control plane for tests; never part of the product image or wheel."""
