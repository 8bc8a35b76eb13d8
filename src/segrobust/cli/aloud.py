"""Warnings about models and this machine on stderr, one line each; those about photos go to the run's ``log.txt``."""

import logging

import typer


class _Aloud(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print one line, to where stderr goes now."""
        typer.echo(f"warning: {' '.join(record.getMessage().split())}", err=True)


_HANDLER = _Aloud(logging.WARNING)


def say_warnings_of_models() -> None:
    """Show what ``segrobust.models`` warns of; calling it again changes nothing."""
    logging.getLogger("segrobust.models").addHandler(_HANDLER)
