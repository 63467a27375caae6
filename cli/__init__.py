"""The `hangtag` command: one file for each subcommand. It knows options and how things look, and decides nothing else."""
