from __future__ import annotations

from pathlib import Path

import pytest

from facesnap.core.errors import UsageError
from facesnap.serving.config import ServeConfig, data_folder


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_a_host_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="token"):
        ServeConfig(host=host)
    assert ServeConfig(host=host, token="a-long-secret").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.1"])
def test_this_machine_alone_needs_none(host: str) -> None:
    assert ServeConfig(host=host).token is None


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"limits": {"queue": 0}}, "limits.queue"),
        ({"limits": {"quota": 1}}, "limits.quota"),
        ({"expiry": {"result_hours": float("nan")}}, "expiry.result_hours"),
        ({"token": "short"}, "token"),
        ({"models": {"default": {}}}, "default"),
        ({"port": 70000}, "port"),
    ],
)
def test_wrong_settings_are_named_on_one_line(values: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        ServeConfig.of(values)
    assert "\n" not in str(caught.value)
    assert "short" not in str(caught.value).replace("shorter", "")  # a token is never repeated


def test_models_are_listed_with_the_default_first() -> None:
    config = ServeConfig(base="mini", models={"other": {"base": "elsewhere", "adapter": "x"}})
    assert list(config.sources()) == ["default", "other"]
    assert config.sources()["other"].adapter == "x"


def test_the_data_folder_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert ServeConfig().data == tmp_path / "facesnap" / "serve"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / ".local" / "share" / "facesnap" / "serve"
