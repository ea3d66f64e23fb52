"""Heads: from tokens to the answer of a task."""
