"""The process that works: which device it uses, who else works in its folder, what it says, how far it is."""
