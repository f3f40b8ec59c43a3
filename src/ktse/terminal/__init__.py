"""The command line: its arguments, its help, and its tables."""
