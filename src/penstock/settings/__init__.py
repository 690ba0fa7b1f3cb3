"""Every environment variable: read once, typed, frozen. `variables.py` is the table that all the rest follows."""

from penstock.settings.loading import load_settings
from penstock.settings.options import Settings
from penstock.settings.report import EXIT_CODE, SettingsError, render

__all__ = ["EXIT_CODE", "Settings", "SettingsError", "load_settings", "render"]
