"""Options travel; secrets do not."""

from __future__ import annotations

import pickle

import pytest

from dsm_dask import storage
from dsm_dask.errors import UsageError
from dsm_dask.storage import Options
from dsm_dask.storage.retry import retry

SECRET = "wJalrXUtnFEMI-SECRET"
KEY = "AKIA-THE-KEY"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION",
                 "AWS_PROFILE", "AWS_S3_ADDRESSING_STYLE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET + "-token")


@pytest.mark.parametrize(
    "name", ["key", "secret", "token", "aws_secret_access_key", "password", "client_kwargs"]
)
def test_keys_and_secrets_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        Options.parse({"endpoint_url": "http://x", name: SECRET})
    assert name in str(caught.value)
    assert "AWS_ACCESS_KEY_ID" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("uri", ["https://e.com/x.parquet", "http://e.com/raw/*.parquet"])
def test_a_web_server_is_no_store(uri: str) -> None:
    """What cannot be listed, and need not have byte ranges, is not taken for a bucket."""
    for look in (storage.find, storage.read, storage.info, storage.listing):
        with pytest.raises(UsageError, match="web server"):
            look(uri)
    with pytest.raises(UsageError, match="web server"):
        storage.read_ranges(uri, [(0, 4)])


def test_options_have_no_secret_and_survive_a_pickle() -> None:
    options = Options.parse({"endpoint_url": "http://x:1", "region": "eu-1", "path_style": True})
    assert pickle.loads(pickle.dumps(options)) == options
    for form in (pickle.dumps(options), repr(options).encode(), str(options).encode()):
        assert SECRET.encode() not in form
        assert KEY.encode() not in form
    assert Options.parse(None) == Options.parse({}) == Options()


@pytest.mark.parametrize("url", [f"http://{KEY}:{SECRET}@store:9000", f"https://{SECRET}@store/x"])
def test_an_endpoint_with_a_password_is_refused_and_not_repeated(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as given:
        Options(url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(UsageError) as found:
        storage.lance_options("s3://lake/x")
    for error in (given, found):
        assert SECRET not in str(error.value)


def test_options_in_force_nest() -> None:
    one, two = Options(region="one"), Options(region="two")
    with storage.using(one):
        with storage.using(two):
            assert storage.current_options() == two
        assert storage.current_options() == one
    assert storage.current_options() == Options()


def test_lance_gets_the_same_endpoint_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Options("http://store:9000", region="eu-1", path_style=True, profile="team")
    with storage.using(given):
        found = storage.lance_options("s3://lake/x")
    assert found == {
        "aws_endpoint": "http://store:9000",
        "aws_region": "eu-1",
        "aws_virtual_hosted_style_request": "false",
        "aws_profile": "team",
        "allow_http": "true",
    }
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://other")
    monkeypatch.setenv("AWS_REGION", "us-2")
    from_environment = storage.lance_options("s3://lake/x")
    assert from_environment == {
        "aws_endpoint": "https://other",
        "aws_region": "us-2",
        "aws_virtual_hosted_style_request": "false",
        "allow_http": "false",
    }
    for options in (found, from_environment):
        assert SECRET not in repr(options)
        assert KEY not in repr(options)


def test_lance_style_region_and_anonymous_access() -> None:
    assert storage.lance_options("s3://lake/x") == {"aws_virtual_hosted_style_request": "true"}
    assert storage.lance_options("/local/path") is None
    with storage.using(Options("http://x", path_style=False, anon=True)):
        found = storage.lance_options("s3://lake/x")
    assert found is not None
    assert found["aws_virtual_hosted_style_request"] == "true"
    assert found["aws_skip_signature"] == "true"


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("s3://lake/x/", "s3://lake/x"),
        ("s3a://lake/x", "s3://lake/x"),
        ("file:///data/x", "/data/x"),
        ("/data/../data/x/", "/data/x"),
        ("gs://lake/x", "gs://lake/x"),
    ],
)
def test_one_spelling_for_one_place(uri: str, same: str) -> None:
    assert storage.normalise(uri) == same
    assert storage.normalise(same) == same
    assert storage.join(storage.parent(uri), storage.name(uri)) == same


@pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://store", "http://", "https:///x"])
def test_what_is_no_endpoint(endpoint: str) -> None:
    """Told at once, before anything is tried again and again."""
    with pytest.raises(UsageError, match="no endpoint"):
        Options(endpoint_url=endpoint)


def test_a_password_is_not_told_either_where_the_protocol_is_missing() -> None:
    with pytest.raises(UsageError, match="a name or a password") as error:
        Options(endpoint_url=f"{KEY}:{SECRET}@store:9000")
    assert SECRET not in str(error.value)


def test_a_budget_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSM_RETRY_SECONDS", "soon")
    with pytest.raises(UsageError, match="DSM_RETRY_SECONDS"):
        retry(lambda: None, "s3://bucket/key")
