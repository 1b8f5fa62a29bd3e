"""What the entitlement allows, and what one prompt may hold: claims, tiers, text, candidates (02 D, Entitlements)."""

from collections import Counter
from collections.abc import Iterator

from clash_pipeline.clones.budgets import tokens
from clash_pipeline.clones.problems import Problem, counted, escaped
from clash_pipeline.clones.rules import Subject

PROMPT_TOKENS = 4_000


def single_claims(subject: Subject) -> Iterator[Problem]:
    """An active asset is claimed by exactly one enabled prompt."""
    owner: dict[str, str] = {}
    for at, prompt in subject.prompts():
        if not prompt.config.enabled:
            continue
        for symbol in subject.reach.claims(prompt):
            if symbol in owner:
                message = f"{symbol} is already traded by the prompt {owner[symbol]}."
                yield Problem("duplicate_claim", at, message, 1, 2)
            owner.setdefault(symbol, prompt.id)


def within_tier(subject: Subject) -> Iterator[Problem]:
    """Assets, prompts and links stay within the capacity tier."""
    reach, capacity = subject.reach, subject.capacity
    symbols = {symbol for prompt in reach.enabled for symbol in reach.claims(prompt)}
    links = reach.links()
    per_asset = Counter(symbol for _, symbol in links)
    for code, noun, limit, actual in (
        ("too_many_assets", "active asset", capacity.assets, len(symbols)),
        ("too_many_prompts", "enabled prompt", capacity.prompts, len(reach.enabled)),
        ("too_many_links", "link", capacity.links, len(links)),
    ):
        if actual > limit:
            message = f"The {capacity.name} tier allows {counted(limit, noun)}, this graph has {actual}."
            yield Problem(code, "/nodes", message, limit, actual)
    busiest, most = max(per_asset.items(), key=lambda found: (found[1], found[0]), default=("", 0))
    if most > capacity.links_per_asset:
        allowed = counted(capacity.links_per_asset, "data stream")
        message = f"The {capacity.name} tier allows {allowed} for one asset, {busiest} has {most}."
        yield Problem("too_many_links_per_asset", "/edges", message, capacity.links_per_asset, most)


def bounded_prompts(subject: Subject) -> Iterator[Problem]:
    """Custom prompts and candidate caps stay within their limits."""
    for at, prompt in subject.prompts():
        config, base = prompt.config, f"{at}/config"
        texts = [("customBehaviorPrompt", config.custom_behavior_prompt)]
        for symbol, override in sorted(config.asset_overrides.items()):
            texts.append((f"assetOverrides/{escaped(symbol)}/customBehaviorPrompt", override.custom_behavior_prompt))
        for place, text in texts:
            if (count := tokens(text)) > PROMPT_TOKENS:
                message = f"A custom prompt has at most {PROMPT_TOKENS:,} tokens, this one has about {count:,}."
                yield Problem("prompt_too_long", f"{base}/{place}", message, PROMPT_TOKENS, count)
        if (wanted := config.candidate_policy.max_candidates) > subject.candidate_cap:
            message = f"More than {subject.candidate_cap} candidates need an operator's grant, this asks for {wanted}."
            pointer = f"{base}/candidatePolicy/maxCandidates"
            yield Problem("candidates_need_grant", pointer, message, subject.candidate_cap, wanted)
