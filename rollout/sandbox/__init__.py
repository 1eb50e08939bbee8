"""A world in a box: API server, pilot, Envoy, Prometheus, workloads, load."""
