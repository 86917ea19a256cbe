"""From an HTTP request to an answer: URLs, users, streams, and the forms in which objects are encoded."""
