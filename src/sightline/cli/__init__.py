"""The terminal: parse, call, format. A verb is imported inside its command function, so `--help` costs no engine."""
