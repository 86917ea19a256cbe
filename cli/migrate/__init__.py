"""`berth migrate metallb`: turns MetalLB's objects into ours, checks that Services keep their addresses, takes over."""
