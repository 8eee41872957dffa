"""Probabilities from a model's file: the model's own, and never a stranger's code."""

import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

import dsm_dask.scores.models.files as model_files
from dsm_dask import codec
from dsm_dask.engine import Engine
from dsm_dask.errors import (
    BadRows,
    CorruptFile,
    MissingExtra,
    NotFound,
    SchemaError,
    SourceChanged,
    UnknownColumn,
    UsageError,
)
from dsm_dask.scores.models.model import from_model
from dsm_dask.scores.uncertainty.classes import Uncertainty
from dsm_dask.scores.uncertainty.multilabel import MultilabelUncertainty

NAMES = np.array(["zero", "one", "two"])


@pytest.fixture(scope="module")
def digits():
    """Pixels (rows, 64) and names of zeros, ones and twos."""
    pixels, numbers = load_digits(n_class=3, return_X_y=True)
    return pixels, NAMES[numbers]


@pytest.fixture(scope="module")
def pipeline(digits):
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(*digits)


def saved(model, folder, name="model.skops"):
    path = folder / name
    path.write_bytes(skops.io.dumps(model))
    return str(path)


def in_list(pixels):
    return pa.record_batch({"pixels": pa.array(pixels.tolist(), pa.list_(pa.float64(), 64))})


def test_a_pipeline_gives_its_own_probabilities(digits, pipeline, tmp_path):
    source = from_model(saved(pipeline, tmp_path), ("pixels",))
    assert source.classes == ("one", "two", "zero")
    values, nulls = source.read(in_list(digits[0]))
    assert np.array_equal(values, pipeline.predict_proba(digits[0]))
    assert not nulls.any()
    scorer = Uncertainty(source)
    found = scorer.apply(in_list(digits[0]), {})
    assert found["predicted_label"].to_pylist() == pipeline.predict(digits[0]).tolist()
    assert scorer.parameters["probabilities"]["digest"] == source.digest


def test_features_may_be_a_column_each_in_the_order_named(digits, pipeline, tmp_path):
    names = tuple(f"x{i}" for i in range(64))
    batch = pa.record_batch({name: digits[0][:, i] for i, name in enumerate(names)})
    values, _ = from_model(saved(pipeline, tmp_path), names).read(batch)
    assert np.array_equal(values, pipeline.predict_proba(digits[0]))
    turned, _ = from_model(saved(pipeline, tmp_path), names[::-1]).read(batch)
    assert np.array_equal(turned, pipeline.predict_proba(digits[0][:, ::-1]))


def test_rows_without_features_have_no_probabilities(digits, pipeline, tmp_path):
    rows = [digits[0][0].tolist(), None, digits[0][1].tolist()]
    batch = pa.record_batch({"pixels": pa.array(rows, pa.list_(pa.float64(), 64))})
    source = from_model(saved(pipeline, tmp_path), ("pixels",))
    values, nulls = source.read(batch)
    assert nulls.tolist() == [False, True, False]
    assert np.array_equal(values[~nulls], pipeline.predict_proba(digits[0][:2]))
    for some in (batch[1:2], batch[:0]):
        values, nulls = source.read(some)
        assert values.shape == (some.num_rows, 3)
        assert nulls.all()


def test_numbers_that_are_null_are_nan_for_the_model(tmp_path):
    rng = np.random.default_rng(0)
    values = np.where(rng.random((200, 2)) < 0.2, np.nan, rng.normal(size=(200, 2)))
    model = make_pipeline(SimpleImputer(), LogisticRegression())
    model.fit(values, np.nansum(values, axis=1) > 0)
    batch = pa.record_batch(
        {name: pa.array(values[:, i], from_pandas=True) for i, name in enumerate("ab")}
    )
    source = from_model(saved(model, tmp_path), ("a", "b"))
    assert source.classes == (0, 1)
    found, nulls = source.read(batch)
    assert np.array_equal(nulls, np.isnan(values).all(axis=1))
    assert np.array_equal(found[~nulls], model.predict_proba(values[~nulls]))


def test_texts_go_to_a_vectorizer(tmp_path):
    texts = ["good fun", "bad bore", "good", "bad"] * 5
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0] * 5)
    values, nulls = from_model(saved(model, tmp_path), ("t",)).read(
        pa.record_batch({"t": [*texts, None]})
    )
    assert np.array_equal(values[:-1], model.predict_proba(texts))
    assert nulls.tolist() == [False] * 20 + [True]


