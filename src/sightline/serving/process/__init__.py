"""What the server is as a process: its socket and its life, its log, its heap, and when its event loop gives way."""
