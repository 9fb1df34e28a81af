"""Stand-ins for what a program in an injected container meets: its sidecar, and the endpoint of an LLM."""