def test_a_model_of_named_columns_finds_them(tmp_path):
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    model = LogisticRegression().fit(frame, ["x", "x", "y", "y"])
    path = saved(model, tmp_path)
    batch = pa.record_batch({"b": frame["b"], "other": ["?"] * 4, "a": frame["a"]})
    for columns in ((), ("b", "a")):
        source = from_model(path, columns)
        assert source.columns == ("a", "b")
        assert np.array_equal(source.read(batch)[0], model.predict_proba(frame))
    with pytest.raises(UnknownColumn, match=r"'c'.*Known: a, b"):
        from_model(path, ("a", "c"))
    with pytest.raises(UsageError, match="also takes b"):
        from_model(path, ("a",))


def test_a_model_of_several_labels(digits, tmp_path):
    pixels, names = digits
    both = np.stack([names == "zero", names != "two"], axis=1).astype(int)
    model = OneVsRestClassifier(LogisticRegression(C=0.001)).fit(pixels, both)
    source = from_model(saved(model, tmp_path), ("pixels",), multilabel=True)
    values, _ = source.read(in_list(pixels))
    assert np.array_equal(values, model.predict_proba(pixels))
    assert MultilabelUncertainty(source).apply(in_list(pixels), {}).num_rows == len(pixels)


def test_workers_apply_it_and_it_may_be_stored_with_a_fold(digits, pipeline, tmp_path):
    source = from_model(saved(pipeline, tmp_path), ("pixels",))
    with Engine(workers=0) as engine:
        [found] = engine.map(lambda rows: source.read(in_list(rows))[0].sum(), [digits[0][:20]])
    assert found == pytest.approx(20)
    assert codec.decode(codec.encode(source)) == source


def test_a_process_loads_a_file_once(digits, pipeline, tmp_path, monkeypatch):
    read, reads = model_files.storage.read, []
    monkeypatch.setattr(model_files.storage, "read", lambda uri: reads.append(uri) or read(uri))
    source = from_model(saved(pipeline, tmp_path), ("pixels",))
    before = len(reads)
    for _ in range(3):
        source.read(in_list(digits[0][:5]))
    assert len(reads) == before


def test_another_model_under_the_same_name_is_another(digits, pipeline, tmp_path):
    path = saved(pipeline, tmp_path)
    source = from_model(path, ("pixels",))
    other = LogisticRegression(C=1e-4).fit(*digits)
    saved(other, tmp_path)
    model_files.load.cache_clear()  # as in a process that has not seen the first
    with pytest.raises(SourceChanged, match="model file has changed"):
        source.read(in_list(digits[0]))
    again = from_model(path, ("pixels",))
    assert again.parameters != source.parameters
    assert np.array_equal(again.read(in_list(digits[0]))[0], other.predict_proba(digits[0]))


class Planted:
    """What an attacker puts in a file."""

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["m.pkl", "m.pickle", "m.joblib", "M.PKL", "m.skops", "m.onnx"])
def test_a_pickle_is_refused_and_never_run(name, tmp_path):
    planted = Planted()
    planted.path = str(tmp_path / "owned")
    (tmp_path / name).write_bytes(pickle.dumps(planted))
    with pytest.raises(UsageError, match=r"pickled model is refused.*skops"):
        from_model(str(tmp_path / name), ("x",))
    assert not (tmp_path / "owned").exists()


def test_types_that_nobody_vouched_for_are_refused_by_name(tmp_path):
    texts = ["a", "b"] * 5
    model = make_pipeline(FunctionTransformer(shout), TfidfVectorizer(analyzer="char"))
    model = make_pipeline(model, LogisticRegression()).fit(texts, [0, 1] * 5)
    path = saved(model, tmp_path)
    name = f"{__name__}.shout"
    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        from_model(path, ("t",))
    [needed] = skops.io.get_untrusted_types(file=path)
    source = from_model(path, ("t",), trusted=(needed,))
    values, _ = source.read(pa.record_batch({"t": texts}))
    assert np.array_equal(values, model.predict_proba(texts))


def shout(texts):
    return [text.upper() for text in texts]


