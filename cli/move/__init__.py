"""`berth move`: gives a Service another address, pool or node, by the annotations that its owner would write."""
