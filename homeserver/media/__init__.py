"""Files: upload, download, thumbnails, remote media."""
