"""`berth explain`: why a Service, an address, a node or a pool is as it is, by the functions that decide."""
