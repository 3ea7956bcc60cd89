"""
Version of the package: read by setup.cfg, and recorded as ``cli_version``.
"""

__version__ = "0.1.0"

SCHEMA_VERSION = 2
"""Version of the JSON that the command and the export print. 2: an unknown duration or number of tokens is null."""