@pytest.mark.parametrize("data", [b"", b"not a model", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("name", ["m.skops", "m.onnx"])
def test_what_is_no_model_says_so(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorruptFile, match="cannot be read"):
        from_model(str(tmp_path / name), ("x",))


def test_a_zip_without_a_model_says_so(tmp_path):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("schema.json", "{}")
    (tmp_path / "m.skops").write_bytes(sink.getvalue())
    with pytest.raises(CorruptFile, match="cannot be read"):
        from_model(str(tmp_path / "m.skops"), ("x",))


def test_no_file_and_other_files(tmp_path):
    with pytest.raises(NotFound):
        from_model(str(tmp_path / "none.skops"), ("x",))
    with pytest.raises(UsageError, match=r"model\.h5 is of an unknown kind"):
        from_model(str(tmp_path / "model.h5"), ("x",))


def test_a_model_without_probabilities_is_no_use(digits, tmp_path):
    path = saved(LinearSVC().fit(*digits), tmp_path)
    with pytest.raises(UsageError, match=r"LinearSVC gives no probabilities.*Calibrated"):
        from_model(path, ("pixels",))


def test_classes_have_to_be_the_models(pipeline, tmp_path):
    path = saved(pipeline, tmp_path)
    assert from_model(path, ("x",), ("one", "two", "zero")).classes == ("one", "two", "zero")
    with pytest.raises(UsageError, match="one, two, zero"):
        from_model(path, ("x",), ("zero", "one", "two"))
    with pytest.raises(UsageError, match="Which columns"):
        from_model(path)


def test_features_that_do_not_fit_are_said(digits, pipeline, tmp_path):
    source = from_model(saved(pipeline, tmp_path), ("pixels",))
    with pytest.raises(BadRows, match=r"model\.skops does not take .*features"):
        source.read(pa.record_batch({"pixels": [[1.0, 2.0]]}))
    with pytest.raises(BadRows, match="NaN"):
        source.read(pa.record_batch({"pixels": [[float("nan")] * 64]}))
    with pytest.raises(SchemaError, match="'pixels'"):
        source.read(pa.record_batch({"pixels": [[["a"]]]}))
    logits = from_model(saved(pipeline, tmp_path), ("pixels",), kind="logits")
    with pytest.raises(BadRows, match="already"):
        logits.read(in_list(digits[0]))


@pytest.mark.parametrize(("missing", "name"), [("skops", "skops"), ("onnxruntime", "onnx")])
def test_a_missing_extra_is_named(missing, name, pipeline, tmp_path, monkeypatch):
    path = saved(pipeline, tmp_path, f"m.{name}")
    model_files.load.cache_clear()
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    extra = {"skops": "models", "onnxruntime": "onnx"}[missing]
    with pytest.raises(MissingExtra, match=rf"dsm-dask\[{extra}\]"):
        from_model(path, ("x",))


def to_onnx(model, folder, **options):
    convert = pytest.importorskip("skl2onnx")
    kind = convert.common.data_types.FloatTensorType
    initial = options.pop("initial_types", [("input", kind([None, 64]))])
    made = convert.convert_sklearn(model, initial_types=initial, options={id(model): options})
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return str(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("zipmap", [True, False])
def test_onnx_gives_what_scikit_learn_does(zipmap, digits, pipeline, tmp_path):
    path = to_onnx(pipeline, tmp_path, zipmap=zipmap)
    classes = () if zipmap else ("one", "two", "zero")
    if not zipmap:
        with pytest.raises(UsageError, match="does not say what its classes are"):
            from_model(path, ("pixels",))
    source = from_model(path, ("pixels",), classes)
    assert source.classes == ("one", "two", "zero")
    values, _ = source.read(in_list(digits[0]))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, pipeline.predict_proba(digits[0]), atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_onnx_with_an_input_for_each_column(tmp_path):
    types = pytest.importorskip("skl2onnx").common.data_types
    from sklearn.compose import ColumnTransformer

    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [5.0, 1.0, 4.0, 2.0]})
    scale = ColumnTransformer([("both", StandardScaler(), ["a", "b"])])
    model = make_pipeline(scale, LogisticRegression()).fit(frame, [0, 0, 1, 1])
    inputs = [(name, types.FloatTensorType([None, 1])) for name in frame]
    source = from_model(to_onnx(model, tmp_path, initial_types=inputs, zipmap=True))
    assert source.columns == ("a", "b")
    assert source.classes == (0, 1)
    values, _ = source.read(pa.record_batch({"b": frame["b"], "a": frame["a"]}))
    np.testing.assert_allclose(values, model.predict_proba(frame), atol=1e-5)
