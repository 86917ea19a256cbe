"""What of Kubernetes the lab plays itself, so that Services carry traffic: pods, EndpointSlices and kube-proxy."""
