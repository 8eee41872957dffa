"""Validation: what data is held to, and where it differs."""
