"""Progressive delivery for Kubernetes and Istio: gray releases that judge themselves."""
