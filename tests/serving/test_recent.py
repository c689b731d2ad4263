from __future__ import annotations

from facesnap.serving.recent import Recent


def test_what_was_used_least_recently_goes_first() -> None:
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key.upper()

    recent: Recent[str] = Recent(2)
    assert [recent.get(key, make) for key in "abacab"] == list("ABACAB")
    assert made == ["a", "b", "c", "b"]  # a was always recent
    recent.drop("b")
    recent.get("b", make)
    assert made[-2:] == ["b", "b"]
    assert len(recent) == 2
