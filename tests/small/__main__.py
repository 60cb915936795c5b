"""Mapstyle's command line for tests that need a process of its own: ``python -m small render ...`` in ``tests``."""

from small.operators import declare_missing_operators

declare_missing_operators()

from mapstyle.cli.main import run  # noqa: E402 - what is missing is declared first

run()
