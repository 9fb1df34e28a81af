"""What is added to a pod: one module per thing, in the order of ``pod.STEPS``."""
