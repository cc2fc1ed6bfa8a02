"""Who runs next on a Device: queues, fair shares and the threads that own it. Knows no tensors and no protocol."""
