"""Directives whose Markdown is written by code: ``{config-reference} SECTION`` and ``{cli-reference}``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cli_reference
import config_reference
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective


def directive(write: Callable[..., str]) -> type[SphinxDirective]:
    """Make a directive of a function from the directive's argument, if any, to Markdown with headings."""

    class Generated(SphinxDirective):
        optional_arguments = 1

        def run(self) -> list[nodes.Node]:
            self.env.note_reread()
            try:
                text = write(*self.arguments)
            except LookupError as error:
                raise ExtensionError(str(error)) from None
            return self.parse_text_to_nodes(text, allow_section_headings=True)

    return Generated


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("config-reference", directive(config_reference.section))
    app.add_directive("cli-reference", directive(cli_reference.verbs))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
