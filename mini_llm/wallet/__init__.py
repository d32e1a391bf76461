"""What a wallet, a router and a prover must compute alike: limits, hashes, session keys, ceilings, receipts.

Needs the ``wallet`` extra (keccak and, for wallets, secp256k1).
"""
