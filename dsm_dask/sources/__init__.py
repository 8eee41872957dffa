"""Tables over files: one module per format."""
