"""What several test folders share: a local chain with the contracts on it, and wallets."""
