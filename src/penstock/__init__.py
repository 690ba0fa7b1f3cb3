"""Penstock: one self-hosted service between an organisation's products and every language model."""

__version__ = "0.1.0"
