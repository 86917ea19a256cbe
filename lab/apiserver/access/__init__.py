"""Who sends a request, and what they may do: tokens, RBAC, reviews and admission policies."""
