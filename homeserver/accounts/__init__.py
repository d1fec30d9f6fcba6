"""Who is calling: registration, login, tokens, devices, profiles, account data."""
