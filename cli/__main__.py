"""`python -m cli` is `hangtag`. It knows nothing else."""

from cli.main import main

main()
