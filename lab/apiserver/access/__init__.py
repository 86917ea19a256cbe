"""The user of a request, and what the user may do: tokens, RBAC, reviews and admission policies."""
