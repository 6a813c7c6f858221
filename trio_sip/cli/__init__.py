"""The command line: `trio-sip serve`, `trio-sip check`, `trio-sip ping`."""

from trio_sip.cli.app import main

__all__ = ["main"]
