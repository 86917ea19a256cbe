"""What schemas say of objects: Kubernetes' own schemas, and those of CustomResourceDefinitions."""
