"""Label Studio: the JSON that it exports and imports, with its labelling configuration."""
