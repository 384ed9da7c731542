"""Run the command line as `python -m dirbridge`."""

from dirbridge.cli.main import run

run()
