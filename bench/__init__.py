"""Benchmarks: a mock upstream, a driver that checks what it receives, and nginx as the yardstick. See README.md."""
