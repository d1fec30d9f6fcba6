"""Join links: made by members, followed by people, on this server and on others.  docs/flows/join_links.md"""
