"""Settings that ship with samespace."""
