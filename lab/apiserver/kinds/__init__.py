"""Which kinds there are, and what each does in its own way: defaults, validation, allocation."""
