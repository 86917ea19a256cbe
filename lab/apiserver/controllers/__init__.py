"""What the server does by itself after a write, in place of a real cluster's controllers."""
