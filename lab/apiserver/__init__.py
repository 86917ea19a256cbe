"""The API server stand-in: a Kubernetes API server in one process, with everything in memory.

For trying and testing only. docs/lab-apiserver.md says what it does, and what it does not.
"""
