"""Whether results should be used: what is measured, what is known without truth, and the verdict that follows."""
