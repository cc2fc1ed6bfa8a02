"""From a call to its answer: prepare pictures or tensors, infer in the scheduler's threads, hand results to the protocol."""
