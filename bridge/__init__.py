"""From the ledger to the chain and back: collect, prove, settle, index, audit."""
