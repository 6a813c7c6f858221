"""How the manual is built: `sphinx-build -W docs docs/_build`. Nothing is fetched from a network for it."""

from __future__ import annotations

from sphinx.application import Sphinx

import trio_sip

project = "trio-sip"
author = "The trio-sip developers"
copyright = "the trio-sip developers, MIT licence"
release = trio_sip.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinxcontrib_trio"]
root_doc = "index"
exclude_patterns = ["README.md", "_build"]
myst_heading_anchors = 3
default_role = "code"  # docstrings write `name` for what is code
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"trio-sip {release}"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_sphinx = False


def show_indented_as_code(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Indented text after an empty line of a docstring is code, where reStructuredText would see a quotation."""
    shown: list[str] = []
    for number, line in enumerate(lines):
        indented = line.startswith("    ") and (number == 0 or not lines[number - 1].strip())
        before = next((text for text in reversed(shown) if text.strip()), "")
        if indented and not before.startswith(" ") and not before.endswith("::"):
            shown += ["::", ""]
        shown.append(line)
    lines[:] = shown


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", show_indented_as_code)
