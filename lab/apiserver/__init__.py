"""The API server stand-in: a Kubernetes API server in one process, with everything in memory.

For trying and testing only. What it does and does not do is told in docs/lab-apiserver.md.
"""
