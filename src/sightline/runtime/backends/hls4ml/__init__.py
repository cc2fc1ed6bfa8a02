"""hls4ml: the FPGA emulator, bit-accurate C++ built from a network's fixed-point form."""
