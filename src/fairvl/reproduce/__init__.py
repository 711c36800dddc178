"""Published tables as commands, and each capability's whole experiment on the built-in world."""
