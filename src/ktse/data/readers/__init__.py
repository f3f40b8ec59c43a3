"""One module for each form in which images, tags and masks come."""
