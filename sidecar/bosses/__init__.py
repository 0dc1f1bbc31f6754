"""The configuration files of the programs that can be a boss: one entry in each, written, checked and taken back."""
