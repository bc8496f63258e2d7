"""A text within the terminal's width; apart from the faces of results, so that a short answer need not import what simulates."""

import textwrap

from simtrials.report.look import TERMINAL_COLUMNS


def paragraph(text: str, indent: str = "") -> str:
    """A text within the terminal's width, broken between words; `indent` begins every line."""
    return textwrap.fill(text, TERMINAL_COLUMNS, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
