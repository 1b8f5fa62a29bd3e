"""DefiLlama: capital base, capital flows and economic throughput of chains, protocols and stablecoins."""
