"""An endpoint is believed as far as its words go: everything malformed is its trouble, never a fact about the chain."""

from collections.abc import Callable

import httpx
import pytest

from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain import wire
from clash_pipeline.economy.chain.contract import ContractInvalid
from clash_pipeline.economy.chain.link import HttpLink
from clash_pipeline.economy.chain.rpc import Endpoint, EndpointSilent, EndpointTrouble, EndpointWrong, Log
from clash_pipeline.economy.chain.wire import WireInvalid
from clash_pipeline.replay.chain import Chain
from clash_pipeline.replay.chain_vault import RESOLVER, ModelVault, vault
from clash_pipeline.replay.chain_views import ChainView
from tests.fakes import loopback

PAYER = "0x" + "a1" * 20
VAULT = vault()
Question = Callable[[Endpoint], object]
QUESTIONS: dict[str, Question] = {
    "chain id": lambda e: e.chain_id(),
    "code": lambda e: e.code(VAULT.address),
    "receipt": lambda e: e.receipt("0x" + "11" * 32),
    "block": lambda e: e.block(1),
    "by hash": lambda e: e.block_by_hash("0x" + "22" * 32),
    "finalized": lambda e: e.finalized(),
    "latest": lambda e: e.latest(),
    "word": lambda e: e.word(VAULT.address, words.native(), e.latest().hash),
    "logs": lambda e: e.logs(VAULT.address, [words.topic(words.DEPOSIT_TEXT)], 0, 5),
}


@pytest.fixture
def view() -> ChainView:
    chain = Chain(ModelVault())
    chain.deposit(PAYER, RESOLVER, 7, 10**16)
    chain.mine(6)
    return ChainView(chain)


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_honest_endpoint_answers(view: ChainView, question: str) -> None:
    QUESTIONS[question](Endpoint(view))


