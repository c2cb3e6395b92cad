"""Metrics, logs and health of every process, and what Prometheus and Grafana are configured with."""
