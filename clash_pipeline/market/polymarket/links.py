"""Which assets a market is about: words of its question, slug, title and tags against the terms of the registry.

Deterministic and cautious: a missing link costs a line of context, a wrong one misleads a decision. Places are asked
in order (window of a recurring slug, question, slug, event title, tags) and the first that names any asset decides.
A bare ticker counts only in capitals, in an event the venue tags as crypto; tickers and names that are also ordinary
words (`false_friends.yaml`) need a `$`, brackets or a word such as "price" beside them.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import NamedTuple

import yaml

from clash_pipeline.market.polymarket.wire import Event, Market, window_of

CRYPTO_TAGS = frozenset({"crypto", "crypto-prices"})
LONGEST_NAME = 5
SHORTEST_BARE_TICKER = 3

_WORD = re.compile(r"(\$?)([^\W_]+)")
_TICKER = re.compile(r"[A-Z0-9]{1,12}", re.ASCII)
_BESIDE_A_TICKER = frozenset({"price", "token", "coin", "crypto", "usd", "usdt", "usdc", "memecoin", "fdv", "airdrop"})


class Asset(NamedTuple):
    """A tradable asset and the words that may stand for it: tickers in capitals, names as lower-case word tuples."""

    symbol: str
    tickers: frozenset[str]
    names: tuple[tuple[str, ...], ...]


class Link(NamedTuple):
    """A market is about `symbol`, because `matched` (place and term) stands in it."""

    symbol: str
    matched: str


class FalseFriends(NamedTuple):
    """Words that name an asset and much else."""

    tickers: frozenset[str]
    names: frozenset[tuple[str, ...]]
    compounds: frozenset[tuple[str, ...]]


class _Word(NamedTuple):
    text: str
    folded: str
    has_dollar: bool
    in_brackets: bool


@functools.cache
def false_friends() -> FalseFriends:
    """The words of `false_friends.yaml`."""
    file = resources.files("clash_pipeline.market.polymarket") / "false_friends.yaml"
    listed = yaml.safe_load(file.read_text("utf-8"))
    # YAML reads a bare ON or NO as a boolean; every word is wanted as written.
    return FalseFriends(
        frozenset(str(word) for word in listed["tickers"]),
        frozenset(tuple(str(name).split()) for name in listed["names"]),
        frozenset(tuple(str(name).split()) for name in listed["compounds"]),
    )


def asset(symbol: str, base_token: str, search_terms: Iterable[str]) -> Asset:
    """An asset of the registry with its terms sorted into tickers and names; `kPEPE` is also PEPE."""
    bases = {base_token, base_token[1:] if base_token.startswith("k") else base_token, symbol}
    tickers = {base.upper() for base in bases if _TICKER.fullmatch(base.upper())}
    names = []
    for term in search_terms:
        words = tuple(match[2].casefold() for match in _WORD.finditer(term))
        is_ticker = len(words) == 1 and (len(words[0]) <= SHORTEST_BARE_TICKER or words[0].upper() in tickers)
        if is_ticker:
            tickers.add(words[0].upper())
        if is_ticker and (term.isupper() or words[0].upper() in false_friends().tickers):
            continue  # written like a word it would be taken for one; "Aave" and "Bonk" are names as well
        if 0 < len(words) <= LONGEST_NAME:
            names.append(words)
    return Asset(symbol, frozenset(tickers), tuple(dict.fromkeys(names)))


def search_query(found: Asset) -> str | None:
    """What to ask public search for: a name that is no ordinary word, else a ticker that is none."""
    friends = false_friends()
    names = [" ".join(name) for name in found.names if name not in friends.names]
    tickers = sorted(t for t in found.tickers if len(t) >= SHORTEST_BARE_TICKER and t not in friends.tickers)
    return next(iter((*names, *tickers)), None)


class Linker:
    """Finds the assets of markets; built once for the assets of a registry."""

    def __init__(self, assets: Iterable[Asset]) -> None:
        self._friends = false_friends()
        self._tickers: dict[str, set[str]] = {}
        self._names: dict[tuple[str, ...], set[str]] = {name: set() for name in self._friends.compounds}
        for found in assets:
            for ticker in found.tickers:
                self._tickers.setdefault(ticker, set()).add(found.symbol)
            for name in found.names:
                self._names.setdefault(name, set()).add(found.symbol)

    def knows(self, ticker: str) -> bool:
        """Whether any listed asset goes by this ticker."""
        return bool(self._tickers.get(ticker.upper()))

    def links(self, market: Market, event: Event | None) -> tuple[Link, ...]:
        """The assets a market is about, sorted by symbol."""
        is_crypto = event is not None and not CRYPTO_TAGS.isdisjoint(event.tags)
        for place, found in self._places(market, event, is_crypto):
            terms = dict(found)
            if terms:
                return tuple(Link(symbol, f"{place}: {terms[symbol]}") for symbol in sorted(terms))
        return ()

    def _places(
        self, market: Market, event: Event | None, is_crypto: bool
    ) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
        yield "window", self._window(market.slug)
        yield "question", self._text(market.question, is_crypto)
        yield "slug", self._slug(market.slug)
        if event is None:
            return
        yield "series", self._window(f"{event.series_slug}", is_series=True)
        yield "title", self._text(event.title, is_crypto)
        yield "tag", self._tags(event.tags)

    def _window(self, slug: str, is_series: bool = False) -> Iterator[tuple[str, str]]:
        """The coin of `btc-updown-5m-…`, or the first word of a series such as `btc-multi-strikes-weekly`."""
        window = window_of(slug)
        coin = window.coin if window else slug.split("-")[0] if is_series else ""
        for symbol in self._tickers.get(coin.upper(), ()):
            if window or coin.upper() not in self._friends.tickers:
                yield symbol, coin

    def _text(self, text: str, is_crypto: bool) -> Iterator[tuple[str, str]]:
        words = list(_words(text))
        is_shouted = text.isupper()  # a headline in capitals makes a ticker of every word
        position = 0
        while position < len(words):
            length, symbols = self._name_at(words, position, is_crypto)
            if not length:
                length, symbols = 1, self._ticker_at(words, position, is_crypto and not is_shouted)
            term = " ".join(word.text for word in words[position : position + length])
            yield from ((symbol, term) for symbol in symbols)
            position += length

    def _name_at(self, words: list[_Word], position: int, is_crypto: bool) -> tuple[int, set[str]]:
        """The longest name that starts here, and whose it is: `Bitcoin Cash` hides `Bitcoin`."""
        for length in range(min(LONGEST_NAME, len(words) - position), 0, -1):
            name = tuple(word.folded for word in words[position : position + length])
            if name not in self._names:
                continue
            is_plain = name in self._friends.names or (length == 1 and len(name[0]) <= SHORTEST_BARE_TICKER)
            if not is_plain or (is_crypto and words[position].text[0].isupper()):
                return length, self._names[name]
        return 0, set()

    def _ticker_at(self, words: list[_Word], position: int, bare_counts: bool) -> set[str]:
        word = words[position]
        symbols = self._tickers.get(word.text.upper(), set())
        if not symbols or word.has_dollar:
            return symbols
        if not word.text.isupper():
            return set()
        following = words[position + 1].folded if position + 1 < len(words) else ""
        if word.in_brackets or following in _BESIDE_A_TICKER:
            return symbols
        is_word = len(word.text) < SHORTEST_BARE_TICKER or word.text in self._friends.tickers
        return symbols if bare_counts and not is_word else set()

    def _slug(self, slug: str) -> Iterator[tuple[str, str]]:
        """Names only: a slug has no capitals to tell tickers from words."""
        return self._text(slug.replace("-", " ").casefold(), is_crypto=False)

    def _tags(self, tags: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for tag in tags:
            name = tuple(tag.casefold().split("-"))
            if name not in self._friends.names:
                yield from ((symbol, tag) for symbol in self._names.get(name, ()))
            if len(tag) >= SHORTEST_BARE_TICKER and tag.upper() not in self._friends.tickers:
                yield from ((symbol, tag) for symbol in self._tickers.get(tag.upper(), ()))


def _words(text: str) -> Iterator[_Word]:
    for match in _WORD.finditer(text):
        before, after = text[: match.start()][-1:], text[match.end() : match.end() + 1]
        yield _Word(match[2], match[2].casefold(), bool(match[1]), before == "(" and after == ")")
