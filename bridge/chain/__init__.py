"""The settlement chain: a client that fails in typed ways, and the contract on it."""
