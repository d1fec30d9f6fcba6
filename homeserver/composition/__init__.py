"""Every object of a server, made once, layer by layer; `homeserver.server` puts the layers together.  Decides nothing."""
