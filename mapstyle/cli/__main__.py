"""``python -m mapstyle.cli``."""

from mapstyle.cli.main import run

run()
