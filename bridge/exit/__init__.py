"""Leaving without the operator: a node, the contract's address and the exit circuit are all it takes."""
