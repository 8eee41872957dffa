"""Every distance that a comparison gives, computed again from all values with NumPy.

Numeric columns are sorted as a whole; categories are counted as a whole. Bins of numbers are those
of the comparison, whose edges are quantiles of the reference: a distance over bins is defined by
its bins. On the first values of each column the formulas are checked against SciPy's.
"""

from measured import run

CHECKED = 20_000
FLOOR = 1e-4  # of a share, as in the population stability index
EXPECTED = 5  # categories with fewer expected values are taken together for chi-squared


def prepare(task):
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import scipy.spatial.distance
    import scipy.stats

    def work(task):
        return {name: column(name, told) for name, told in task["columns"].items()}

    def column(name, told):
        sides = [pq.read_table(task[side], columns=[name])[name] for side in SIDES]
        missing = [side.null_count / len(side) for side in sides]
        values = [side.drop_null() for side in sides]
        found = {"missing": abs(missing[0] - missing[1])}
        if told["kind"] == "numeric":
            found.update(numeric(values, told["edges"]))
        else:
            found.update(of_counts(*counts(values)))
        return found

    def numeric(values, told_edges):
        kind = values[0].type
        one, two = (np.sort(stored(side).to_numpy()) for side in values)
        edges = pa.array(told_edges)
        if pa.types.is_timestamp(kind):
            edges = stored(edges.cast(kind))
        edges = edges.to_numpy(zero_copy_only=False).astype(one.dtype)
        heads = [np.sort(side[:: max(1, len(side) // CHECKED)]) for side in (one, two)]
        check(heads)
        found = cumulative(one, two)
        binned = [np.diff(np.searchsorted(side, edges, "right"), prepend=0, append=len(side))
                  for side in (one, two)]  # fmt: skip
        found.update(of_counts(*binned))
        return found

    def stored(array):
        return array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array

    def cumulative(one, two):
        points = np.sort(np.concatenate([one, two]))
        points = points[np.append(points[1:] != points[:-1], True)]
        ends = [np.searchsorted(side, points, "right") / len(side) for side in (one, two)]
        gaps = np.abs(ends[0] - ends[1])
        widths = np.diff(points).astype(np.float64)
        std = np.std(one.astype(np.float64), ddof=1)
        return {"ks": gaps.max(), "wasserstein": float(np.dot(gaps[:-1], widths)) / std}

    def check(heads):
        found = cumulative(*heads)
        ks = scipy.stats.ks_2samp(*heads, method="asymp").statistic
        length = scipy.stats.wasserstein_distance(*heads) / np.std(heads[0].astype(float), ddof=1)
        np.testing.assert_allclose([found["ks"], found["wasserstein"]], [ks, length], rtol=1e-6)

    def counts(values):
        counted = [pc.value_counts(side.combine_chunks()) for side in values]
        names = [side.field("values") for side in counted]
        numbers = [side.field("counts").to_numpy() for side in counted]
        union = pc.unique(pa.chunked_array(names))
        found = []
        for own, number in zip(names, numbers, strict=True):
            slots = pc.index_in(union, value_set=own).to_numpy(zero_copy_only=False)
            known = ~np.isnan(slots)
            full = np.zeros(len(union), np.int64)
            full[known] = number[slots[known].astype(np.int64)]
            found.append(full)
        return found

    def of_counts(one, two):
        p, q = one / one.sum(), two / two.sum()
        floored = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
        return {
            "js": float(scipy.spatial.distance.jensenshannon(p, q, base=2)),
            "hellinger": float(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2)),
            "psi": float(((floored[1] - floored[0]) * np.log(floored[1] / floored[0])).sum()),
            "linf": float(np.abs(p - q).max()),
            "chi2": chi_squared(one, two),
        }

    def chi_squared(one, two):
        share = (one + two) / (one.sum() + two.sum())
        small = min(one.sum(), two.sum()) * share < EXPECTED
        if np.count_nonzero(small) > 1:
            one, two = (np.append(n[~small], n[small].sum()) for n in (one, two))
        table = np.array([one, two])[:, one + two > 0]
        if table.shape[1] < 2:
            return 0.0
        return float(scipy.stats.chi2_contingency(table, correction=False).statistic)

    return work


SIDES = ("reference", "current")

if __name__ == "__main__":
    run(prepare, warm=False)
