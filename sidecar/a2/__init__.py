"""The A2 protocol: baseline, who wrote what, conflicts and their repair."""
