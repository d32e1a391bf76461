"""The operator's pages, on the operator's address: what happens, what it earns, and the switches."""
