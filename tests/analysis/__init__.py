"""Specification of the analysis: answers of Prometheus to verdicts."""
