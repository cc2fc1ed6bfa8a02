"""Which candidate is fastest here, how fast this machine can be, and the timings that are kept."""
