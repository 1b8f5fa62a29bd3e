"""The model of each tier: its id, what it takes and what it costs, from the settings."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from clash_pipeline.decisions.engines.capabilities import Capability, capability_of
from clash_pipeline.settings import Settings
from clash_pipeline.units import Rounding, mul_div, parse_usd

MILLION = 1_000_000


@dataclass(frozen=True)
class Tier:
    """One model; prices in 1e-8 USD for a million tokens."""

    number: int
    model: str
    endpoint: str
    capability: Capability
    input_price: int
    output_price: int
    max_output_tokens: int

    @property
    def circuit(self) -> str:
        """What fails together: the endpoint and the model."""
        return f"{self.endpoint}/{self.model}"

    def cost(self, prompt_tokens: int, completion_tokens: int) -> int:
        """What tokens cost, in 1e-8 USD, rounded up: whoever pays, pays the rest (09 §4.1.6)."""
        asked = mul_div(prompt_tokens, self.input_price, MILLION, Rounding.CEIL)
        return asked + mul_div(completion_tokens, self.output_price, MILLION, Rounding.CEIL)


def tiers(settings: Settings) -> dict[int, Tier]:
    """The tiers that have a model."""
    endpoint = urlsplit(str(settings.model_url)).netloc.rpartition("@")[2]
    made = {}
    for number, (model, prices, takes) in settings.model_tiers.items():
        if not model:
            continue
        capability = capability_of(model, takes)
        asked, answered = (parse_usd(price, name="price") for price in prices.split(","))
        most = min(settings.model_max_output_tokens, capability.max_output_tokens)
        made[number] = Tier(number, model, endpoint, capability, asked, answered, most)
    return made


def refusal(settings: Settings, tier: int) -> str | None:
    """Why no clone of a tier can decide by model: the code of its runs; None when it can."""
    if settings.model_key is None:
        return "key_missing"
    if not settings.model_tiers.get(tier, ("",))[0]:
        return "model_unset"
    return None
