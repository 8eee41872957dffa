"""Versioned datasets on Lance: linked or managed rows, atomic commits, lineage."""
