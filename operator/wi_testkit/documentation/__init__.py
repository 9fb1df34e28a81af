"""The documentation as tests read it: pages, fences with their marks, and what parses the commands in them."""
