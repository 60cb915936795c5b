"""Many tiles: planned as blocks, painted by workers, remembered in a ledger, gathered from a store."""
