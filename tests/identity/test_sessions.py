"""A6: tokens are good once and in time; a reuse ends the session, a lost answer does not; no token is ever stored."""

import itertools
import os
import random

import jwt
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from clash_pipeline.clock import SECOND_MS
from clash_pipeline.identity import sessions
from clash_pipeline.identity.sessions import ACCESS_MS, LOST_ANSWER_MS, REFRESH_MS, Keys, SessionRefused
from clash_pipeline.storage.sqlite import Database
from tests.fakes.wallet import Wallet
from tests.identity.conftest import KEYS, T0, Door

ME = Wallet(1)


def _who(door: Door, access: str, now_ms: int = T0) -> int:
    with door.clash.read() as connection:
        return sessions.of_access_token(connection, KEYS, access, now_ms=now_ms).user_id


def test_an_access_token_is_good_for_ten_minutes(door: Door) -> None:
    session, tokens = door.enter(ME)

    assert _who(door, tokens.access, T0 + ACCESS_MS - SECOND_MS) == session.user_id
    with pytest.raises(SessionRefused):
        _who(door, tokens.access, T0 + ACCESS_MS)


def test_a_refresh_gives_the_next_pair(door: Door) -> None:
    session, first = door.enter(ME)
    again, second = sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0 + ACCESS_MS)

    assert again == session
    assert second.refresh != first.refresh
    assert _who(door, second.access, T0 + ACCESS_MS) == session.user_id


def test_a_refresh_token_lives_thirty_days_from_the_sign_in(door: Door) -> None:
    _, first = door.enter(ME)
    _, second = sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0 + REFRESH_MS - 1)

    assert second.access_expires_at == second.refresh_expires_at == T0 + REFRESH_MS
    with pytest.raises(SessionRefused):
        sessions.refresh(door.clash, KEYS, second.refresh, now_ms=T0 + REFRESH_MS)


def test_a_lost_answer_is_given_again(door: Door) -> None:
    _, first = door.enter(ME)
    _, second = sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0)
    _, repeat = sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0 + LOST_ANSWER_MS)

    assert repeat.refresh == second.refresh
    sessions.refresh(door.clash, KEYS, second.refresh, now_ms=T0 + LOST_ANSWER_MS)


def test_a_repeat_after_ten_seconds_ends_the_session(door: Door) -> None:
    _, first = door.enter(ME)
    _, second = sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0)

    with pytest.raises(SessionRefused):
        sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0 + LOST_ANSWER_MS + 1)
    with pytest.raises(SessionRefused):
        sessions.refresh(door.clash, KEYS, second.refresh, now_ms=T0 + LOST_ANSWER_MS + 1)
    with pytest.raises(SessionRefused):
        _who(door, second.access)


def test_a_parent_whose_successor_was_used_ends_the_session_at_once(door: Door) -> None:
    _, first = door.enter(ME)
    _, second = sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0)
    _, third = sessions.refresh(door.clash, KEYS, second.refresh, now_ms=T0)

    with pytest.raises(SessionRefused):
        sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0)
    with pytest.raises(SessionRefused):
        sessions.refresh(door.clash, KEYS, third.refresh, now_ms=T0)


def test_logging_out_acts_at_once(door: Door) -> None:
    session, tokens = door.enter(ME)
    assert sessions.log_out(door.clash, session.id, now_ms=T0)
    assert not sessions.log_out(door.clash, session.id, now_ms=T0)

    with pytest.raises(SessionRefused):
        _who(door, tokens.access)
    with pytest.raises(SessionRefused):
        sessions.refresh(door.clash, KEYS, tokens.refresh, now_ms=T0)


def test_another_session_of_the_same_user_goes_on(door: Door) -> None:
    first, _ = door.enter(ME)
    second, tokens = door.enter(ME)
    sessions.log_out(door.clash, first.id, now_ms=T0)

    assert _who(door, tokens.access) == second.user_id


