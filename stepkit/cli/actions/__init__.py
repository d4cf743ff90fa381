"""The work of the commands on their records, an action a file."""
