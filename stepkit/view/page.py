"""The page: one HTML file that needs nothing else, made of a head and one piece per trace.

The head holds the styles and the script (page/, plain files), a piece two lines of JSON in a script
element that no browser runs: what a list needs, then the whole case, which is parsed when somebody
looks at it. So the page is written as its records are read, none of them is kept, and one that
breaks off early still works. Two things keep hostile text text: JSON is embedded without a ``<``,
and a policy in the head lets nothing run, and nothing be fetched, but the script of the page.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

SCRIPTS = ("text.js", "store.js", "list.js", "chart.js", "trace.js", "main.js")
"""Put end to end, in this order, they are the page's one module."""


def head(settings: bytes) -> bytes:
    """The start of the document.

    Args:
        settings: JSON that the script reads: ``measure``, the first to colour by, or null.
    """
    style = _file("style.css")
    script = b"".join(_file(name) for name in SCRIPTS)
    parts = {
        b"@policy@": _policy(style, script),
        b"@style@": style,
        b"@script@": script,
        b"@settings@": embedded(settings),
    }
    document = _file("page.html")
    for mark, part in parts.items():
        document = document.replace(mark, part, 1)
    return document


def piece(summary: bytes, case: bytes) -> bytes:
    """A trace of the document, of the JSON of its summary and of its case."""
    return b"".join(
        (
            b'<script type="application/json" class="trace">\n',
            embedded(summary),
            b"\n",
            embedded(case),
            b"\n</script>\n",
        )
    )


def embedded(json: bytes) -> bytes:
    """JSON that HTML cannot mistake for its own: the same values, without a ``<``.

    In JSON it stands within strings only, where an escape means the same. Without it there is no
    ``</script>``, and no ``<!--`` that would hide one.
    """
    return json.replace(b"<", rb"\u003c")


def _policy(style: bytes, script: bytes) -> bytes:
    """Nothing but this style and this script, by their hashes; data: pictures for none."""
    hashes = (b64encode(sha256(text).digest()).decode() for text in (style, script))
    return "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'".format(
        *hashes
    ).encode()


def _file(name: str) -> bytes:
    from pkgutil import get_data

    found = get_data("stepkit.view", f"page/{name}")
    assert found is not None
    return found
