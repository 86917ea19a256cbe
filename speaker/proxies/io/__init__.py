"""The asking of proxies."""
