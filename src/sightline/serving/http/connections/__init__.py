"""The server's end of TCP connections: HTTP/1.1 and WebSockets under limits of size, time and number."""
