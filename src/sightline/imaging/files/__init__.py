"""Picture files: their headers, and their pixels as upright RGB."""
