"""Clusters from pairs of rows, for peers that give pairs: a dictionary of each row's parent."""


def unite(parent, one, other):
    """Put two rows, and all that they are with, together."""
    one, other = _root(parent, one), _root(parent, other)
    parent[max(one, other)] = min(one, other)


def clusters(parent):
    """Rows that are with others, and the least row of each cluster."""
    rows = list(parent)
    return {"id": rows, "cluster": [_root(parent, row) for row in rows]}


def _root(parent, row):
    parent.setdefault(row, row)
    while parent[row] != row:
        parent[row] = row = parent[parent[row]]  # the way there is halved
    return row
