"""Logs, and the metric log."""
