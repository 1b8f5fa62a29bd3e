"""The tighter allowances of sign-in: challenges by address of origin and by wallet, verifications by origin."""

from dataclasses import dataclass

from fastapi import FastAPI, Request

from clash_pipeline.api.problems import rate_limited
from clash_pipeline.api.rates import Allowance
from clash_pipeline.settings import Settings


@dataclass(frozen=True)
class AuthRates:
    """Counters of one application."""

    by_origin: Allowance
    by_wallet: Allowance
    verifications: Allowance

    @classmethod
    def from_settings(cls, settings: Settings) -> "AuthRates":
        """Empty counters with the settings' limits."""
        challenges = settings.api_challenges_per_minute
        return cls(Allowance(challenges), Allowance(challenges), Allowance(settings.api_verifies_per_minute))

    @classmethod
    def of(cls, app: FastAPI) -> "AuthRates":
        """The counters of an application."""
        rates: AuthRates = app.state.auth_rates
        return rates

    def challenge(self, request: Request, wallet: str) -> None:
        """Count a challenge.

        Raises:
            Problem: 429.
        """
        self._take(self.by_origin, request, request.state.principal.address)
        self._take(self.by_wallet, request, wallet)

    def verify(self, request: Request) -> None:
        """Count a verification.

        Raises:
            Problem: 429.
        """
        self._take(self.verifications, request, request.state.principal.address)

    def _take(self, allowance: Allowance, request: Request, name: str) -> None:
        wait = allowance.take(name, request.app.state.services.wall.now_ms())
        if wait is not None:
            raise rate_limited(wait)
