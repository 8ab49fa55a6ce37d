"""The HTTP mouth: receives what registries report, answers people, scripts, Kubernetes and Prometheus."""
