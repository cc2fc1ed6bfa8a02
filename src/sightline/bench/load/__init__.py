"""Load a server over HTTP and measure what its users would see: closed loop, open loop, their cost on both sides."""
