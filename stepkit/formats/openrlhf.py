"""OpenRLHF: prompt, chosen and rejected for its DPO and reward training, input and output for
supervised training. Read in 0.11.2.

Run it with ``--data.prompt_key prompt`` (without it the prompt is left out), and for chats with
``--data.apply_chat_template``. It strips newlines at the end of a text and puts a space and the
end-of-text token after it. A column ``margin`` becomes part of the loss.
"""

from __future__ import annotations

from stepkit import schema
from stepkit.formats.views import Json, View


def prompt_response(row: Json) -> View:
    """input and output, two strings."""
    side = ("output", schema.text(row, "output"))
    return View("text", schema.text(row, "input"), (side,))
