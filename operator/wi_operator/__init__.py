"""The product: controller, issuer, webhook, sidecar and the kubectl plugin."""