def _forged(**changes: object) -> str:
    claims = {"iss": sessions.ISSUER, "aud": sessions.AUDIENCE, "sub": "1", "sid": "0" * 32, "iat": T0 // 1000,
              "exp": T0 // 1000 + 60}  # fmt: skip
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(kept, KEYS.access, algorithm="HS256")


FORGED = {
    "no session of that id": lambda token: _forged(),
    "no audience": lambda token: _forged(aud=None),
    "another issuer": lambda token: _forged(iss="evil"),
    "no expiry": lambda token: _forged(exp=None),
    "an expiry that is text": lambda token: _forged(exp="tomorrow"),
    "an expiry that is not finite": lambda token: _forged(exp=1e400),
    "no signature": lambda token: jwt.encode({"sid": "x"}, None, algorithm="none"),
    "another key": lambda token: jwt.encode({"sid": "x"}, b"x" * 32, algorithm="HS256"),
    "another algorithm": lambda token: jwt.encode({"sid": "x"}, KEYS.access + b"x" * 32, algorithm="HS512"),
    "the refresh key": lambda token: jwt.encode(jwt.decode(token, options={"verify_signature": False}), KEYS.refresh),
    "empty": lambda token: "",
    "two dots": lambda token: "..",
    "not ascii": lambda token: token + "é",
    "far too long": lambda token: token * 20,
    "cut": lambda token: token[:-2],
    "a space": lambda token: token + " ",
    "another head": lambda token: "eyJhbGciOiJub25lIn0" + token[token.index(".") :],
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_access_token_is_refused(door: Door, kind: str) -> None:
    _, tokens = door.enter(ME)
    with pytest.raises(SessionRefused):
        _who(door, FORGED[kind](tokens.access))


@pytest.mark.parametrize(
    "kind", ["", "x", "0" * 32 + ".0." + "0" * 64, "{id}.1.{proof}", "{id}.00.{proof}", "{t} ", "{t}0"]
)
def test_an_invented_refresh_token_ends_nothing(door: Door, kind: str) -> None:
    session, tokens = door.enter(ME)
    token = kind.format(id=session.id, proof=tokens.refresh.split(".")[2], t=tokens.refresh)
    with pytest.raises(SessionRefused):
        sessions.refresh(door.clash, KEYS, token, now_ms=T0)
    sessions.refresh(door.clash, KEYS, tokens.refresh, now_ms=T0)


def test_secrets_do_not_show(door: Door) -> None:
    _, tokens = door.enter(ME)
    assert "k" * 8 not in repr(KEYS)
    assert tokens.refresh not in repr(tokens)
    with pytest.raises(ValueError, match="at least 32 bytes, not 5"):
        Keys.of(b"short")


class SessionMachine(RuleBasedStateMachine):
    """Sign-ins, refreshes, lost answers, reuses, logouts and a moving clock, against what a person would expect."""

    clash: Database
    seeds = itertools.count()
    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.door = Door(self.clash, random.Random(next(self.seeds)))
        self.now = T0
        self.current: dict[str, int] = {}
        self.rotated: dict[str, int] = {}
        self.ended: set[str] = set()
        self.begun: dict[str, int] = {}
        self.issued: list[str] = []

    @rule(target=tokens, wallet=st.integers(1, 3))
    def sign_in(self, wallet: int) -> tuple[str, int, str]:
        """Somebody signs in."""
        session, made = self.door.enter(Wallet(wallet), self.now)
        self.current[session.id] = 0
        self.rotated[session.id] = self.begun[session.id] = self.now
        self.issued += [made.access, made.refresh]
        return session.id, 0, made.refresh

    @rule(target=tokens, token=tokens)
    def refresh(self, token: tuple[str, int, str]) -> object:
        """Any token ever issued is tried."""
        session_id, counter, text = token
        try:
            _, made = sessions.refresh(self.door.clash, KEYS, text, now_ms=self.now)
        except SessionRefused:
            assert not self._should_pass(session_id, counter)
            if self._is_live(session_id):
                self.ended.add(session_id)
            return multiple()
        assert self._should_pass(session_id, counter)
        if counter == self.current[session_id]:
            self.current[session_id] = counter + 1
            self.rotated[session_id] = self.now
        self.issued += [made.access, made.refresh]
        return session_id, counter + 1, made.refresh

    @rule(token=tokens)
    def log_out(self, token: tuple[str, int, str]) -> None:
        """A session is ended by hand."""
        assert sessions.log_out(self.door.clash, token[0], now_ms=self.now) == (token[0] not in self.ended)
        self.ended.add(token[0])

    @rule(by=st.sampled_from([1, 5_000, LOST_ANSWER_MS, LOST_ANSWER_MS + 1, ACCESS_MS, REFRESH_MS // 2]))
    def wait(self, by: int) -> None:
        """Time passes."""
        self.now += by

    @invariant()
    def no_token_is_stored(self) -> None:
        """Not even a part that would help."""
        with self.door.clash.read() as connection:
            rows = [tuple(row) for row in connection.execute("SELECT * FROM auth_sessions")]
        content = repr(rows)
        assert not any(text in content or text.split(".")[-1] in content for text in self.issued[-6:])

    def _is_live(self, session_id: str) -> bool:
        return session_id not in self.ended and self.now < self.begun[session_id] + REFRESH_MS

    def _should_pass(self, session_id: str, counter: int) -> bool:
        current = self.current[session_id]
        is_repeat = counter == current - 1 and self.now - self.rotated[session_id] <= LOST_ANSWER_MS
        return self._is_live(session_id) and (counter == current or is_repeat)


@pytest.mark.goal
def test_sessions_behave_as_a_person_would_expect(clash: Database) -> None:
    """A6 at CI size; CLASH_SOAK=1 takes fifty times as many steps."""
    examples = 2_000 if os.environ.get("CLASH_SOAK") else 40
    SessionMachine.clash = clash
    run_state_machine_as_test(
        SessionMachine, settings=hypothesis_settings(max_examples=examples, stateful_step_count=50, deadline=None)
    )


def test_control_without_the_grace_a_lost_answer_would_end_the_session(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LOST_ANSWER_MS", -1)
    _, first = door.enter(ME)
    sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0)
    with pytest.raises(SessionRefused):
        sessions.refresh(door.clash, KEYS, first.refresh, now_ms=T0)
