"""The edge: connections, guards, keys, limits, metrics and logs around every protocol over HTTP; plain predictions, too."""
