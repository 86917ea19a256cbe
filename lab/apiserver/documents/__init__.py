"""What the server says about itself: version, discovery and OpenAPI."""
