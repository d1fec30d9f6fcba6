"""The rules of swarm rooms: groups with no central authority, that split and merge.  Their specification is docs/swarm.md."""
