"""Reading images, tags and true masks; drawing the demo; transforms."""
