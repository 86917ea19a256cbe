"""What the server says of itself: version, discovery and OpenAPI."""
