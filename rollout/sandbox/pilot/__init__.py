"""A small pilot: Istio's routing objects and endpoints become Envoy's configuration files."""
