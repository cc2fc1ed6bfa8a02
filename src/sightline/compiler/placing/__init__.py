"""Networks on other devices than the CPU, or on several: which layer runs where, and the fixed point of the FPGA."""
