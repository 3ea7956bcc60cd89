"""
The package's version: read by setup.cfg, and recorded as ``cli_version``.
"""

__version__ = "0.1.0"
