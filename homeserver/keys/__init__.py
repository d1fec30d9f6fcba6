"""Device keys, one-time keys, cross-signing, key backup, to-device messages."""
