"""The commands of the program, for a person at a terminal and for scripts."""
