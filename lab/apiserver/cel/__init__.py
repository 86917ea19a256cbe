"""The Common Expression Language as Kubernetes speaks it. Nothing else of the server is known here."""
