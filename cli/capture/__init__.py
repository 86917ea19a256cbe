"""`berth capture`: one file with what somebody needs who looks for a fault and has no access to the cluster."""
