"""The guess at token counts when nobody gives any."""

import math

from penstock.providers.base import Usage

CHARS_PER_TOKEN = 4


def estimated(sent_bytes: int, received_chars: int) -> Usage:
    """About four characters a token, rounded up."""
    return Usage(
        input_tokens=math.ceil(sent_bytes / CHARS_PER_TOKEN),
        output_tokens=math.ceil(received_chars / CHARS_PER_TOKEN),
        estimated=True,
    )
