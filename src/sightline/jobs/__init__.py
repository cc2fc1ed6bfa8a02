"""Verbs in the background: a queue, one process for each job, placement on cores and GPUs."""
