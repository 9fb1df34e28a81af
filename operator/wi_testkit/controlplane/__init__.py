"""A real Kubernetes control plane and node, built from Go modules by name.

``plane.Plane`` is etcd and an API server on loopback, for integration tests; ``node.Node`` is a whole node in
network and mount namespaces of its own, for the demo and the end-to-end tests. Nothing is imported here, so that
``python -m wi_testkit.controlplane build`` runs on a bare Python with the standard library only.
"""
