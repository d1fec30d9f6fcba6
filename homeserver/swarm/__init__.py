"""What a swarm room offers beside its events: what it is, and what is done in it.  The rules are `events/swarm`.  docs/flows/swarms.md"""
