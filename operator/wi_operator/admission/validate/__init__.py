"""What is refused: one module per check, each named for the violation."""
