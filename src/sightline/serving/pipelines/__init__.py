"""Several models declared as one: a detector whose finds a classifier sorts, networks in sequence, a head for raw tensors."""
