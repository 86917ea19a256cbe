"""What the server does by itself after a write, in the place of a real cluster's controllers."""
