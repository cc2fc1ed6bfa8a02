"""Videos as pictures with the moment each is shown."""
