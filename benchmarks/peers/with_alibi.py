"""alibi-detect: Kolmogorov-Smirnov for numbers and chi-squared for categories, a column each."""

from measured import run


def prepare(task):
    import alibi_detect
    import pandas as pd
    from alibi_detect.cd import TabularDrift

    def work(task):
        sides = []
        for side in ("reference", "current"):
            frame = pd.concat(
                [pd.read_parquet(path, columns=task["columns"]) for path in task[side]]
            )
            for name in task["categorical"]:
                frame[name] = frame[name].map(hash) % 2**31
            sides.append(frame.fillna(frame.mean(numeric_only=True)).to_numpy("float64"))
        places = {task["columns"].index(name): None for name in task["categorical"]}
        detector = TabularDrift(sides[0], p_val=0.05, categories_per_feature=places)
        found = detector.predict(sides[1])["data"]
        return {"columns": len(found["distance"]), "version": alibi_detect.__version__}

    return work


if __name__ == "__main__":
    run(prepare)
