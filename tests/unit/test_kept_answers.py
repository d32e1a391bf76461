"""Answers kept for replays: sealed, bound to their calls, and erased when their time is up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.books import NOW_S, Books, new_books

from mini_llm.errors import ConfigError
from router.answers import SEALED_TYPE, KeptAnswers
from router.ledger import Replay, StoredAnswer, answers
from router.ledger.answers import erase_of, erase_old
from router.people.vault import FileKeys, Vault

CALL, BODY = "ab" * 32, b'{"secret": "a story about a whale"}'


def vault(*names: str) -> Vault:
    return Vault(FileKeys({name: name[:1].encode() * 32 for name in names}))


async def keeper(keys: Vault, keep_s: int | None = 60) -> KeptAnswers:
    made = KeptAnswers(keys, keep_s)
    await made.prepare()
    return made


def replay(answer: StoredAnswer, call: str = CALL) -> Replay:
    return Replay(call, 7, answer, None)


async def test_a_sealed_answer_is_opened_by_any_router_that_has_the_master_key() -> None:
    kept = (await keeper(vault("old"))).kept(CALL, "text/event-stream", BODY)
    assert kept.content_type == SEALED_TYPE
    assert b"whale" not in kept.body
    for other in (await keeper(vault("new", "old")), KeptAnswers(vault("old"), None)):
        for _ in range(2):
            assert (await other.opened(replay(kept))).answer == StoredAnswer(200, "text/event-stream", BODY)


async def test_an_answer_that_cannot_be_opened_is_gone() -> None:
    sealing = await keeper(vault("old"))
    kept = sealing.kept(CALL, "text/plain", BODY)
    touched = [kept.body[:-1] + bytes((kept.body[-1] ^ 1,)), b"", kept.body[:40]]
    for body in touched:
        assert (await sealing.opened(replay(replace(kept, body=body)))).answer is None
    assert (await sealing.opened(replay(kept, "cd" * 32))).answer is None, "it is another call's"
    assert (await (await keeper(vault("new"))).opened(replay(kept))).answer is None
    assert (await KeptAnswers(None, None).opened(replay(kept))).answer is None


async def test_without_a_time_answers_are_kept_as_they_are() -> None:
    plain = await keeper(vault("old"), None)
    kept = plain.kept(CALL, "text/plain", BODY)
    assert kept == StoredAnswer(200, "text/plain", BODY)
    assert (await plain.opened(replay(kept))).answer == kept


def test_sealing_needs_a_master_key() -> None:
    with pytest.raises(ConfigError, match="VIBES_MASTER_KEY"):
        KeptAnswers(None, 60)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, 10_000)
        books.fund(2, 10_000)
        yield books


def answered(books: Books, idx: int, now_s: int) -> None:
    """A call whose answer is kept, under a key that tells when it began."""
    held = books.reserve(idx, 100, str(now_s), now_s=now_s)
    books.post(held.entry_id, 100, answer=StoredAnswer(200, "text/plain", BODY))


def kept_of(books: Books, idx: int, times: tuple[int, ...]) -> list[int]:
    """Those of the calls whose answer is still there; each is known, whether or not it is."""
    found = {time_s: books.try_reserve(idx, 100, str(time_s)) for time_s in times}
    assert all(isinstance(one, Replay) and one.charge_base == 100 for one in found.values())
    return [time_s for time_s, one in found.items() if isinstance(one, Replay) and one.answer]


def test_old_answers_are_erased_and_their_calls_stay(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.ledger.answers._OLDEST", answers._OLDEST.limit(2))
    times = tuple(NOW_S + second for second in range(5))
    for time_s in times:
        answered(books, 1, time_s)
    erased = [books.ledger.run(lambda c: erase_old(c, NOW_S + 3)) for _ in range(3)]
    assert erased == [2, 1, 0]
    assert kept_of(books, 1, times) == [NOW_S + 3, NOW_S + 4]


def test_an_accounts_answers_are_erased_and_nobody_elses(books: Books) -> None:
    for idx in (1, 2):
        answered(books, idx, NOW_S)
    assert books.ledger.run(lambda c: erase_of(c, 1)) == 1
    assert (kept_of(books, 1, (NOW_S,)), kept_of(books, 2, (NOW_S,))) == ([], [NOW_S])
