"""``python -m simtrials`` is ``simtrials``."""

from simtrials.cli.main import main

main()
