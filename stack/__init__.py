"""The embedded stack: Kafka, Triton, workers, Prometheus as local processes under one supervisor."""
