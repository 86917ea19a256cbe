"""What each node's proxy (kube-proxy, or what a CNI has in its place) says of itself at healthCheckNodePorts."""
