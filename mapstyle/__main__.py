"""``python -m mapstyle``."""

from mapstyle.cli.main import run

run()
