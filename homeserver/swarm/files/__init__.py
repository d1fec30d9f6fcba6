"""Files of swarms, named by their hash: whoever is in the room and has one gives it, and nobody is believed anything but the hash."""