@pytest.mark.parametrize("lie", ["wrong id", "error", "other method", "quantity", "large", "html"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_malformed_answer_is_the_endpoints_trouble(view: ChainView, question: str, lie: str) -> None:
    if (question, lie) == ("code", "quantity"):
        return  # no bytes are well-formed: an address without code, which the pinned hash finds
    view.lies = {lie}
    with pytest.raises(EndpointTrouble) as caught:
        QUESTIONS[question](Endpoint(view))
    is_quiet = (question, lie) == ("finalized", "error")
    assert isinstance(caught.value, EndpointSilent if is_quiet else EndpointWrong), "finality may be unknown to it"


def test_an_endpoint_that_is_down_or_knows_no_finality_is_silent(view: ChainView) -> None:
    view.lies = {"no finality"}
    with pytest.raises(EndpointSilent):
        Endpoint(view).finalized()
    view.is_down = True
    with pytest.raises(EndpointSilent):
        Endpoint(view).chain_id()


def test_a_block_it_does_not_know_is_no_answer_about_the_vault(view: ChainView) -> None:
    with pytest.raises(EndpointSilent):
        Endpoint(view).word(VAULT.address, words.native(), "0x" + "33" * 32)


class Scripted:
    """Answers every question with one result."""

    name = "scripted"

    def __init__(self, result: str) -> None:
        self.result = result

    def exchange(self, body: bytes) -> bytes:
        return b'{"jsonrpc":"2.0","id":1,"result":%s}' % self.result.encode()


ONES = "11" * 32
BLOCK = f'{{"number":"0x1","hash":"0x{ONES}","parentHash":"0x{ONES[:-1]}2","timestamp":"0x1"}}'


@pytest.mark.parametrize(
    "result",
    [
        BLOCK.replace('"0x1","hash"', '"0x2","hash"'),  # another height
        BLOCK.replace('"0x1","hash"', '"0X1","hash"'),
        BLOCK.replace('"0x1","hash"', '"0x01","hash"'),
        BLOCK.replace('"0x1","hash"', '"0x","hash"'),
        BLOCK.replace('"0x1","hash"', '"0x1_0","hash"'),
        BLOCK.replace('"0x1","hash"', '1,"hash"'),
        BLOCK.replace(ONES, ONES[2:]),
        BLOCK.replace('"timestamp":"0x1"', '"timestamp":"0x' + "f" * 60 + '"'),
        BLOCK.replace('"number":"0x1",', ""),
        "[]", "true", "17", '"0x1"', BLOCK[:-1] + ',"number":"0x1"}',
    ],
)  # fmt: skip
def test_a_block_of_another_form_is_refused(result: str) -> None:
    with pytest.raises(EndpointWrong):
        Endpoint(Scripted(result)).block(1)


def test_a_receipt_of_another_transaction_is_refused() -> None:
    name = "0x" + "aa" * 32
    receipt = f'{{"transactionHash":"{name}","blockNumber":"0x1","blockHash":"0x{ONES}","status":"0x1","logs":[]}}'
    assert Endpoint(Scripted(receipt)).receipt(name)
    with pytest.raises(EndpointWrong, match="another transaction"):
        Endpoint(Scripted(receipt)).receipt("0x" + "bb" * 32)


@pytest.mark.parametrize(
    "text", ["0x", "0x00", "0x01", "0X1", "0x1_0", "1", "0xg", "0x１", "", " 0x1", "0x1\n", None, 1]
)
def test_no_other_quantity(text: object) -> None:
    with pytest.raises(WireInvalid):
        wire.quantity(text, "value")


def test_addresses_carry_their_checksum_and_are_kept_in_lower_case() -> None:
    good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert wire.address(good, "a") == good.lower() == wire.address(good.lower(), "a")
    with pytest.raises(WireInvalid, match="checksum"):
        wire.address(good[:-1] + "D", "a")


def log_of(topics: tuple[str, ...], data: bytes) -> Log:
    return Log(VAULT.address, topics, data, 1, "0x" + "11" * 32, "0x" + "22" * 32, 0, False)


def test_an_event_has_exactly_its_topics_and_words() -> None:
    topics = (words.topic(words.DEPOSIT_TEXT), *(words.address_topic(each) for each in (PAYER, VAULT.native, RESOLVER)))
    data = (7).to_bytes(32) + (10**16).to_bytes(32)
    told = words.event(log_of(topics, data))
    assert (told.party, told.nonce, told.amount_wei) == (PAYER, 7, 10**16)
    dirty = "0x01" + topics[1][4:]
    for wrong in (
        log_of(topics[:3], data), log_of(topics, data[:-1]), log_of(topics, data + b"\0" * 32),
        log_of((*topics[:3], dirty), data),
    ):  # fmt: skip
        with pytest.raises(ContractInvalid):
            words.event(wrong)


def test_over_http_what_is_slow_large_cut_or_elsewhere_is_trouble() -> None:
    with loopback.loopback() as venue, httpx.Client() as client:
        for path, answer, kind in (
            ("/busy", loopback.busy, EndpointSilent),
            ("/broken", loopback.broken, EndpointSilent),
            ("/cut", loopback.cut, EndpointSilent),
            ("/slow", loopback.slow, EndpointSilent),
            ("/huge", loopback.huge, EndpointWrong),
            ("/moved", loopback.moved, EndpointWrong),
            ("/missing", loopback.missing, EndpointWrong),
            ("/html", loopback.html, EndpointWrong),
        ):
            venue.answers[path] = answer
            link = HttpLink("x", venue.url + path, client, timeout_sec=0.3, max_bytes=100_000)
            with pytest.raises(kind):
                Endpoint(link).chain_id()
    with httpx.Client() as client, pytest.raises(EndpointSilent):
        Endpoint(HttpLink("x", venue.url, client, timeout_sec=0.3, max_bytes=1_000)).chain_id()


def test_a_trickling_answer_is_given_up_by_the_clock() -> None:
    times = iter([0.0, 0.1, 9.0])
    with loopback.loopback() as venue, httpx.Client() as client:
        venue.answers["/"] = loopback.as_json({"jsonrpc": "2.0"})
        link = HttpLink("x", venue.url + "/", client, timeout_sec=0.05, max_bytes=1_000, elapsed=lambda: next(times))
        with pytest.raises(EndpointSilent, match="no whole answer"):
            link.exchange(b"{}")
