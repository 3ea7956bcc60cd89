"""
Version of the package: read by setup.cfg, and recorded as ``cli_version``.
"""

__version__ = "0.1.0"
