"""`berth check`: whether a cluster, or files, are fit for Berth; each finding with a code."""
