import attrs

from rollout import __version__, schema

# Sphinx 8 copies inherited annotations into classes of other modules, where it cannot resolve their names.
for name in schema.__all__:
    if isinstance(getattr(schema, name), type):
        attrs.resolve_types(getattr(schema, name))

project = "rollout"
copyright = "The rollout developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.doctest"]
html_theme = "furo"
exclude_patterns = ["_build"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
default_role = "literal"
doctest_global_setup = """
import os, tempfile
os.environ["CODEX_HOME"] = tempfile.mkdtemp()
"""
