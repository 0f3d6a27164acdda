"""The fault benchmark: a support application whose faults are known, and how the loop answers them."""
